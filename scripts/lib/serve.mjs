// Starts the built worker on the local runtime (Miniflare) and keeps it until a signal ends it.
//
// It decides only what the runtime needs to know: modules, bindings, where state lives. The
// settings themselves are the worker's business; here they only have to be JSON.

import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Log, LogLevel, Miniflare } from "miniflare";

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const HOST = "127.0.0.1";

// The same date as in wrangler.toml: production and local runs behave alike.
const COMPATIBILITY_DATE = "2026-07-01";
const COMPATIBILITY_FLAGS = ["enable_request_signal"];
// What holds the dashboard's files.
const ASSETS = "edge-isr-assets";

/** An error of the one who called, shown without a stack trace. */
class UsageError extends Error {}

function options() {
  const spec = {
    origin: { type: "string" },
    port: { type: "string", default: "8787" },
    config: { type: "string" },
    persist: { type: "string" },
    "webhook-secret": { type: "string", multiple: true, default: [] },
    token: { type: "string", multiple: true, default: [] },
    "origin-secret": { type: "string" },
    "front-cache-secret": { type: "string", multiple: true, default: [] },
    store: { type: "string", default: "kv" },
    build: { type: "string", default: join(ROOT, "build") },
    "no-build": { type: "boolean", default: false },
    verbose: { type: "boolean", default: false },
  };
  try {
    return parseArgs({ options: spec, allowPositionals: false }).values;
  } catch (error) {
    throw new UsageError(`${error.message.split("\n")[0]} (see scripts/serve --help)`);
  }
}

function port(text) {
  const number = Number(text);
  if (!/^\d+$/.test(text) || number > 65535) {
    throw new UsageError(`--port: expected a number from 0 to 65535, got "${text}"`);
  }
  return number;
}

function origin(text) {
  if (text === undefined)
    throw new UsageError("--origin is missing: --origin http://127.0.0.1:8000");
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !["http:", "https:"].includes(url.protocol)) {
    throw new UsageError(`--origin: expected an http or https URL, got "${text}"`);
  }
  return text;
}

function config(file) {
  if (file === undefined) return {};
  let text;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw new UsageError(`--config: cannot read ${file} (${error.code})`);
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new UsageError(`--config: ${file} is not JSON: ${error.message}`);
  }
}

function token(text) {
  if (!/^[^:\s]+:[^:\s]+:\S+$/.test(text)) {
    throw new UsageError(
      "--token: expected NAME:SCOPES:VALUE, for example ci:read+revalidate:s3cret",
    );
  }
  return text;
}

function store(kind) {
  if (kind === "kv") return { kvNamespaces: ["PAGES"] };
  if (kind === "r2") return { r2Buckets: ["PAGES"] };
  throw new UsageError(`--store: expected kv or r2, got "${kind}"`);
}

function modules(directory) {
  const paths = ["index.js", "index_bg.wasm"].map((name) => join(directory, name));
  const missing = paths.find((path) => !existsSync(path));
  if (missing !== undefined) {
    throw new UsageError(`${missing} is missing: run scripts/build`);
  }
  return paths.map((path) => ({
    type: path.endsWith(".wasm") ? "CompiledWasm" : "ESModule",
    path,
  }));
}

/** The dashboard's files, where the build has them: as in production, for the worker alone to ask,
 * and not in front of it. */
function assets(directory) {
  const files = join(directory, "dashboard");
  if (!existsSync(files)) return [];
  const script = "export default {}";
  const assetConfig = { html_handling: "none", not_found_handling: "none" };
  return [
    {
      name: ASSETS,
      modules: [{ type: "ESModule", path: "assets.js", contents: script }],
      compatibilityDate: COMPATIBILITY_DATE,
      assets: { workerName: ASSETS, directory: files, binding: "ASSETS", assetConfig },
    },
  ];
}

/** Miniflare reports a taken port as a failed runtime; asking first gives the plain answer. */
function assertFree(number) {
  return new Promise((done, fail) => {
    const probe = createServer();
    probe.once("error", (error) => {
      fail(new UsageError(`--port: cannot listen on ${HOST}:${number} (${error.code})`));
    });
    probe.listen(number, HOST, () => probe.close(done));
  });
}

function persistence(directory) {
  if (directory === undefined) return {};
  const root = resolve(directory);
  try {
    mkdirSync(root, { recursive: true });
  } catch (error) {
    throw new UsageError(`--persist: cannot write ${root} (${error.code})`);
  }
  return {
    cachePersist: join(root, "cache"),
    durableObjectsPersist: join(root, "objects"),
    kvPersist: join(root, "kv"),
    r2Persist: join(root, "r2"),
  };
}

/** The runtime's own output: noise unless asked for, except what it says of its errors. */
function runtimeOutput(verbose) {
  return (stdout, stderr) => {
    stdout.setEncoding("utf8");
    stdout.on("data", (text) => verbose && process.stderr.write(text));
    stderr.setEncoding("utf8");
    stderr.on("data", (text) => verbose && process.stderr.write(text));
  };
}

async function main() {
  const given = options();
  const number = port(given.port);
  const build = resolve(given.build);
  const bindings = { ORIGIN: origin(given.origin), EDGE_ISR: config(given.config) };
  if (given["webhook-secret"].length > 0)
    bindings.WEBHOOK_SECRETS = given["webhook-secret"].join(" ");
  if (given.token.length > 0) bindings.TOKENS = given.token.map(token).join(" ");
  if (given["origin-secret"] !== undefined) bindings.ORIGIN_SECRET = given["origin-secret"];
  if (given["front-cache-secret"].length > 0)
    bindings.FRONT_CACHE_SECRETS = given["front-cache-secret"].join(" ");
  const worker = modules(build);
  const persist = persistence(given.persist);
  if (number !== 0) await assertFree(number);

  const dashboard = assets(build);
  const edge = {
    name: "edge-isr",
    modulesRoot: build,
    modules: worker,
    compatibilityDate: COMPATIBILITY_DATE,
    compatibilityFlags: COMPATIBILITY_FLAGS,
    bindings,
    durableObjects: {
      JOURNAL: { className: "Journal", useSQLite: true },
      SHARDS: { className: "IndexShard", useSQLite: true },
    },
    ...(dashboard.length > 0 ? { serviceBindings: { ASSETS } } : {}),
    ...store(given.store),
  };
  const runtime = new Miniflare({
    host: HOST,
    port: number,
    cf: false,
    log: new Log(given.verbose ? LogLevel.INFO : LogLevel.ERROR),
    handleRuntimeStdio: runtimeOutput(given.verbose),
    ...persist,
    workers: [edge, ...dashboard],
  });

  let ending = false;
  const end = async () => {
    if (ending) return;
    ending = true;
    await runtime.dispose();
    process.exit(0);
  };
  process.on("SIGTERM", end);
  process.on("SIGINT", end);

  const url = await runtime.ready;
  if (!ending) console.log(`ready on http://${HOST}:${url.port}`);
}

main().catch((error) => {
  const message =
    error instanceof UsageError ? error.message : `the runtime did not start: ${error.message}`;
  console.error(`serve: error: ${message}`);
  process.exit(error instanceof UsageError ? 2 : 1);
});
