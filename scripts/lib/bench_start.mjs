// From the start of the local runtime to its first answer: the release worker, beside a worker that
// carries the same bytes and uses none of them, and beside one without WebAssembly. Most of the
// time is the runtime's own, and the same for all: the differences are what counts.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Miniflare } from "miniflare";

const CONSTANT = "export default { fetch: () => new Response() };";

function workers(build) {
  const [script, wasm] = ["index.js", "index_bg.wasm"].map((name) => join(build, name));
  const weight = readFileSync(script, "utf8").length;
  const module = (name, contents) => ({ type: "ESModule", path: `/${name}.mjs`, contents });
  const bytes = { type: "CompiledWasm", path: "/index_bg.wasm", contents: readFileSync(wasm) };
  const idle = `import bytes from "./index_bg.wasm";
${CONSTANT}
export class Idle { constructor() { this.bytes = bytes; } }
// ${"x".repeat(weight)}`;
  return {
    "without WebAssembly": { modulesRoot: "/", modules: [module("constant", CONSTANT)] },
    "as large, idle": { modulesRoot: "/", modules: [module("idle", idle), bytes] },
    "edge-isr": {
      modulesRoot: build,
      modules: [
        { type: "ESModule", path: script },
        { type: "CompiledWasm", path: wasm },
      ],
      compatibilityFlags: ["enable_request_signal"],
      bindings: { ORIGIN: "http://127.0.0.1:9", EDGE_ISR: { log: "off" } },
      durableObjects: {
        JOURNAL: { className: "Journal", useSQLite: true },
        SHARDS: { className: "IndexShard", useSQLite: true },
      },
      kvNamespaces: ["PAGES"],
    },
  };
}

/** One start, in milliseconds. */
async function start(worker) {
  const quiet = (stdout, stderr) => (stdout.resume(), stderr.resume());
  const began = performance.now();
  const runtime = new Miniflare({
    host: "127.0.0.1",
    port: 0,
    cf: false,
    handleRuntimeStdio: quiet,
    compatibilityDate: "2026-07-01",
    ...worker,
  });
  const url = await runtime.ready;
  // Refused at the door (RFC 8586): nothing is asked of the origin or the journal.
  const response = await fetch(url, { headers: { "cdn-loop": "edge-isr" } });
  await response.arrayBuffer();
  const took = performance.now() - began;
  await runtime.dispose();
  return took;
}

/** Each in turns. */
export async function firstAnswers(build, rounds) {
  const subjects = Object.entries(workers(build));
  const times = Object.fromEntries(subjects.map(([who]) => [who, []]));
  // The first start reads everything from the disk.
  for (const [, worker] of subjects) await start(worker);
  for (let round = 0; round < rounds; round += 1) {
    for (const [who, worker] of subjects) times[who].push(await start(worker));
  }
  return subjects.map(([who]) => {
    const sorted = times[who].sort((one, other) => one - other);
    return { who, median_ms: sorted[sorted.length >> 1], highest_ms: sorted.at(-1) };
  });
}
