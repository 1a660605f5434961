// Runs the public HTTP cache tests against the worker, and counts them as cache-tests.fyi does.
//
// The suite's own server is the origin, in this process; the worker is `serve.mjs` in a process of
// its own, in front of it. What counts as passed is decided by the suite's own code
// (`determineTestResult`, dependencies honoured); here it is only summed up, and compared with the
// floor.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import { dirname, join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { Agent, setGlobalDispatcher } from "undici";

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const HOST = "127.0.0.1";
// Tests that run together. Most of their time is pauses; but a test whose two requests must fall
// within two seconds fails on a machine that is busy with too many others, or with something else:
// then --at-once helps.
const AT_ONCE = 50;
// Tests that run together when they are asked again.
const AT_ONCE_AGAIN = 5;
const KINDS = ["required", "optimal", "check"];
const PROFILES = {
  honest: join(ROOT, "scripts/conformance.json"),
  // The defaults, but for the fields by which the suite's server knows its requests apart.
  django: join(ROOT, "scripts/conformance.django.json"),
};
const PASSED = new Set(["✅", "Y"]);
// What a test says that did not come to its question: what it needs first did not happen.
const NOT_SET_UP = new Set(["🔹", "↻"]);
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

/** An error of the one who called, shown without a stack trace. */
class UsageError extends Error {}

const say = (text) => process.stderr.write(`conformance: ${text}\n`);
const print = (text = "") => process.stdout.write(`${text}\n`);

function options() {
  const spec = {
    suite: { type: "string", default: "npm" },
    profile: { type: "string", default: "honest" },
    id: { type: "string" },
    list: { type: "boolean", default: false },
    json: { type: "string" },
    failures: { type: "string", default: "required,optimal" },
    "at-once": { type: "string", default: String(AT_ONCE) },
    url: { type: "string" },
    "serve-origin": { type: "string" },
  };
  let given;
  try {
    given = parseArgs({ options: spec, allowPositionals: false }).values;
  } catch (error) {
    throw new UsageError(`${error.message.split("\n")[0]} (see scripts/conformance --help)`);
  }
  if (given.suite !== "npm" && !existsSync(join(given.suite, "test-engine/client/runner.mjs"))) {
    throw new UsageError(`--suite: expected npm or a checkout of the suite, got "${given.suite}"`);
  }
  oneOf("--profile", given.profile, Object.keys(PROFILES));
  for (const kind of given.failures.split(",")) oneOf("--failures", kind, [...KINDS, "none"]);
  if (given.url !== undefined && !/^https?:$/.test(URL.parse(given.url)?.protocol)) {
    throw new UsageError(`--url: expected an http or https URL, got "${given.url}"`);
  }
  const atOnce = given["at-once"];
  if (!(/^[1-9]\d*$/.test(atOnce) && Number(atOnce) <= 200)) {
    throw new UsageError(`--at-once: expected a number from 1 to 200, got "${atOnce}"`);
  }
  const port = given["serve-origin"];
  if (port !== undefined && !(/^\d+$/.test(port) && Number(port) <= 65535)) {
    throw new UsageError(`--serve-origin: expected a port, got "${port}"`);
  }
  return given;
}

function oneOf(name, value, choices) {
  if (!choices.includes(value)) {
    throw new UsageError(`${name}: expected one of ${choices.join(", ")}, got "${value}"`);
  }
}

/**
 * The suite, as "npm" or as a folder with a checkout. The two differ in where their files lie and
 * in how a run begins, and in nothing else here.
 */
async function load(given) {
  const name = given === "npm" ? "npm" : "checkout";
  const base = name === "npm" ? join(ROOT, "node_modules/http-cache-tests") : resolve(given);
  const engine = name === "npm" ? base : join(base, "test-engine");
  const take = (folder, path) => import(pathToFileURL(join(folder, path)));
  const groups = [...(await take(base, "tests/index.mjs")).default];
  const runner = await take(engine, "client/runner.mjs");
  const { testResults } = await take(engine, "client/test.mjs");
  let run = (tests, url, chunk) => runner.runTests(tests, false, url, chunk);
  plainFetch();
  if (name === "npm") {
    // As its command line and its site do.
    groups.push((await take(base, "tests/surrogate-control.mjs")).default);
    const { default: fetch } = await import("node-fetch");
    const agent = (url) =>
      new (url.protocol === "https:" ? https : http).Agent({ keepAlive: false });
    const plain = (url, init) => fetch(url, { ...init, agent, compress: false });
    let runs = 0;
    // Its runner remembers the tests that it was given before: each run has one of its own. The
    // results are shared.
    run = async (tests, url, chunk) => {
      runs += 1;
      const fresh = await import(`${pathToFileURL(join(engine, "client/runner.mjs"))}?run=${runs}`);
      return fresh.runTests(tests, plain, false, url, chunk);
    };
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
    // A test that has a result is refused as a duplicate.
    forget: (ids) => ids.forEach((id) => delete testResults[id]),
    symbol: (id, results, dependencies) =>
      counting.determineTestResult(groups, id, results, dependencies)[2],
    handlers: {
      config: await handle("config"),
      test: await handle("test"),
      state: await handle("state"),
    },
  };
}

/**
 * The suite's requests as they are meant. No connection is used twice: the local runtime closes
 * idle ones after the very seconds that tests pause. No coding is asked for: the local runtime
 * plays the CDN's front, which compresses what the worker sent, and so takes Content-Length away.
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

/**
 * Some tests state a wrong Content-Length: what is left over must not reach the next request's
 * answer.
 */
function honest(response) {
  const { end } = response;
  response.end = function (...content) {
    if (this.hasHeader("content-length")) this.shouldKeepAlive = false;
    return end.apply(this, content);
  };
  return response;
}

