// Runs the public HTTP cache tests against the worker, and counts them as cache-tests.fyi does.
//
// The suite's own server is the origin, in this process; the worker is `serve.mjs` in a process of its
// own, in front of it. What counts as passed is decided by the suite's own code (`determineTestResult`,
// dependencies honoured); here it is only summed up, and compared with the floor.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import { dirname, join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { Agent, setGlobalDispatcher } from "undici";

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const HOST = "127.0.0.1";
const KINDS = ["required", "optimal", "check"];
const PROFILES = { honest: join(ROOT, "scripts/conformance.json"), django: undefined };
const PASSED = new Set(["✅", "Y"]);
const MEANING = {
  "⛔️": "failed",
  "⚠️": "failed",
  N: "no",
  "🔹": "its setup failed",
  "⁉️": "the harness failed",
  "⚪️": "a test it depends on failed",
  "↻": "the request was repeated",
  "-": "not run",
};

/** An error of the one who called, told without a stack trace. */
class UsageError extends Error {}

const say = (text) => process.stderr.write(`conformance: ${text}\n`);
const print = (text = "") => process.stdout.write(`${text}\n`);

function options() {
  const spec = {
    suite: { type: "string", default: "current" },
    profile: { type: "string", default: "honest" },
    id: { type: "string" },
    list: { type: "boolean", default: false },
    json: { type: "string" },
    failures: { type: "string", default: "required,optimal" },
    url: { type: "string" },
    "serve-origin": { type: "string" },
  };
  let given;
  try {
    given = parseArgs({ options: spec, allowPositionals: false }).values;
  } catch (error) {
    throw new UsageError(`${error.message.split("\n")[0]} (see scripts/conformance --help)`);
  }
  oneOf("--suite", given.suite, ["current", "npm", "both"]);
  oneOf("--profile", given.profile, Object.keys(PROFILES));
  for (const kind of given.failures.split(",")) oneOf("--failures", kind, [...KINDS, "none"]);
  if (given.url !== undefined && !/^https?:$/.test(URL.parse(given.url)?.protocol)) {
    throw new UsageError(`--url: expected an http or https URL, got "${given.url}"`);
  }
  const port = given["serve-origin"];
  if (port !== undefined && !(/^\d+$/.test(port) && Number(port) <= 65535)) {
    throw new UsageError(`--serve-origin: expected a port, got "${port}"`);
  }
  if (given.suite === "both" && (given.id ?? given.json ?? port) !== undefined) {
    throw new UsageError("--id, --json and --serve-origin are for one suite: give --suite current or npm");
  }
  return given;
}

function oneOf(name, value, choices) {
  if (!choices.includes(value)) {
    throw new UsageError(`${name}: expected one of ${choices.join(", ")}, got "${value}"`);
  }
}

/** The two versions differ in where their files lie and in how a run begins, and in nothing else here. */
async function load(name) {
  const base = join(ROOT, name === "npm" ? "node_modules/http-cache-tests" : "tests/cache-tests");
  const engine = name === "npm" ? base : join(base, "test-engine");
  const take = (folder, path) => import(pathToFileURL(join(folder, path)));
  const groups = [...(await take(base, "tests/index.mjs")).default];
  const runner = await take(engine, "client/runner.mjs");
  let run = (tests, url, chunk) => runner.runTests(tests, false, url, chunk);
  plainFetch();
  if (name === "npm") {
    // As its command line and its site do.
    groups.push((await take(base, "tests/surrogate-control.mjs")).default);
    const { default: fetch } = await import("node-fetch");
    const agent = (url) => new (url.protocol === "https:" ? https : http).Agent({ keepAlive: false });
    const plain = (url, init) => fetch(url, { ...init, agent, compress: false });
    run = (tests, url, chunk) => runner.runTests(tests, plain, false, url, chunk);
  }
  const counting = await take(engine, name === "npm" ? "lib/display.mjs" : "lib/results.mjs");
  const handle = async (what) => (await take(engine, `server/handle-${what}.mjs`)).default;
  const tests = groups.flatMap((group) => group.tests).filter((test) => test.browser_only !== true);
  return {
    name,
    groups,
    tests,
    run,
    results: runner.getResults,
    symbol: (id, results, dependencies) =>
      counting.determineTestResult(groups, id, results, dependencies)[2],
    handlers: { config: await handle("config"), test: await handle("test"), state: await handle("state") },
  };
}

/**
 * The suite's requests as they are meant. No connection is used twice: the local runtime closes idle ones after the
 * very seconds that tests pause. No coding is asked for: the local runtime plays the CDN's front, which compresses
 * what the worker sent, and so takes Content-Length away.
 */
function plainFetch() {
  setGlobalDispatcher(new Agent({ pipelining: 0 }));
  const fetch = globalThis.fetch;
  globalThis.fetch = (url, init = {}) => {
    const headers = [...(init.headers ?? [])];
    if (!headers.some(([name]) => name.toLowerCase() === "accept-encoding")) {
      headers.push(["Accept-Encoding", "identity"]);
    }
    return fetch(url, { ...init, headers });
  };
}

const kindOf = (test) => test.kind ?? "required";

/** The suite's server. */
async function serveOrigin(suite, host, port) {
  const server = http.createServer((request, response) => {
    const [, what, ...rest] = new URL(request.url, "http://origin").pathname.split("/");
    const handler = Object.hasOwn(suite.handlers, what) ? suite.handlers[what] : undefined;
    if (handler !== undefined) return handler(rest, request, response);
    response.writeHead(404).end();
  });
  // A connection that it closes just as the worker uses it again would fail a test that has done no wrong.
  server.keepAliveTimeout = 600_000;
  server.listen(port, host);
  await once(server, "listening");
  return server;
}

