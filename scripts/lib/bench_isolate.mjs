// What a hit takes in the isolate itself: requests that a wrapper makes and answers in a loop
// inside the runtime, without sockets, and with a colo's cache that has its responses in the
// wrapper's memory. In turns with a hand-written worker on the Cache API, and with a loop that only
// makes a request and a response. Most of what a hit takes beside that is the runtime's: this shows
// how much of it a change of the worker can save. The bytes are what a request adds to JavaScript's
// heap, without what lies beside it. Prints a table, and writes nothing.
//
//     bench_isolate.mjs [--quick]

import { once } from "node:events";
import { readFileSync } from "node:fs";
import http from "node:http";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { Miniflare } from "miniflare";
import { WebSocket } from "undici";

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const BUILD = process.env.EDGE_ISR_BUILD ?? join(ROOT, "build");
const [TURNS, REQUESTS] = process.argv.includes("--quick") ? [3, 1_000] : [15, 4_000];
// Few enough that in most samples no object is collected meanwhile.
const [SAMPLES, WEIGHED] = [25, 20];
const DJANGO = "Accept-Encoding, Accept-Language, Cookie";
const read = (file, coding) => readFileSync(file, coding);

// Each line of the table: a worker, the way it is asked, and the page.
const LINES = [
  { name: "a request and a response", worker: "memory", who: "bare", path: "/plain/" },
  { name: "hit in memory", worker: "memory", who: "edge", path: "/plain/" },
  { name: "the same, Django's Vary", worker: "memory", who: "edge", path: "/vary/" },
  { name: "hit in the colo, hand-written", worker: "colo", who: "hand", path: "/plain/" },
  { name: "hit in the colo", worker: "colo", who: "edge", path: "/plain/", colo: true },
  { name: "the same, Django's Vary", worker: "colo", who: "edge", path: "/vary/", colo: true },
];

async function startOrigin() {
  const body = "<!doctype html><p>".padEnd(10_240, "x");
  const server = http.createServer((request, answer) => {
    answer.setHeader("cache-control", "public, s-maxage=3600, stale-while-revalidate=86400");
    answer.setHeader("content-type", "text/html; charset=utf-8");
    answer.setHeader("etag", '"v1"');
    answer.setHeader("x-edge-isr-tags", "post:1 category:2 all");
    if (request.url.startsWith("/vary/")) answer.setHeader("vary", DJANGO);
    answer.end(body);
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  return server;
}

function edge(name, ORIGIN, settings) {
  return {
    name,
    modulesRoot: "/",
    modules: [
      {
        type: "ESModule",
        path: "/main.mjs",
        contents: read(join(ROOT, "scripts/lib/bench_isolate_worker.mjs"), "utf8"),
      },
      { type: "ESModule", path: "/index.js", contents: read(join(BUILD, "index.js"), "utf8") },
      {
        type: "CompiledWasm",
        path: "/index_bg.wasm",
        contents: read(join(BUILD, "index_bg.wasm")),
      },
    ],
    compatibilityDate: "2026-07-01",
    bindings: { ORIGIN, EDGE_ISR: { log: "off", ...settings } },
    durableObjects: {
      JOURNAL: { className: "Journal", useSQLite: true },
      SHARDS: { className: "IndexShard", useSQLite: true },
    },
    kvNamespaces: ["PAGES"],
    unsafeDirectSockets: [{ host: "127.0.0.1", port: 0 }],
  };
}

/** Milliseconds that so many requests of a line take, with what the loop takes to begin. */
async function time(urls, line, requests, prepare = "") {
  const { worker, who, path, colo } = line;
  const query = new URLSearchParams({ who, path, requests, prepare, colo: colo ? "yes" : "" });
  const began = process.hrtime.bigint();
  const answer = await fetch(`${urls[worker]}/__loop?${query}`);
  const text = await answer.text();
  const millis = Number(process.hrtime.bigint() - began) / 1e6;
  if (answer.status !== 200) throw new Error(`${line.name}: ${answer.status} ${text}`);
  return millis;
}

/** Calls of the runtime's inspector, for one worker. */
async function inspector(runtime, worker) {
  const { host } = await runtime.getInspectorURL();
  const targets = await (await fetch(`http://${host}/json`)).json();
  const target = targets.find(({ id }) => id === `core:user:${worker}`);
  const socket = new WebSocket(target.webSocketDebuggerUrl);
  await once(socket, "open");
  const waiting = new Map();
  socket.addEventListener("message", ({ data }) => {
    const { id, result } = JSON.parse(data);
    waiting.get(id)?.(result);
    waiting.delete(id);
  });
  let calls = 0;
  return {
    call(method) {
      calls += 1;
      socket.send(JSON.stringify({ id: calls, method }));
      return new Promise((done) => waiting.set(calls, done));
    },
    close: () => socket.close(),
  };
}

/** Bytes of JavaScript's heap that a request of a line takes: the median of some samples. */
async function weigh(urls, line, { call }) {
  const of = async (requests) => {
    const before = await call("Runtime.getHeapUsage");
    await time(urls, line, requests);
    const after = await call("Runtime.getHeapUsage");
    return after.usedSize - before.usedSize;
  };
  const bytes = [];
  for (let sample = 0; sample < SAMPLES; sample += 1) {
    const begun = await of(0);
    bytes.push(((await of(WEIGHED)) - begun) / WEIGHED);
  }
  return bytes.toSorted((a, b) => a - b)[SAMPLES >> 1];
}

function shown(name, micros, bytes) {
  const sorted = micros.toSorted((a, b) => a - b);
  const at = (share) => sorted[Math.floor(share * (sorted.length - 1))].toFixed(1);
  return `| ${name} | ${at(0.5)} (${at(0)} to ${at(1)}) | ${Math.round(bytes)} |`;
}

const origin = await startOrigin();
const at = `http://127.0.0.1:${origin.address().port}`;
const runtime = new Miniflare({
  host: "127.0.0.1",
  port: 0,
  cf: false,
  inspectorPort: 0,
  workers: [edge("memory", at, {}), edge("colo", at, { memory: 0 })],
});
try {
  await runtime.ready;
  const urls = {};
  for (const name of ["memory", "colo"]) {
    urls[name] = String(await runtime.unsafeGetDirectURL(name)).replace(/\/$/, "");
  }
  const micros = LINES.map(() => []);
  for (const line of LINES) await time(urls, line, REQUESTS, line.who === "edge" ? "yes" : "");
  for (let turn = 0; turn < TURNS; turn += 1) {
    for (const [number, line] of LINES.entries()) {
      const few = await time(urls, line, REQUESTS / 10);
      const many = await time(urls, line, REQUESTS / 10 + REQUESTS);
      micros[number].push(((many - few) * 1_000) / REQUESTS);
    }
  }
  console.log("| in the isolate | µs | bytes of JavaScript |\n| --- | --- | --- |");
  for (const [number, line] of LINES.entries()) {
    const inspected = await inspector(runtime, line.worker);
    const bytes = await weigh(urls, line, inspected);
    inspected.close();
    console.log(shown(line.name, micros[number], bytes));
  }
} finally {
  await runtime.dispose();
  origin.closeAllConnections();
  origin.close();
}
