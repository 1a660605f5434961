// What an answer costs: the release worker beside workers that are written by hand, in one workerd,
// and beside nginx and Varnish where they are installed; in turns, one JSON document. Sockets go
// straight to each worker: the entry of the local runtime would hide the difference. A wrk with 32
// connections asks; the processor's time is what the process that answers took. Nothing is judged.
// --quick makes one round, and leaves out what takes minutes to prepare. --moments measures what
// happens once instead.

import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, get as httpGet, Agent } from "node:http";
import { loadavg, tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Miniflare } from "miniflare";
import { children, nginx, pause, processorTime, say, varnish } from "./bench_native.mjs";
import { firstAnswers } from "./bench_start.mjs";
import { KEY, signed } from "./bench_webhook.mjs";

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const BUILD = process.env.EDGE_ISR_BUILD ?? join(ROOT, "build");
const QUICK = process.argv.includes("--quick");
const ONLY = process.env.EDGE_ISR_ROWS?.split(";");
const MOMENTS = process.argv.includes("--moments");
const [ROUNDS, SECONDS] = QUICK ? [1, 1] : [5, 1];
const SITE = "bench.test";
const run = promisify(execFile);
const directory = mkdtempSync(join(tmpdir(), "bench-hot-"));

const VISITOR = {
  Host: SITE,
  Accept: "text/html",
  "Accept-Language": "en-US,en;q=0.9",
  "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
  Cookie: "_ga=GA1.2.3; consent=yes",
};
const DJANGO = "Accept-Encoding, Accept-Language, Cookie";
const text = (size) => "<!doctype html><p>".padEnd(size, "x");

// A page's path says what its origin answers: /size/tags/kind/name.
const path = (size = 10_240, tags = 3, kind = "plain") =>
  `/${size}/${tags}/${kind}/page?utm_source=x&b=2&a=1`;
let asked = 0;

const origin = createServer((request, response) => {
  asked += 1;
  const [, size, tags, kind] = request.url.split("/");
  const lifetime = kind === "short" ? 1 : 3600;
  response.setHeader("cache-control", `public, s-maxage=${lifetime}, stale-while-revalidate=86400`);
  response.setHeader("content-type", "text/html; charset=utf-8");
  response.setHeader("etag", '"v1"');
  response.setHeader(
    "x-edge-isr-tags",
    Array.from({ length: Number(tags) || 1 }, (_, at) => `post:${at}`).join(" "),
  );
  if (kind === "vary") response.setHeader("vary", DJANGO);
  const body = text(Number(size) || 10_240);
  if (kind === "slow") setTimeout(() => response.end(body), 100);
  else response.end(body);
});

const lua = (name, script) => {
  const file = join(directory, `${name}.lua`);
  writeFileSync(file, script);
  return ["-s", file];
};
const languages = (count) =>
  lua(
    `languages${count}`,
    `local n = 0
request = function()
  n = n + 1
  return wrk.format(nil, nil, { ["Accept-Language"] = "l" .. string.char(97 + n % ${count}) })
end`,
  );
const unique = () =>
  lua(
    "unique",
    `local n = 0
math.randomseed(os.time())
local run = math.random(1, 1e9)
request = function()
  n = n + 1
  return wrk.format(nil, wrk.path .. "&n=" .. run .. "-" .. n)
end`,
  );

const MEMORY = ["constant", "map", "edge-isr", "nginx", "Varnish"];
const COLO = ["constant", "Cache API", "edge-isr, colo"];
const HERE = ["edge-isr", "nginx", "Varnish"];
const row = (name, who, more = {}) => ({ name, who, path: path(), more: [], fields: {}, ...more });
const ROWS = [
  row("hit in memory", MEMORY),
  row("hit in memory, Django's Vary", ["constant", "edge-isr"], { path: path(10_240, 3, "vary") }),
  row("hit in the colo", COLO),
  row("hit in the colo, Django's Vary", COLO, { path: path(10_240, 3, "vary") }),
  row("304", HERE, { fields: { "If-None-Match": '"v1"' } }),
  row("HEAD", HERE, { more: lua("head", 'wrk.method = "HEAD"') }),
  row("range", HERE, { fields: { Range: "bytes=0-99" } }),
  row("miss, fast origin", ["map", "Cache API", ...HERE], { more: unique() }),
  row("stale hit and its refresh", ["Cache API", ...HERE], { path: path(10_240, 3, "short") }),
  row("pass, session cookie", ["map", "Cache API", ...HERE], { fields: { Cookie: "sessionid=1" } }),
  ...[1_024, 102_400, 1_048_576].map((size) =>
    row(`hit, ${size / 1_024} KiB`, MEMORY, { path: path(size) }),
  ),
  ...[1, 5, 20].map((tags) => row(`hit, ${tags} tags`, ["edge-isr"], { path: path(10_240, tags) })),
  ...[1, 4, 16].map((count) =>
    row(`hit, ${count} variants`, ["edge-isr"], {
      path: path(10_240, 3, "vary"),
      more: languages(count),
    }),
  ),
  // 100,000 pages are more than an isolate may hold: tests/hit_costs.rs counts there.
  ...[
    [100, 0],
    [10_000, 0],
    [10_000, 1_000],
    [10_000, 100_000],
  ].map(([pages, targets]) =>
    row(
      `hit beside ${pages.toLocaleString("en")} pages, ${targets.toLocaleString("en")} targets`,
      ["constant", "edge-isr, grown"],
      { before: (subjects) => grow(subjects["edge-isr, grown"], pages, targets), slow: true },
    ),
  ),
].filter(({ name, slow }) => (ONLY ? ONLY.includes(name) : !(QUICK && slow)));

