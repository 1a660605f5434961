// What a careful person writes by hand on the Cache API: the peer of `scripts/bench --load`. Pages
// of visitors without a session are kept for the origin's lifetime; older ones are served while one
// request fetches them anew, and instead of an error. It has no invalidation, collapses nothing,
// and each colo has a cache of its own.

const KEPT = "public, max-age=86400";

const lifetime = (response) =>
  Number(/s-maxage=(\d+)/.exec(response.headers.get("cache-control") ?? "")?.[1] ?? 0);

async function fetched(origin, key, url, context) {
  const response = await fetch(origin + url.pathname + url.search);
  if (response.status !== 200 || lifetime(response) === 0) return response;
  const kept = new Response(response.body, response);
  kept.headers.set("x-until", Date.now() + 1000 * lifetime(response));
  const answer = kept.clone();
  kept.headers.set("cache-control", KEPT);
  context.waitUntil(caches.default.put(key, kept));
  return answer;
}

export default {
  async fetch(request, env, context) {
    const url = new URL(request.url);
    const session = (request.headers.get("cookie") ?? "").includes("sessionid=");
    if (request.method !== "GET" || session)
      return fetch(env.ORIGIN + url.pathname + url.search, request);
    const key = new Request(url);
    const stored = await caches.default.match(key);
    if (stored === undefined) return fetched(env.ORIGIN, key, url, context);
    if (Number(stored.headers.get("x-until")) < Date.now()) {
      const anew = fetched(env.ORIGIN, key, url, context).then((response) =>
        response.body?.cancel(),
      );
      context.waitUntil(anew.catch(() => {}));
    }
    return stored;
  },
};
