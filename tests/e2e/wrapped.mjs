// Starts the built worker with another one round it, on a runtime of its own: with its own memory,
// and as a colo of its own. The worker round it, bindings, build, port and where state is kept come
// as one JSON argument. SIGUSR2 makes it print what the worker's isolate holds, SIGHUP the same
// with what is garbage.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Miniflare } from "miniflare";
import { isolateMemory } from "../../scripts/lib/isolate_memory.mjs";

const { around, bindings, build, persist, port } = JSON.parse(process.argv[2]);
const read = (name, coding) => readFileSync(join(build, name), coding);

const runtime = new Miniflare({
  name: "edge-isr",
  host: "127.0.0.1",
  port,
  cf: false,
  inspectorPort: 0,
  durableObjectsPersist: join(persist, "objects"),
  kvPersist: join(persist, "kv"),
  handleRuntimeStdio: (stdout, stderr) => {
    stdout.pipe(process.stderr);
    stderr.pipe(process.stderr);
  },
  modulesRoot: "/",
  modules: [
    { type: "ESModule", path: "/main.mjs", contents: readFileSync(around, "utf8") },
    { type: "ESModule", path: "/index.js", contents: read("index.js", "utf8") },
    { type: "CompiledWasm", path: "/index_bg.wasm", contents: read("index_bg.wasm") },
  ],
  compatibilityDate: "2026-07-01",
  compatibilityFlags: ["enable_request_signal"],
  bindings,
  durableObjects: {
    JOURNAL: { className: "Journal", useSQLite: true },
    SHARDS: { className: "IndexShard", useSQLite: true },
  },
  kvNamespaces: ["PAGES"],
});

process.on("SIGTERM", () => runtime.dispose().then(() => process.exit(0)));
await runtime.ready;
const held = await isolateMemory(runtime, "edge-isr");
process.on("SIGUSR2", async () => console.log(`held ${await held(true)}`));
process.on("SIGHUP", async () => console.log(`held ${await held(false)}`));
console.log("ready");
