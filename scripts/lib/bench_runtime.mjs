// What the built worker does on the local runtime (workerd, by way of Miniflare), and how fast: one
// JSON document.
//
// Speed: fills as visitors make them (a request for a page that nobody has: lease, origin, KV,
// record), and fills as a shard sees them (a lease and a record, sent from inside the runtime),
// each in turns with requests to a bare Durable Object that does one INSERT, so that both meet the
// same machine. Operations: what one hit, fill, sync, invalidation and refetch cost, counted in
// scripts/lib/bench_worker.mjs. Nothing is judged.

import { once } from "node:events";
import http from "node:http";
import { tmpdir } from "node:os";
import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { Miniflare } from "miniflare";
import { Agent, request } from "undici";
import { KEY, signed } from "./bench_webhook.mjs";

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const BUILD = join(ROOT, "build");
const QUICK = process.argv.includes("--quick");

const ROUNDS = QUICK ? 3 : 7;
// Pages of one round, and requests at once.
const FILLS = QUICK ? 100 : 200;
const WIDTH = 16;
// Pages of which operations are counted.
const COUNTED = 50;
const PAGES = Array.from({ length: COUNTED }, (_, at) => 100 + at);
const TAGS = 10;
const SHARDS = 8;
const SECRET = `whsec_${KEY.toString("base64")}`;
const SITE = "bench.test";

const agent = new Agent({ connections: WIDTH, pipelining: 1, keepAliveTimeout: 2_000 });
const say = (text) => process.stderr.write(`bench: ${text}\n`);

/** Pages of 8 kB with ten tags: one of its own, one of all pages, the others of few. */
async function startOrigin() {
  const body = "<p>page</p>".repeat(745);
  const origin = { hits: 0 };
  const server = http.createServer((incoming, response) => {
    origin.hits += 1;
    const page = incoming.url.slice(3);
    const number = Number(page);
    const few = Array.from(
      { length: TAGS - 2 },
      (_, at) => `item:${(number * 7 + at * 1009) % 10_000}`,
    );
    response.setHeader("cdn-cache-control", "max-age=3600, stale-while-revalidate=86400");
    response.setHeader("x-edge-isr-tags", [`post:${page}`, "all", ...few].join(" "));
    response.setHeader("content-type", "text/html");
    response.end(body);
  });
  server.keepAliveTimeout = 600_000;
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  origin.url = `http://127.0.0.1:${server.address().port}`;
  origin.close = () => {
    server.closeAllConnections();
    server.close();
  };
  return origin;
}

function startRuntime(origin, state) {
  return new Miniflare({
    host: "127.0.0.1",
    port: 0,
    cf: false,
    // What all colos share outlives a restart; an isolate's memory and a colo's cache do not.
    durableObjectsPersist: join(state, "objects"),
    kvPersist: join(state, "kv"),
    handleRuntimeStdio: (stdout, stderr) => {
      stdout.resume();
      stderr.on("data", (text) => process.stderr.write(text));
    },
    workers: [
      {
        name: "edge-isr",
        modulesRoot: "/",
        modules: [
          { type: "ESModule", path: "/main.mjs", contents: WRAPPER },
          { type: "ESModule", path: "/index.js", contents: read("index.js", "utf8") },
          { type: "CompiledWasm", path: "/index_bg.wasm", contents: read("index_bg.wasm") },
        ],
        compatibilityDate: "2026-07-01",
        compatibilityFlags: ["enable_request_signal"],
        bindings: {
          ORIGIN: origin,
          WEBHOOK_SECRETS: SECRET,
          EDGE_ISR: { shards: SHARDS, new_keys_per_second: 1_000_000, warm_rate: 10_000 },
        },
        durableObjects: {
          JOURNAL: { className: "Journal", useSQLite: true },
          SHARDS: { className: "IndexShard", useSQLite: true },
          BARE: { className: "Bare", useSQLite: true },
        },
        kvNamespaces: ["PAGES"],
      },
    ],
  });
}

const read = (name, coding) => readFileSync(join(BUILD, name), coding);
const WRAPPER = readFileSync(join(ROOT, "scripts/lib/bench_worker.mjs"), "utf8");