/** The suite's server. */
async function serveOrigin(suite, host, port) {
  const server = http.createServer((request, response) => {
    const [, what, ...rest] = new URL(request.url, "http://origin").pathname.split("/");
    const handler = Object.hasOwn(suite.handlers, what) ? suite.handlers[what] : undefined;
    if (handler !== undefined) return handler(rest, request, honest(response));
    response.writeHead(404).end();
  });
  // A connection that it closes just as the worker uses it again would fail a test that has done no
  // wrong.
  server.keepAliveTimeout = 600_000;
  server.listen(port, host);
  await once(server, "listening");
  return server;
}

/** The worker in front of an origin; ends with `stop`. */
async function startWorker(origin, config) {
  const words = ["--origin", origin, "--port", "0", "--config", config];
  const child = spawn(process.execPath, [join(ROOT, "scripts/lib/serve.mjs"), ...words], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exited = once(child, "exit");
  // Whatever ends this process ends the worker.
  process.once("exit", () => child.kill("SIGTERM"));
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

async function run(suite, url, { id, "at-once": atOnce }) {
  const chosen = id === undefined ? suite.tests : suite.tests.filter((test) => test.id === id);
  if (chosen.length === 0) throw new UsageError(`--id: no test "${id}" in this suite (see --list)`);
  const stop = watch(suite, chosen.length);
  const log = console.log;
  // The suite's server notes every unusual request there.
  if (id === undefined) console.log = () => {};
  else for (const test of chosen) test.dump = true;
  const ask = (tests, atOnce) =>
    suite.run([{ name: suite.name, tests }], url.replace(/\/$/, ""), atOnce);
  try {
    await ask(chosen, Number(atOnce));
    // Some tests need two requests within two seconds, which a busy machine may not manage among so
    // many others. Whoever did not come to its question is asked once more; an answer that was
    // wrong stands.
    const results = suite.results();
    const unready = chosen.filter((test) => NOT_SET_UP.has(suite.symbol(test.id, results, false)));
    if (id === undefined && unready.length > 0) {
      say(`${suite.name}: once more those whose setup failed (${unready.length})`);
      suite.forget(unready.map((test) => test.id));
      await ask(unready, Math.min(AT_ONCE_AGAIN, Number(atOnce)));
      const later = suite.results();
      const ready = unready.filter((test) => PASSED.has(suite.symbol(test.id, later, false)));
      for (const test of ready) say(`${suite.name}: ${test.id} passed the second time`);
    }
  } finally {
    console.log = log;
    stop();
  }
  return suite.results();
}

/** Passed and total per kind, and what did not pass. */
function count(suite, results) {
  const kinds = Object.fromEntries(
    KINDS.map((kind) => [kind, { passed: 0, total: 0, missed: [] }]),
  );
  for (const test of suite.tests) {
    const kind = kinds[kindOf(test)];
    const symbol = suite.symbol(test.id, results, true);
    kind.total += 1;
    if (PASSED.has(symbol)) kind.passed += 1;
    else kind.missed.push({ id: test.id, symbol, message: results[test.id]?.[1] });
  }
  return kinds;
}

function report(suite, kinds, listed) {
  for (const kind of KINDS.filter(
    (kind) => listed.includes(kind) && kinds[kind].missed.length > 0,
  )) {
    print(`${kind}, not passed:`);
    for (const { id, symbol, message } of kinds[kind].missed) {
      const detail =
        typeof message === "string" ? `: ${message.replaceAll(/\s+/g, " ").slice(0, 200)}` : "";
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

/** Runs the suite; true if it holds. */
async function test(suite, given) {
  const started = Date.now();
  let results;
  if (given.url === undefined) {
    const origin = await serveOrigin(suite, HOST, 0);
    const config = PROFILES[given.profile];
    const worker = await startWorker(`http://${HOST}:${origin.address().port}`, config);
    try {
      results = await run(suite, worker.url, given);
    } finally {
      await worker.stop();
      origin.closeAllConnections();
      origin.close();
    }
  } else {
    results = await run(suite, given.url, given);
  }
  if (given.id !== undefined) {
    const symbol = suite.symbol(given.id, results, false);
    const outcome = PASSED.has(symbol) ? "passed" : MEANING[symbol];
    print(`${given.id}: ${outcome} ${results[given.id][1] ?? ""}`);
    return PASSED.has(symbol);
  }
  if (given.json !== undefined) writeFileSync(given.json, `${JSON.stringify(results, null, 2)}\n`);
  const kinds = count(suite, results);
  report(suite, kinds, given.failures.split(","));
  say(`${suite.name}: took ${Math.round((Date.now() - started) / 1000)} s`);
  if (given.profile !== "honest") return true;
  const below = belowFloor(suite, kinds);
  for (const line of below) say(`${suite.name}: ${line}`);
  return below.length === 0;
}

async function main() {
  const given = options();
  const suite = await load(given.suite);
  if (given.list) {
    for (const one of suite.tests) print(`${kindOf(one).padEnd(8)} ${one.id}: ${one.name}`);
    return true;
  }
  if (given["serve-origin"] !== undefined) {
    const server = await serveOrigin(suite, undefined, Number(given["serve-origin"]));
    say(`the suite's server listens on port ${server.address().port}`);
    await Promise.race([once(process, "SIGTERM"), once(process, "SIGINT")]);
    return true;
  }
  return test(suite, given);
}

main().then(
  (holds) => process.exit(holds ? 0 : 1),
  (error) => {
    console.error(
      `conformance: error: ${error instanceof UsageError ? error.message : error.stack}`,
    );
    process.exit(error instanceof UsageError ? 2 : 1);
  },
);