function script(name, contents, bindings) {
  const modules = [{ type: "ESModule", path: `/${name}.mjs`, contents }];
  return { name, modules, modulesRoot: "/", bindings };
}

function edge(name, ORIGIN, settings) {
  const files = ["index.js", "index_bg.wasm"].map((file) => join(BUILD, file));
  return {
    name,
    modulesRoot: BUILD,
    modules: files.map((file) => ({
      type: file.endsWith(".wasm") ? "CompiledWasm" : "ESModule",
      path: file,
    })),
    compatibilityFlags: ["enable_request_signal"],
    bindings: {
      ORIGIN,
      WEBHOOK_SECRETS: `whsec_${KEY.toString("base64")}`,
      EDGE_ISR: { log: "off", new_keys_per_second: 1_000_000, ...settings },
    },
    durableObjects: {
      JOURNAL: { className: "Journal", useSQLite: true },
      SHARDS: { className: "IndexShard", useSQLite: true },
    },
    kvNamespaces: ["PAGES"],
  };
}

async function startWorkers(ORIGIN) {
  const constant = `const body = ${JSON.stringify(text(10_240))};
const headers = {
  "content-type": "text/html; charset=utf-8",
  "cache-control": "max-age=0, must-revalidate",
};
export default { fetch: () => new Response(body, { headers }) };`;
  const read = (name) => readFileSync(join(ROOT, "scripts/lib", name), "utf8");
  const common = {
    compatibilityDate: "2026-07-01",
    unsafeDirectSockets: [{ host: "127.0.0.1", port: 0 }],
  };
  const workers = [
    script("entry", "export default { fetch: () => new Response() };", {}),
    script("constant", constant, {}),
    script("map", read("bench_map.mjs"), { ORIGIN }),
    script("cache-api", read("bench_cache_api.mjs"), { ORIGIN }),
    edge("edge-isr", ORIGIN, {}),
    edge("edge-isr-colo", ORIGIN, { memory: 0 }),
    edge("edge-isr-grown", ORIGIN, {}),
  ].map((worker) => ({ ...worker, ...common }));
  const quiet = (stdout, stderr) => (stdout.resume(), stderr.resume());
  const runtime = new Miniflare({
    host: "127.0.0.1",
    port: 0,
    cf: false,
    handleRuntimeStdio: quiet,
    workers,
  });
  await runtime.ready;
  const pids = children(process.pid, "workerd");
  const subject = async (name, worker) => {
    const url = (await runtime.unsafeGetDirectURL(worker)).toString().replace(/\/$/, "");
    return [name, { url, pids }];
  };
  const names = {
    constant: "constant",
    map: "map",
    "Cache API": "cache-api",
    "edge-isr": "edge-isr",
  };
  const more = { "edge-isr, colo": "edge-isr-colo", "edge-isr, grown": "edge-isr-grown" };
  const found = Object.entries({ ...names, ...more }).map((pair) => subject(...pair));
  return { subjects: await Promise.all(found), close: () => runtime.dispose() };
}

async function wrk(subject, { path, fields, more }, seconds) {
  const began = processorTime(subject.pids);
  const headers = Object.entries({ ...VISITOR, ...fields }).flatMap(([name, value]) => [
    "-H",
    `${name}: ${value}`,
  ]);
  const given = [
    "-t1",
    "-c32",
    `-d${seconds}s`,
    "--latency",
    ...headers,
    ...more,
    subject.url + path,
  ];
  const { stdout } = await run("wrk", given);
  const requests = Number(/(\d+) requests in/.exec(stdout)[1]);
  const micros = (share) => {
    const [, number, unit] = new RegExp(`${share}%\\s+([\\d.]+)(us|ms|s)`).exec(stdout);
    return number * { us: 1, ms: 1_000, s: 1_000_000 }[unit];
  };
  return {
    rate: Number(/Requests\/sec:\s+([\d.]+)/.exec(stdout)[1]),
    median: micros(50),
    late: micros(99),
    processor: (processorTime(subject.pids) - began) / requests / 1_000,
    failed: Number(/Non-2xx or 3xx responses: (\d+)/.exec(stdout)?.[1] ?? 0),
  };
}

const middle = (numbers) => [...numbers].sort((one, other) => one - other)[numbers.length >> 1];