async function send(base, host, path, options = {}) {
  const { headers = {}, ...rest } = options;
  const all = { host, "accept-encoding": "identity", ...headers };
  const answer = await request(new URL(path, base), { dispatcher: agent, headers: all, ...rest });
  const text = await answer.body.text();
  if (answer.statusCode >= 300) throw new Error(`${host}${path}: ${answer.statusCode} ${text}`);
  return { text, headers: answer.headers };
}

const control = (base, path) => send(base, "control.test", path);
const nameOf = (page) => String(page).padStart(8, "0");
const visit = (base, page) => send(base, SITE, `/p/${nameOf(page)}`);

async function invalidate(base, command) {
  const { headers, body } = signed(command);
  const answer = await send(base, SITE, "/__isr/v1/revalidate", { method: "POST", headers, body });
  return JSON.parse(answer.text);
}

async function inParallel(from, many, work) {
  let next = from;
  const lane = async () => {
    while (next < from + many) await work(next++);
  };
  await Promise.all(Array.from({ length: WIDTH }, lane));
}

/**
 * Processor time that the runtime has taken, its system calls included: of this process's children.
 */
function processorSeconds() {
  const numbers = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  const fields = numbers
    .map((number) => stat(number))
    .filter((all) => Number(all[1]) === process.pid);
  // utime and stime (proc(5)), in hundredths of a second.
  return fields.reduce((sum, all) => sum + (Number(all[11]) + Number(all[12])) / 100, 0);
}

/** What the system says of a process after its name; nothing of one that has ended meanwhile. */
function stat(number) {
  try {
    return readFileSync(`/proc/${number}/stat`, "utf8").split(") ").at(-1).split(" ");
  } catch {
    return [];
  }
}

/** How many of them a second, and a second of the runtime's processor time. */
async function rate(many, work) {
  const [began, processor] = [performance.now(), processorSeconds()];
  await work();
  const seconds = (performance.now() - began) / 1000;
  return { wall: many / seconds, worked: many / (processorSeconds() - processor) };
}

async function until(condition) {
  const end = performance.now() + 60_000;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error("it did not come to pass within 60 s");
    await new Promise((done) => setTimeout(done, 20));
  }
}

function figure(name, unit, bound, parts) {
  const sorted = parts.toSorted((a, b) => a - b);
  const [lowest, highest] = [sorted[0], sorted.at(-1)];
  return {
    name,
    unit,
    bound,
    median: sorted[sorted.length >> 1],
    lowest,
    highest,
    of: sorted.length,
  };
}

async function speed(base) {
  await control(base, "/uncounted");
  const names = ["whole", "insert", "fills", "inserts"];
  const parts = Object.fromEntries(names.map((name) => [name, []]));
  let from = 1_000_000;
  for (let round = 0; round < ROUNDS; round += 1) {
    const inside = (what) => () =>
      control(base, `/${what}?width=${WIDTH}&from=${from}&many=${FILLS}`);
    parts.whole.push(await rate(FILLS, () => inParallel(from, FILLS, (page) => visit(base, page))));
    parts.insert.push(
      await rate(FILLS, () => inParallel(0, FILLS, () => control(base, "/insert"))),
    );
    from += FILLS;
    parts.fills.push(await rate(FILLS, inside("fills")));
    parts.inserts.push(await rate(FILLS, inside("inserts")));
    from += FILLS;
    say(`round ${round + 1}: ${parts.fills.at(-1).wall.toFixed(0)} fills/s in one shard`);
  }
  const wall = (what) => parts[what].map((part) => part.wall);
  const worked = (what) => parts[what].map((part) => part.worked);
  const ratio = (a, b) => wall(a).map((value, at) => value / wall(b)[at]);
  return [
    figure(
      "single fills in one shard on workerd: lease and record",
      "fills/s",
      ">= 500",
      wall("fills"),
    ),
    figure("the same, per second of the runtime's processor time", "fills/s", "", worked("fills")),
    figure("a bare object's single inserts, in turns with them", "inserts/s", "", wall("inserts")),
    figure(
      "the same, per second of the runtime's processor time",
      "inserts/s",
      "",
      worked("inserts"),
    ),
    figure("fills by a bare object's inserts", "times", "", ratio("fills", "inserts")),
    figure(
      "whole fills over HTTP: visitor, lease, origin, KV, record",
      "fills/s",
      "",
      wall("whole"),
    ),
    figure("the same, per second of the runtime's processor time", "fills/s", "", worked("whole")),
    figure(
      "a bare object's single inserts over HTTP, in turns with them",
      "inserts/s",
      "",
      wall("insert"),
    ),
    figure(
      "whole fills by a bare object's inserts, over HTTP",
      "times",
      "",
      ratio("whole", "insert"),
    ),
  ];
}