/** The worker in front of an origin; ends with `stop`. */
async function startWorker(origin, config) {
  const words = ["--origin", origin, "--port","0","--verbose"];
  if (config !== undefined) words.push("--config", config);
  const child = spawn(process.execPath, [join(ROOT, "scripts/lib/serve.mjs"), ...words], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exited = once(child, "exit");
  const stop = async () => {
    child.kill("SIGTERM");
    await exited;
  };
  for (const signal of ["SIGINT", "SIGTERM"]) {
    process.once(signal, () => stop().then(() => process.exit(signal === "SIGINT" ? 130 : 143)));
  }
  for await (const line of createInterface({ input: child.stdout })) {
    const ready = /^ready on (\S+)$/.exec(line);
    if (ready) return { url: ready[1], stop };
  }
  await exited;
  throw new Error("the worker did not start; its messages are above");
}

/** Says how far a run is. */
function watch(suite, total) {
  const done = () => Object.keys(suite.results()).length;
  const timer = setInterval(() => say(`${suite.name}: ${done()} of ${total} tests`), 10_000);
  return () => clearInterval(timer);
}

async function run(suite, url, id) {
  const chosen = id === undefined ? suite.tests : suite.tests.filter((test) => test.id === id);
  if (chosen.length === 0) throw new UsageError(`--id: no test "${id}" in this suite (see --list)`);
  const stop = watch(suite, chosen.length);
  const log = console.log;
  // The suite's server notes every unusual request there.
  if (id === undefined) console.log = () => {};
  else for (const test of chosen) test.dump = true;
  try {
    await suite.run([{ name: suite.name, tests: chosen }], url.replace(/\/$/, ""), 100);
  } finally {
    console.log = log;
    stop();
  }
  return suite.results();
}

/** Passed and total per kind, and what did not pass. */
function count(suite, results) {
  const kinds = Object.fromEntries(KINDS.map((kind) => [kind, { passed: 0, total: 0, missed: [] }]));
  for (const test of suite.tests) {
    const kind = kinds[kindOf(test)];
    const symbol = suite.symbol(test.id, results, true);
    kind.total += 1;
    if (PASSED.has(symbol)) kind.passed += 1;
    else kind.missed.push({ id: test.id, symbol, told: results[test.id]?.[1] });
  }
  return kinds;
}

function report(suite, kinds, listed) {
  for (const kind of KINDS.filter((kind) => listed.includes(kind) && kinds[kind].missed.length > 0)) {
    print(`${kind}, not passed:`);
    for (const { id, symbol, told } of kinds[kind].missed) {
      const detail = typeof told === "string" ? `: ${told.replaceAll(/\s+/g, " ").slice(0, 200)}` : "";
      print(`  ${id} — ${MEANING[symbol] ?? symbol}${detail}`);
    }
    print();
  }
  for (const kind of KINDS) {
    const { passed, total } = kinds[kind];
    print(`${suite.name} suite: ${kind.padEnd(8)} ${String(passed).padStart(3)}/${total}`);
  }
}

/** What is below the floor, in words. */
function belowFloor(suite, kinds) {
  const floors = JSON.parse(readFileSync(join(ROOT, "scripts/conformance.floor.json"), "utf8"));
  return Object.entries(floors[suite.name])
    .filter(([kind, floor]) => kinds[kind].passed < floor)
    .map(([kind, floor]) => `${kind}: ${kinds[kind].passed} is below the floor of ${floor}`);
}

/** Runs one suite; true if it holds. */
async function test(name, given) {
  const suite = await load(name);
  const started = Date.now();
  let results;
  if (given.url === undefined) {
    const origin = await serveOrigin(suite, HOST, 0);
    const config = PROFILES[given.profile];
    const worker = await startWorker(`http://${HOST}:${origin.address().port}`, config);
    try {
      results = await run(suite, worker.url, given.id);
    } finally {
      await worker.stop();
      origin.closeAllConnections();
      origin.close();
    }
  } else {
    results = await run(suite, given.url, given.id);
  }
  if (given.id !== undefined) {
    const symbol = suite.symbol(given.id, results, false);
    print(`${given.id}: ${PASSED.has(symbol) ? "passed" : MEANING[symbol]} ${results[given.id][1] ?? ""}`);
    return PASSED.has(symbol);
  }
  if (given.json !== undefined) writeFileSync(given.json, `${JSON.stringify(results, null, 2)}\n`);
  const kinds = count(suite, results);
  report(suite, kinds, given.failures.split(","));
  say(`${name}: took ${Math.round((Date.now() - started) / 1000)} s`);
  if (given.profile !== "honest") return true;
  const below = belowFloor(suite, kinds);
  for (const line of below) say(`${name}: ${line}`);
  return below.length === 0;
}

async function main() {
  const given = options();
  const names = given.suite === "both" ? ["current", "npm"] : [given.suite];
  if (given.list) {
    for (const name of names) {
      for (const one of (await load(name)).tests) print(`${kindOf(one).padEnd(8)} ${one.id}: ${one.name}`);
    }
    return true;
  }
  if (given["serve-origin"] !== undefined) {
    const server = await serveOrigin(await load(names[0]), undefined, Number(given["serve-origin"]));
    say(`the suite's server listens on port ${server.address().port}`);
    await Promise.race([once(process, "SIGTERM"), once(process, "SIGINT")]);
    return true;
  }
  let holds = true;
  for (const name of names) holds = (await test(name, given)) && holds;
  return holds;
}

main().then(
  (holds) => process.exit(holds ? 0 : 1),
  (error) => {
    console.error(`conformance: error: ${error instanceof UsageError ? error.message : error.stack}`);
    process.exit(error instanceof UsageError ? 2 : 1);
  },
);
