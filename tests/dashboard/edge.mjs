// What the dashboard's tests run on: an origin with pages that have tags, and the built worker in
// front of it, on a runtime of its own.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

export const ROOT = fileURLToPath(new URL("../../", import.meta.url));

export const TOKENS = { reader: "test-read", writer: "test-write", operator: "test-admin" };
const SCOPES = { reader: "read", writer: "revalidate", operator: "admin" };

/** A tag that would do harm as markup. */
export const HOSTILE = "<img/src=x/onerror=document.title='hurt'>";

/** Pages by their paths: their tags. Anything else is one of the site's own files. */
const PAGES = {
  "/post/1/": `post:1 posts ${HOSTILE}`,
  "/post/2/": "post:2 posts",
  "/post/3/": "post:3 posts",
};

async function origin() {
  const server = createServer((request, response) => {
    server.asked += 1;
    const path = new URL(request.url, "http://origin").pathname;
    response.setHeader("content-type", "text/html; charset=utf-8");
    response.setHeader(
      "cache-control",
      path === "/account/" ? "private" : "s-maxage=300, stale-while-revalidate=600",
    );
    if (PAGES[path]) response.setHeader("x-edge-isr-tags", PAGES[path]);
    response.end(`<title>${path}</title>the site's own ${path}`);
  });
  server.asked = 0;
  await once(server.listen(0, "127.0.0.1"), "listening");
  return server;
}

/** The worker's build with the one of these tests round it. */
async function wrapped(directory) {
  cpSync(join(ROOT, "build/dashboard"), join(directory, "dashboard"), { recursive: true });
  cpSync(join(ROOT, "build/index_bg.wasm"), join(directory, "index_bg.wasm"));
  cpSync(join(ROOT, "build/index.js"), join(directory, "built.js"));
  cpSync(new URL("edge_worker.mjs", import.meta.url), join(directory, "main.mjs"));
  await build({
    entryPoints: [join(directory, "main.mjs")],
    outfile: join(directory, "index.js"),
    bundle: true,
    format: "esm",
    external: ["./index_bg.wasm", "cloudflare:workers"],
    logLevel: "error",
  });
}

/** Lines of a process until one matches; its whole output where none does. */
async function ready(process) {
  let text = "";
  for await (const piece of process.stdout.setEncoding("utf8")) {
    text += piece;
    const found = /ready on (http:\S+)/.exec(text);
    if (found) return found[1];
  }
  throw new Error(`scripts/serve ended: ${text}`);
}

/** Starts both; `stop` ends both. */
export async function start() {
  const directory = mkdtempSync(join(tmpdir(), "edge-isr-dashboard-"));
  const server = await origin();
  await wrapped(directory);
  const tokens = Object.entries(TOKENS).flatMap(([name, value]) => [
    "--token",
    `${name}:${SCOPES[name]}:${value}`,
  ]);
  const upstream = `http://127.0.0.1:${server.address().port}`;
  const run = async (port) => {
    const worker = spawn(
      join(ROOT, "node_modules/.bin/node"),
      [
        join(ROOT, "scripts/lib/serve.mjs"),
        ...["--build", directory, "--persist", join(directory, "kept")],
        ...["--port", port, "--origin", upstream, ...tokens],
      ],
      // A group of its own, which can be killed with the runtime in it.
      { stdio: ["ignore", "pipe", "inherit"], detached: true },
    );
    const url = await ready(worker);
    // An isolate reads its bindings once: the worker's, in which the journal can be out of reach,
    // before those of an object in the same isolate.
    await fetch(`${url}/__isr/healthz`);
    return { worker, url };
  };
  let { worker, url } = await run("0");
  const kill = async () => {
    process.kill(-worker.pid, "SIGKILL");
    await once(worker, "exit");
    ({ worker, url } = await run(new URL(url).port));
  };
  const stop = async () => {
    worker.kill("SIGTERM");
    await once(worker, "exit");
    server.closeAllConnections();
    server.close();
    rmSync(directory, { recursive: true });
  };
  const asked = () => server.asked;
  return { url, pages: Object.keys(PAGES), kill, stop, asked, ...calls(url) };
}

function calls(url) {
  let reports = 0;
  const ask = async (path, token = "operator") => {
    const response = await fetch(url + path, {
      headers: { authorization: `Bearer ${TOKENS[token]}` },
    });
    return response.json();
  };
  const send = async (path, body) => {
    const headers = { authorization: `Bearer ${TOKENS.operator}` };
    const response = await fetch(url + path, {
      method: "POST",
      headers,
      body: JSON.stringify(body),
    });
    return response.json();
  };
  const remove = async (path) => {
    const headers = { authorization: `Bearer ${TOKENS.operator}` };
    return (await fetch(url + path, { method: "DELETE", headers })).json();
  };
  const door = (what, body) =>
    fetch(`${url}/__test/${what}`, { method: "POST", body: body && JSON.stringify(body) });
  // What an isolate counts goes to the journal once a minute; a test has no such minute to wait
  // for.
  const report = async (kinds, counters = {}, origin = {}) => {
    reports += 1;
    const colos = {
      AMS: kinds.reduce(
        (sum, [, { requests, bytes }]) => ({
          requests: sum.requests + requests,
          bytes: sum.bytes + bytes,
        }),
        { requests: 0, bytes: 0 },
      ),
    };
    const response = await door("report", {
      isolate: "test",
      number: reports,
      colo: "AMS",
      counts: { kinds, colos, counters, origin },
    });
    if (!response.ok) throw new Error(await response.text());
  };
  /** What an audit could have found, as an isolate reports it. */
  const found = async (finding) => {
    const response = await door("finding", finding);
    if (!response.ok) throw new Error(await response.text());
  };
  /** Until something holds; each try is an answer of the worker. */
  const until = async (condition) => {
    for (let tries = 0; tries < 400; tries += 1) if (await condition()) return;
    throw new Error(`never: ${condition}`);
  };
  return { ask, send, remove, door, report, found, until };
}