/** What one of them costs, on average. */
async function cost(base, many, work) {
  await settle(base);
  await work();
  return Object.fromEntries(
    Object.entries(await settle(base))
      .map(([name, total]) => [name, total / many])
      .toSorted(([a], [b]) => (a < b ? -1 : 1)),
  );
}

/**
 * All that was counted, once nothing more comes: what is stored after the answer counts as well.
 */
async function settle(base) {
  const all = {};
  for (;;) {
    const counts = JSON.parse((await control(base, "/counts")).text);
    for (const [name, value] of Object.entries(counts)) all[name] = (all[name] ?? 0) + value;
    if (Object.keys(counts).length === 0) return all;
    await new Promise((done) => setTimeout(done, 100));
  }
}

async function operations(base, origin) {
  const each = async (work) => {
    for (const page of PAGES) await work(page);
  };
  const found = {};
  found["a fill of a new page"] = await cost(base, COUNTED, () =>
    each((page) => visit(base, page)),
  );
  found["a hit"] = await cost(base, COUNTED, () => each((page) => visit(base, page)));
  found["a hit after a pause longer than max_lag"] = await cost(base, 3, async () => {
    for (let time = 0; time < 3; time += 1) {
      await new Promise((done) => setTimeout(done, 2_500));
      await visit(base, PAGES[0]);
    }
  });
  const revalidate = (options) => (page) =>
    invalidate(base, { tags: [`post:${nameOf(page)}`], ...options });
  found["an invalidation of a tag of one page, without its refetch"] = await cost(
    base,
    COUNTED,
    () => each(revalidate({ warm: false, mode: "hard" })),
  );
  // Until this isolate has heard of all of them.
  await new Promise((done) => setTimeout(done, 2_500));
  let before = origin.hits;
  found["a refetch for a visitor, of a page whose tags stay"] = await cost(
    base,
    COUNTED,
    async () => {
      await each((page) => visit(base, page));
      await until(() => origin.hits >= before + COUNTED);
    },
  );
  before = origin.hits;
  found["an invalidation of a tag of one page, and its refetch"] = await cost(
    base,
    COUNTED,
    async () => {
      await each(revalidate({}));
      await until(() => origin.hits >= before + COUNTED);
    },
  );
  return found;
}

async function main() {
  const state = mkdtempSync(join(tmpdir(), "edge-isr-bench-"));
  const origin = await startOrigin();
  let runtime = startRuntime(origin.url, state);
  try {
    let base = await runtime.ready;
    await first(base, 99_999_999);
    const found = await operations(base, origin);
    await runtime.dispose();
    // Another isolate in another colo: all that it has is what they share.
    runtime = startRuntime(origin.url, state);
    base = await runtime.ready;
    await first(base, 99_999_998);
    const before = origin.hits;
    found["a page that L2 has and the colo has not"] = await cost(base, COUNTED, async () => {
      for (const page of PAGES) await visit(base, page);
    });
    if (origin.hits !== before) throw new Error("L2 had not all of them");
    const figures = await speed(base);
    process.stdout.write(`${JSON.stringify({ figures, operations: found })}\n`);
  } finally {
    await runtime.dispose();
    await agent.close();
    origin.close();
    rmSync(state, { recursive: true });
  }
}

/**
 * A fill of a page that nobody has, for later ones to be made of. And until every shard is open.
 */
async function first(base, page) {
  await control(base, `/template?page=${nameOf(page)}`);
  await until(async () => (await visit(base, page)).headers["cache-status"].includes(";hit"));
  await inParallel(1, 64, (other) => visit(base, other));
}

await main();