/** One row: all who are in it, in turns. */
async function measure(one, subjects) {
  const here = one.who.filter((name) => subjects[name]);
  const turns = Object.fromEntries(here.map((name) => [name, []]));
  await one.before?.(subjects);
  for (const name of here) await wrk(subjects[name], one, 1);
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const name of here) turns[name].push(await wrk(subjects[name], one, SECONDS));
  }
  const found = here.map((name) => {
    const of = (what) => turns[name].map((turn) => turn[what]);
    const rates = of("rate");
    const beside =
      here[0] === name
        ? undefined
        : middle(rates.map((rate, at) => rate / turns[here[0]][at].rate));
    return {
      who: name,
      rate: middle(rates),
      lowest: Math.min(...rates),
      highest: Math.max(...rates),
      of_the_first: beside,
      median_us: middle(of("median")),
      late_us: middle(of("late")),
      processor_us: middle(of("processor")),
      failed: of("failed").reduce((sum, failed) => sum + failed, 0),
    };
  });
  say(`${one.name}: ${found.map(({ who, rate }) => `${who} ${Math.round(rate)}`).join(", ")}`);
  return { name: one.name, found };
}

const ask = (url, agent) =>
  new Promise((done, failed) =>
    httpGet(url, { agent, headers: VISITOR }, (response) => {
      response.resume();
      response.on("end", () => done(response.statusCode));
    }).on("error", failed),
  );

/**
 * A hundred visitors of a page that nobody has: how long until all have it, and how often the
 * origin is asked.
 */
async function herd(subjects) {
  const found = [];
  for (const who of ["map", "Cache API", "edge-isr"]) {
    const times = [];
    const before = asked;
    for (let round = 0; round < ROUNDS; round += 1) {
      const agent = new Agent({ keepAlive: true, maxSockets: 100 });
      const began = performance.now();
      const url = `${subjects[who].url}/10240/3/slow/page?n=${randomUUID()}`;
      await Promise.all(Array.from({ length: 100 }, () => ask(url, agent)));
      times.push(performance.now() - began);
      agent.destroy();
    }
    found.push({
      who,
      median_ms: middle(times),
      highest_ms: Math.max(...times),
      origin: (asked - before) / ROUNDS,
    });
  }
  return found;
}

/** An invalidation, acknowledged. */
async function invalidate({ url }, command) {
  const { headers, body } = signed(command);
  const response = await fetch(`${url}/__isr/v1/revalidate`, { method: "POST", headers, body });
  if (response.status !== 202) throw new Error(`a webhook is answered with ${response.status}`);
  await response.arrayBuffer();
}

/** How long that takes. */
async function webhooks(subject) {
  const times = [];
  for (let number = 0; number < (QUICK ? 20 : 200); number += 1) {
    const began = performance.now();
    await invalidate(subject, { tags: [`none:${number}`] });
    times.push(performance.now() - began);
  }
  return { who: "edge-isr", median_ms: middle(times), highest_ms: Math.max(...times) };
}

const grown = { pages: 0, targets: 0 };

/** So many pages beside the one that is asked for, and targets that none of them has. */
async function grow(subject, pages, targets) {
  const agent = new Agent({ keepAlive: true, maxSockets: 32 });
  while (grown.pages < pages) {
    const more = Array.from({ length: Math.min(100, pages - grown.pages) }, (_, at) =>
      ask(`${subject.url}/200/1/plain/other?n=${grown.pages + at}`, agent),
    );
    grown.pages += (await Promise.all(more)).length;
  }
  agent.destroy();
  while (grown.targets < targets) {
    const tags = Array.from({ length: 1_000 }, (_, at) => `none:${grown.targets + at}`);
    await invalidate(subject, { tags, warm: false });
    grown.targets += tags.length;
  }
  // The view learns of it within max_lag.
  await pause(3_000);
}

/** What happens once: each with the time it takes. */
async function moments(subjects) {
  const named = (name, found) => found.map((one) => ({ name, ...one }));
  return [
    ...named("100 visitors of a cold page, origin 100 ms", await herd(subjects)),
    ...named("an invalidation, acknowledged", [await webhooks(subjects["edge-isr"])]),
    ...named(
      "from the runtime's start to its first answer",
      await firstAnswers(BUILD, QUICK ? 1 : 7),
    ),
  ];
}

await new Promise((done) => origin.listen(0, "127.0.0.1", done));
const target = `127.0.0.1:${origin.address().port}`;
const before = loadavg();
const workers = await startWorkers(`http://${target}`);
const natives = [...(await nginx(directory, target)), ...(await varnish(directory, target))];
const subjects = Object.fromEntries([...workers.subjects, ...natives]);
const rows = [];
for (const one of MOMENTS ? [] : ROWS) rows.push(await measure(one, subjects));
const document = {
  rounds: ROUNDS,
  seconds: SECONDS,
  load_before: before,
  load_after: loadavg(),
  ...(MOMENTS ? { moments: await moments(subjects) } : { rows }),
  figures: [],
};
console.log(JSON.stringify(document));
for (const [, native] of natives) native.close();
await workers.close();
origin.closeAllConnections();
origin.close();
rmSync(directory, { recursive: true, force: true });
process.exit(0);
