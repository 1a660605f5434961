// Hits with and without the table `[assets]` of wrangler.toml, which is what the dashboard's files
// are asked for by: the same release worker twice in one workerd, in turns. Prints the ratio of
// answers a second, with over without, and writes nothing. Needs wrk.
//
//     bench_assets.mjs [--quick]

import { execFile } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import http from "node:http";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Miniflare } from "miniflare";
import { KEY } from "./bench_webhook.mjs";

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const BUILD = join(ROOT, "build");
const [TURNS, SECONDS] = process.argv.includes("--quick") ? [3, 1] : [11, 3];
const PAGES = ["/a/", "/b/"];
const DATE = "2026-07-01";

const run = promisify(execFile);
const read = (name, coding) => readFileSync(join(BUILD, name), coding);

async function startOrigin() {
  const body = "<p>page</p>".repeat(930);
  const fields = { "content-type": "text/html", "cdn-cache-control": "max-age=86400" };
  const server = http.createServer((_, answer) => answer.writeHead(200, fields).end(body));
  await once(server.listen(0, "127.0.0.1"), "listening");
  return server;
}

function edge(name, ORIGIN, more) {
  return {
    name,
    modulesRoot: "/",
    modules: [
      { type: "ESModule", path: "/index.js", contents: read("index.js", "utf8") },
      { type: "CompiledWasm", path: "/index_bg.wasm", contents: read("index_bg.wasm") },
    ],
    compatibilityDate: DATE,
    bindings: {
      ORIGIN,
      WEBHOOK_SECRETS: `whsec_${KEY.toString("base64")}`,
      EDGE_ISR: { log: "off", new_keys_per_second: 1_000_000 },
    },
    durableObjects: {
      JOURNAL: { className: "Journal", useSQLite: true },
      SHARDS: { className: "IndexShard", useSQLite: true },
    },
    kvNamespaces: ["PAGES"],
    unsafeDirectSockets: [{ host: "127.0.0.1", port: 0 }],
    ...more,
  };
}

function startRuntime(origin) {
  const files = {
    name: "files",
    modules: [{ type: "ESModule", path: "files.js", contents: "export default {}" }],
    compatibilityDate: DATE,
    assets: { workerName: "files", directory: join(BUILD, "dashboard"), binding: "ASSETS" },
  };
  return new Miniflare({
    host: "127.0.0.1",
    port: 0,
    cf: false,
    handleRuntimeStdio: (stdout, stderr) => (stdout.resume(), stderr.resume()),
    workers: [
      edge("without", origin, {}),
      edge("with", origin, { serviceBindings: { ASSETS: "files" } }),
      files,
    ],
  });
}

async function untilHit(url) {
  let said;
  for (let tries = 0; tries < 200; tries += 1) {
    const answer = await fetch(url, { headers: { "accept-encoding": "identity" } });
    await answer.arrayBuffer();
    said = `${answer.status} ${answer.headers.get("cache-status")}`;
    if (/hit/.test(said)) return;
  }
  throw new Error(`${url} is never a hit: ${said}`);
}

/** Answers a second, with 16 connections. */
async function rate(url) {
  const fields = ["-H", "Accept-Encoding: identity"];
  const { stdout } = await run("wrk", ["-t1", "-c16", `-d${SECONDS}s`, ...fields, url]);
  if (/Non-2xx|Socket errors/.test(stdout)) throw new Error(stdout);
  return Number(/Requests\/sec:\s+([\d.]+)/.exec(stdout)[1]);
}

const sorted = (values) => [...values].sort((a, b) => a - b);
const median = (values) => sorted(values)[values.length >> 1];

async function main() {
  const origin = await startOrigin();
  const runtime = startRuntime(`http://127.0.0.1:${origin.address().port}`);
  try {
    await runtime.ready;
    const url = {};
    for (const name of ["without", "with"]) {
      url[name] = new URL(await runtime.unsafeGetDirectURL(name)).origin;
      for (const path of PAGES) await untilHit(url[name] + path);
    }
    const shown = await fetch(`${url.with}/__isr/`);
    const hidden = await fetch(`${url.without}/__isr/`);
    if (shown.status !== 200 || hidden.status !== 404)
      throw new Error("the dashboard is not there");
    const rates = { without: [], with: [] };
    const ratios = [];
    for (let turn = 0; turn < TURNS; turn += 1) {
      // Who is first in a turn is last in the next.
      const names = turn % 2 === 0 ? ["without", "with"] : ["with", "without"];
      const found = {};
      for (const name of names) found[name] = await rate(url[name] + PAGES[turn % PAGES.length]);
      for (const name of names) rates[name].push(found[name]);
      ratios.push(found.with / found.without);
    }
    const [least, most] = [sorted(ratios)[0], sorted(ratios).at(-1)];
    const many = (name) => `${Math.round(median(rates[name])).toLocaleString("en")} ${name}`;
    console.log(`Hits a second: ${many("with")}, ${many("without")} [assets].`);
    const spread = `${least.toFixed(3)} to ${most.toFixed(3)}, ${TURNS} turns`;
    console.log(`With by without: ${median(ratios).toFixed(3)} (${spread}).`);
  } finally {
    await runtime.dispose();
    origin.closeAllConnections();
    origin.close();
  }
}

await main();
