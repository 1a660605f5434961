// Starts one colo of several: a runtime of its own, with its own memory and its own cache. What all share (the journal,
// the shards, L2) is in the one that is given no `HOME`. Its bindings, its build, its port and where it keeps state come
// as one JSON argument.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Miniflare } from "miniflare";

const { bindings, build, persist, port } = JSON.parse(process.argv[2]);
const read = (name, coding) => readFileSync(join(build, name), coding);

const runtime = new Miniflare({
  name: "edge-isr",
  host: "127.0.0.1",
  port,
  cf: false,
  durableObjectsPersist: join(persist, "objects"),
  kvPersist: join(persist, "kv"),
  handleRuntimeStdio: (stdout, stderr) => {
    stdout.pipe(process.stderr);
    stderr.pipe(process.stderr);
  },
  modulesRoot: "/",
  modules: [
    { type: "ESModule", path: "/colo.mjs", contents: readFileSync(new URL("colo_worker.mjs", import.meta.url), "utf8") },
    { type: "ESModule", path: "/index.js", contents: read("index.js", "utf8") },
    { type: "CompiledWasm", path: "/index_bg.wasm", contents: read("index_bg.wasm") },
  ],
  compatibilityDate: "2026-07-01",
  bindings,
  durableObjects: {
    JOURNAL: { className: "Journal", useSQLite: true },
    SHARDS: { className: "IndexShard", useSQLite: true },
  },
  kvNamespaces: ["PAGES"],
});

process.on("SIGTERM", () => runtime.dispose().then(() => process.exit(0)));
await runtime.ready;
console.log("ready");
