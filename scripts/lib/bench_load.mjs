// The worker under load, in one run beside the origin alone and beside a hand-written Cache API
// worker: one JSON document. Each has an origin of its own that behaves alike, and each is asked
// the same in turns. Nothing is judged.
//
// A cell is a mix of requests, a number of readers who ask without a pause, and an origin. --short
// makes few requests of a counted number, for the tests.

import { once } from "node:events";
import { readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { Miniflare } from "miniflare";
import { Agent, request } from "undici";
import { isolateMemory } from "./isolate_memory.mjs";
import { KEY, signed } from "./bench_webhook.mjs";

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const BUILD = process.env.EDGE_ISR_BUILD ?? join(ROOT, "build");
const SHORT = process.argv.includes("--short");
const SECONDS = SHORT ? 0 : 4;
// What is asked in a cell of the short form, by all readers together.
const REQUESTS = SHORT ? 240 : Infinity;
const STOPPED_SECONDS = SHORT ? 3 : 60;
// Readers rest only where the time of the run is given, not its requests.
const STOPPED_PAUSE = 250;

const SECRET = `whsec_${KEY.toString("base64")}`;
const SITE = "bench.test";
const PAGES = { hit: SHORT ? 20 : 200, stale: SHORT ? 10 : 40, large: SHORT ? 4 : 20 };

const only = (kind) => [[kind, 1]];
const MIXED = [
  ["hit", 0.7],
  ["stale", 0.1],
  ["cold", 0.08],
  ["session", 0.08],
  ["large", 0.02],
  ["webhook", 0.02],
];
const cell = (name, mix, readers, delay, more = {}) => ({ name, mix, readers, delay, ...more });
const CELLS = SHORT
  ? [
      cell("hits", only("hit"), 10, 5),
      cell("stale hits", only("stale"), 10, 50),
      cell("cold pages", only("cold"), 40, 50),
      cell("readers who are logged in", only("session"), 120, 50),
      cell("all of them", MIXED, 40, 5),
      cell("all of them, a tenth fails", MIXED, 40, 5, { failing: 10 }),
      cell("all of them, it stops", MIXED, 20, 5, { stops: true }),
    ]
  : [
      cell("hits", only("hit"), 100, 50),
      cell("stale hits", only("stale"), 100, 50),
      cell("cold pages", only("cold"), 100, 50),
      cell("readers who are logged in", only("session"), 100, 50),
      cell("large bodies", only("large"), 10, 50),
      cell(
        "hits and webhooks",
        [
          ["hit", 0.9],
          ["webhook", 0.1],
        ],
        100,
        50,
      ),
      ...[5, 50, 500].map((delay) => cell("all of them", MIXED, 10, delay)),
      ...[5, 50, 500].map((delay) => cell("all of them", MIXED, 100, delay)),
      ...[5, 50, 500].map((delay) => cell("all of them", MIXED, 500, delay)),
      cell("all of them, a tenth fails", MIXED, 100, 50, { failing: 10 }),
      cell("all of them, it stops for a minute", MIXED, 100, 50, { stops: true }),
    ];

const say = (text) => process.stderr.write(`bench: ${text}\n`);
const pause = (millis) => new Promise((done) => setTimeout(done, millis));

/** Numbers from 0 to 1 that are the same in each run. */
function numbers(seed) {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

async function startOrigin() {
  const thread = new Worker(new URL("bench_load_origin.mjs", import.meta.url));
  const [{ port }] = await once(thread, "message");
  const control = async (message) => {
    thread.postMessage(message);
    return (await once(thread, "message"))[0].counts;
  };
  return { url: `http://127.0.0.1:${port}`, control, close: () => thread.terminate() };
}

async function startRuntime(name, origin, own) {
  const runtime = new Miniflare({
    name,
    host: "127.0.0.1",
    port: 0,
    cf: false,
    handleRuntimeStdio: (stdout, stderr) => {
      stdout.resume();
      stderr.resume();
    },
    inspectorPort: 0,
    unsafeDirectSockets: [{ host: "127.0.0.1", port: 0 }],
    compatibilityDate: "2026-07-01",
    ...own,
    bindings: { ORIGIN: origin.url, WEBHOOK_SECRETS: SECRET, EDGE_ISR: { log: "off" } },
  });
  await runtime.ready;
  const url = (await runtime.unsafeGetDirectURL(name)).toString();
  return {
    name,
    origin,
    url,
    held: await isolateMemory(runtime, name),
    close: () => runtime.dispose(),
  };
}

async function startAll() {
  const origins = await Promise.all([startOrigin(), startOrigin(), startOrigin()]);
  const files = ["index.js", "index_bg.wasm"].map((name) => join(BUILD, name));
  const modules = files.map((path) => ({
    type: path.endsWith(".wasm") ? "CompiledWasm" : "ESModule",
    path,
  }));
  const peer = readFileSync(join(ROOT, "scripts/lib/bench_cache_api.mjs"), "utf8");
  return [
    { name: "the origin alone", origin: origins[0], url: origins[0].url, close: () => {} },
    {
      ...(await startRuntime("cache-api", origins[1], { modules: true, script: peer })),
      name: "a Cache API worker",
    },
    await startRuntime("edge-isr", origins[2], {
      modulesRoot: BUILD,
      modules,
      compatibilityFlags: ["enable_request_signal"],
      durableObjects: {
        JOURNAL: { className: "Journal", useSQLite: true },
        SHARDS: { className: "IndexShard", useSQLite: true },
      },
      kvNamespaces: ["PAGES"],
    }),
  ];
}

function webhook(number) {
  const { headers, body } = signed({ tags: [`post:${number}`] });
  return { method: "POST", path: "/__isr/v1/revalidate", headers, body };
}

/** What a reader asks next; where nothing can be invalidated, a hit for a webhook. */
function nextRequest(subject, prefix, mix, random, cold) {
  let at = random();
  const drawn = mix.find(([, share]) => (at -= share) < 0) ?? mix[0];
  const kind = drawn[0] === "webhook" && subject.name !== "edge-isr" ? "hit" : drawn[0];
  const number = Math.floor(random() * (PAGES[kind] ?? PAGES.hit));
  if (kind === "webhook") return { kind, ...webhook(number) };
  const path = `${prefix}/${kind}/${kind === "cold" ? cold() : number}`;
  return {
    kind,
    method: "GET",
    path,
    headers: kind === "session" ? { cookie: "sessionid=1" } : {},
  };
}

/** One request: why it failed, if it did, and when it was. */
async function ask(subject, dispatcher, { kind, method, path, headers, body }) {
  const began = performance.now();
  let failed = null;
  try {
    const all = { host: SITE, "accept-encoding": "identity", ...headers };
    const answer = await request(new URL(path, subject.url), {
      dispatcher,
      method,
      headers: all,
      body,
    });
    await answer.body.dump({ limit: Infinity });
    if (answer.statusCode >= 400) failed = String(answer.statusCode);
  } catch (error) {
    failed = error.code ?? error.message;
  }
  return { began, ended: performance.now(), failed, kind };
}

/** All readers ask until the time is over, or all is asked. */
async function readAll(subject, prefix, cell, seconds, rest) {
  const dispatcher = new Agent({
    connections: cell.readers,
    pipelining: 1,
    keepAliveTimeout: 2_000,
    headersTimeout: 90_000,
  });
  const [answers, end] = [[], performance.now() + 1000 * seconds];
  let [asked, colds] = [0, 0];
  const more = () =>
    REQUESTS === Infinity || rest > 0 ? performance.now() < end : asked < REQUESTS;
  const reader = async (_, number) => {
    const random = numbers(number);
    while (more()) {
      asked += 1;
      answers.push(
        await ask(
          subject,
          dispatcher,
          nextRequest(subject, prefix, cell.mix, random, () => (colds += 1)),
        ),
      );
      if (rest > 0) await pause(rest);
    }
  };
  await Promise.all(Array.from({ length: cell.readers }, reader));
  await dispatcher.destroy();
  return answers;
}

/** Pages that are stored before readers come. */
async function prepare(subject, prefix, cell) {
  if (subject.held === undefined) return;
  const dispatcher = new Agent({ connections: 16, pipelining: 1 });
  const wanted = cell.mix.flatMap(([kind]) =>
    Array.from({ length: PAGES[kind] ?? 0 }, (_, n) => `${prefix}/${kind}/${n}`),
  );
  const lane = async () => {
    for (let path = wanted.pop(); path !== undefined; path = wanted.pop()) {
      await ask(subject, dispatcher, { method: "GET", path, headers: {} });
    }
  };
  await Promise.all(Array.from({ length: 16 }, lane));
  await dispatcher.close();
  // Until they are stored, and those of a second are stale.
  await pause(1_500);
}

/** The most bytes that the worker's isolate holds until this is asked to end. */
function watchMemory({ held }) {
  if (held === undefined) return () => null;
  let [most, ended] = [0, false];
  const watching = (async () => {
    while (!ended) {
      most = Math.max(most, await held());
      await pause(100);
    }
  })();
  return async () => {
    ended = true;
    await watching;
    return most;
  };
}

const quantile = (sorted, part) =>
  sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))];

