// The worker of bench_isolate.mjs: it makes requests and has them answered in a loop.

import worker, { IndexShard, Journal } from "./index.js";

export { IndexShard, Journal };

const FIELDS = {
  Accept: "text/html",
  "Accept-Language": "en-US,en;q=0.9",
  "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
  Cookie: "_ga=GA1.2.3; consent=yes",
};
// Visits until a page is stored where the line wants it.
const VISITS = 6;
const PAUSE_MILLIS = 30;

const colo = caches.default;
const replaceColo = (value) =>
  Object.defineProperty(caches, "default", { value, configurable: true });

/** A colo's cache that has what the real one had, in this isolate. */
function copied(match) {
  const held = new Map();
  return {
    async match(key) {
      const url = typeof key === "string" ? key : key.url;
      if (!held.has(url)) {
        const found = await match(url);
        if (found === undefined) return undefined;
        held.set(url, [await found.arrayBuffer(), new Headers(found.headers)]);
      }
      const [body, headers] = held.get(url);
      return new Response(body, { headers });
    },
    put: () => Promise.resolve(),
  };
}

/** What is written by hand on the Cache API, of a hit (bench_cache_api.mjs). */
async function hand(request) {
  const url = new URL(request.url);
  const cookies = request.headers.get("cookie") || "";
  if (request.method !== "GET" || cookies.includes("sessionid")) throw new Error("no hit");
  for (const name of [...url.searchParams.keys()]) {
    if (name.startsWith("utm_")) url.searchParams.delete(name);
  }
  url.searchParams.sort();
  const hit = await caches.default.match(new Request(url.toString()));
  if (Date.now() - Number(hit.headers.get("x-at")) > 3_600_000) throw new Error("stale");
  return hit;
}

const storedByHand = new Headers({
  "x-at": String(Date.now()),
  "cache-control": "public, max-age=86400",
  "content-type": "text/html; charset=utf-8",
  etag: '"v1"',
});
const body = new Uint8Array(10_240);
const bare = async () => new Response(body, { headers: storedByHand });

async function visited(answer) {
  let last;
  for (let visit = 0; visit < VISITS; visit += 1) {
    last = await answer();
    await last.text();
    await new Promise((done) => setTimeout(done, PAUSE_MILLIS));
  }
  if (!last.headers.get("cache-status").includes(";hit")) throw new Error("no hit");
}

async function loop(asked, env, ctx) {
  const url = `https://site.test${asked.get("path")}?utm_source=x&b=2&a=1`;
  const request = () => new Request(url, { headers: FIELDS });
  const who = {
    bare: () => bare(request()),
    hand: () => hand(request()),
    edge: () => worker.fetch(request(), env, ctx),
  }[asked.get("who")];
  if (asked.get("prepare")) await visited(who);
  if (asked.get("who") === "hand") replaceColo({ match: bare });
  if (asked.get("colo")) replaceColo(copied(colo.match.bind(colo)));
  try {
    const requests = Number(asked.get("requests"));
    for (let number = 0; number < requests; number += 1) await who();
  } finally {
    replaceColo(colo);
  }
  return new Response("done\n");
}

export default {
  fetch(request, env, ctx) {
    const url = new URL(request.url);
    if (url.pathname === "/__loop") return loop(url.searchParams, env, ctx);
    return worker.fetch(request, env, ctx);
  },
};
