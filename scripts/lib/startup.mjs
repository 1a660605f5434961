// How long the built worker takes to start: prints one line, and sets no limit.
//
// workerd has no figure of its own, so this measures in the same engine (V8, by the pinned node)
// what it does at start: compiling build/index_bg.wasm and making an instance of it, with imports
// that do nothing. Not measured: evaluating build/index.js, and the first request. Each run has a
// process of its own, because V8 keeps compiled modules. Functions are compiled when first called,
// as in workerd; `eager` is the bound without that: every function compiled before the start.

import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const RUNS = 7;
const SELF = fileURLToPath(import.meta.url);
// Whatever node begins this: an older one has not all that the module asks for.
const PINNED = fileURLToPath(new URL("../../node_modules/.bin/node", import.meta.url));
const NODE = existsSync(PINNED) ? PINNED : process.execPath;
const MODULE = fileURLToPath(new URL("../../build/index_bg.wasm", import.meta.url));

function nothing() {}

// An import of the kind that the module asks for.
function stub({ module, name, kind }) {
  switch (kind) {
    case "function":
      return nothing;
    case "global":
      return new WebAssembly.Global({ value: "i32" }, 0);
    case "tag":
      return new WebAssembly.Tag({ parameters: ["externref"] });
    default:
      throw new Error(`no stub for the import ${module}.${name}, a ${kind}`);
  }
}

function importsOf(module) {
  const imports = {};
  for (const entry of WebAssembly.Module.imports(module)) {
    imports[entry.module] ??= {};
    imports[entry.module][entry.name] = stub(entry);
  }
  return imports;
}

function once() {
  const bytes = readFileSync(MODULE);
  const began = performance.now();
  const module = new WebAssembly.Module(bytes);
  const imports = importsOf(module);
  new WebAssembly.Instance(module, imports);
  return performance.now() - began;
}

function median(flags) {
  const times = [];
  for (let run = 0; run < RUNS; run += 1) {
    times.push(Number(execFileSync(NODE, [...flags, SELF, "--once"], { encoding: "utf8" })));
  }
  return times.sort((a, b) => a - b)[RUNS >> 1].toFixed(1);
}

if (process.argv[2] === "--once") {
  console.log(once());
} else {
  const lazy = median([]);
  const eager = median(["--no-wasm-lazy-compilation"]);
  console.log(
    `start-up: ${lazy} ms to compile and instantiate the wasm in node's V8 ` +
      `(median of ${RUNS}; ${eager} ms eager)`,
  );
}