function figures(subject, cell, answers, counts, stopped, memory) {
  const times = answers
    .filter(({ kind }) => kind !== "webhook")
    .map(({ began, ended }) => ended - began)
    .toSorted((a, b) => a - b);
  const failed = answers.filter((answer) => answer.failed !== null);
  const reasons = Object.groupBy(failed, ({ kind, failed: reason }) => `${kind}: ${reason}`);
  const others = failed.filter(
    ({ began, ended }) => stopped === undefined || ended < stopped[0] || began > stopped[1],
  );
  const span =
    (Math.max(...answers.map(({ ended }) => ended)) -
      Math.min(...answers.map(({ began }) => began))) /
    1000;
  return {
    by: subject.name,
    answers: answers.length,
    answers_a_second: answers.length / span,
    errors: failed.length,
    reasons: Object.fromEntries(
      Object.entries(reasons).map(([reason, all]) => [reason, all.length]),
    ),
    // Those that the origin did not make.
    own_errors: Math.max(0, others.length - counts.failures),
    errors_on_stored_pages: failed.filter(({ kind }) => kind in PAGES).length,
    median_ms: quantile(times, 0.5),
    percentile_99_ms: quantile(times, 0.99),
    origin_requests: counts.requests,
    memory_bytes: memory,
  };
}

