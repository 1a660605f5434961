// The built worker with a counter round it: what `scripts/bench --runtime` runs on the local
// runtime.
//
// Every call to a Durable Object, every alarm and every operation on its storage, on KV and on the
// Cache API is counted as the platform counts them: rows read and written are the runtime's own
// numbers (`rowsRead`, `rowsWritten` of a cursor, which include the rows of indexes). Beside the
// worker's own objects stands a bare one, which does a single INSERT a request: what the runtime
// can do at best.

import { DurableObject, WorkerEntrypoint } from "cloudflare:workers";
import Worker, { IndexShard as Shard, Journal as Log } from "./index.js";

let counting = true;
let counts = {};
let cursors = [];
const owners = new WeakMap();
const patched = new Set();
// The lease and the record of one page's fill, by its name: what the fills below are made of.
let template;
let seen = {};

function count(what, by = 1) {
  counts[what] = (counts[what] ?? 0) + by;
}

/** Puts a counter before a method of all objects of a kind. */
function patch(object, method, note) {
  const prototype = Object.getPrototypeOf(object);
  const plain = prototype[method];
  if (patched.has(plain)) return;
  const watched = function (...given) {
    const result = plain.apply(this, given);
    if (counting) note(this, result);
    return result;
  };
  patched.add(watched);
  prototype[method] = watched;
}

function watchStorage(storage, name) {
  owners.set(storage, name);
  owners.set(storage.sql, name);
  patch(storage.sql, "exec", (sql, cursor) => {
    count(`${owners.get(sql)} statements`);
    cursors.push([owners.get(sql), cursor]);
  });
  // Each is billed as a row written.
  patch(storage, "setAlarm", (of) => count(`${owners.get(of)} alarms set`));
}

function watchWorker(env) {
  patch(env.PAGES, "get", () => count("kv reads"));
  patch(env.PAGES, "put", () => count("kv writes"));
  patch(caches.default, "match", () => count("cache reads"));
  patch(caches.default, "put", () => count("cache writes"));
}

/** All since the last time, and begins anew. */
function take() {
  for (const [name, cursor] of cursors) {
    count(`${name} rows read`, cursor.rowsRead);
    count(`${name} rows written`, cursor.rowsWritten);
  }
  const taken = counts;
  counts = {};
  cursors = [];
  return taken;
}

function counted(name, Base) {
  return class {
    constructor(state, env) {
      watchStorage(state.storage, name);
      this.inner = new Base(state, env);
    }

    async fetch(request) {
      if (!counting) return this.inner.fetch(request);
      const text = await request.text();
      const call = JSON.parse(text);
      const kind = typeof call === "string" ? call : Object.keys(call)[0];
      count(`${name} requests`);
      count(`${name} ${kind}`);
      if (name === "shard" && text.includes(template)) seen[kind] = text;
      return this.inner.fetch(new Request(request.url, { method: "POST", body: text }));
    }

    alarm() {
      // An alarm is billed as a request.
      count(`${name} requests`);
      count(`${name} alarm`);
      return this.inner.alarm();
    }
  };
}

export const IndexShard = counted("shard", Shard);
export const Journal = counted("journal", Log);

/** One row a request. */
export class Bare extends DurableObject {
  constructor(state, env) {
    super(state, env);
    state.storage.sql.exec(
      "CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, value TEXT NOT NULL)",
    );
  }

  async fetch(request) {
    this.ctx.storage.sql.exec("INSERT INTO t (value) VALUES (?)", await request.text());
    return new Response("{}");
  }
}

async function call(stub, body) {
  const response = await stub.fetch("https://object/", { method: "POST", body });
  const text = await response.text();
  if (response.status !== 200) throw new Error(`object answered ${response.status}: ${text}`);
  return text;
}

/**
 * One page's fill as a shard sees it: a lease, then a record. The template's name becomes the
 * page's.
 */
async function fill(stub, number) {
  const name = String(number).padStart(template.length, "0");
  const own = (text) => text.replaceAll(template, name);
  const reply = JSON.parse(await call(stub, own(seen.lease)));
  const grant = reply.lease?.grant;
  if (grant === undefined) throw new Error(`no grant: ${JSON.stringify(reply)}`);
  const message = JSON.parse(own(seen.record));
  message.record.fence = grant.fence;
  message.record.stamp = grant.stamp;
  const recorded = JSON.parse(await call(stub, JSON.stringify(message)));
  if (recorded.recorded?.accepted !== true)
    throw new Error(`not recorded: ${JSON.stringify(recorded)}`);
}

/** So many at once, until all are done. */
async function inParallel(width, from, many, work) {
  let next = from;
  const lane = async () => {
    while (next < from + many) await work(next++);
  };
  await Promise.all(Array.from({ length: width }, lane));
}

async function control(url, env) {
  const number = (name) => Number(url.searchParams.get(name));
  const object = (namespace, name) => namespace.get(namespace.idFromName(name));
  switch (url.pathname) {
    case "/counts":
      return Response.json(take());
    case "/template":
      [template, seen] = [url.searchParams.get("page"), {}];
      return new Response("done");
    case "/uncounted":
      // Counting takes time, and what follows is timed.
      counting = false;
      return new Response("done");
    case "/fills":
      await inParallel(number("width"), number("from"), number("many"), (page) =>
        fill(object(env.SHARDS, "benchmark"), page),
      );
      return new Response("done");
    case "/inserts":
      await inParallel(number("width"), number("from"), number("many"), (page) =>
        call(object(env.BARE, "benchmark"), seen.record + page),
      );
      return new Response("done");
    case "/insert":
      return new Response(await call(object(env.BARE, "benchmark"), seen.record));
    default:
      return new Response("unknown", { status: 404 });
  }
}

export default class extends WorkerEntrypoint {
  async fetch(request) {
    watchWorker(this.env);
    const url = new URL(request.url);
    if (url.hostname === "control.test") return control(url, this.env);
    return Worker.fetch(request, this.env, this.ctx);
  }
}