async function measure(subject, cell, at) {
  const prefix = `/c${at}`;
  const { control } = subject.origin;
  await control({ behave: { delay: 0, failing: 0 } });
  await prepare(subject, prefix, cell);
  await control({ behave: { delay: cell.delay, failing: cell.failing ?? 0 }, take: true });
  const memory = watchMemory(subject);
  let stopped;
  const stop = async () => {
    await pause(1_500);
    const began = performance.now();
    await control({ stop: true });
    await pause(1000 * STOPPED_SECONDS);
    await control({ go: true });
    stopped = [began, performance.now()];
  };
  const seconds = cell.stops ? STOPPED_SECONDS + 5 : SECONDS;
  const reading = readAll(subject, prefix, cell, seconds, cell.stops ? STOPPED_PAUSE : 0);
  if (cell.stops) await stop();
  const answers = await reading;
  return figures(subject, cell, answers, await control({ take: true }), stopped, await memory());
}

async function main() {
  const subjects = await startAll();
  try {
    const cells = [];
    for (const [at, cell] of CELLS.entries()) {
      say(`${cell.name}, ${cell.readers} readers, ${cell.delay} ms`);
      const one = (subject) => measure(subject, cell, at);
      // One after the other, but where an origin stops: little is done meanwhile.
      const found = [];
      if (cell.stops) found.push(...(await Promise.all(subjects.map(one))));
      else for (const subject of subjects) found.push(await one(subject));
      const { name, readers, delay } = cell;
      cells.push({ name, readers, origin_ms: delay, found });
    }
    process.stdout.write(`${JSON.stringify({ figures: [], cells })}\n`);
  } finally {
    await Promise.all(subjects.map(({ close }) => close()));
    await Promise.all(subjects.map(({ origin }) => origin.close()));
  }
}

await main();
