// Round the built worker: reports for each answer how many calls across the boundary of WebAssembly
// it took, how often it read the colo's cache, and whether it was a promise. The test puts a
// counter of the calls at the top of the worker. One request after the other is counted right.

import Worker from "./index.js";

export { IndexShard, Journal } from "./index.js";

const { match } = caches.default;
let reads = 0;
caches.default.match = function (...given) {
  reads += 1;
  return match.apply(this, given);
};

function withCounts(response, before, awaited) {
  const counted = new Response(response.body, response);
  counted.headers.set("x-calls", globalThis.boundaryCalls - before.calls);
  counted.headers.set("x-cache-reads", reads - before.reads);
  counted.headers.set("x-awaited", awaited);
  return counted;
}

export default {
  fetch(request, env, ctx) {
    const before = { calls: globalThis.boundaryCalls, reads };
    const answer = Worker.fetch(request, env, ctx);
    return answer instanceof Response
      ? withCounts(answer, before, "no")
      : answer.then((one) => withCounts(one, before, "yes"));
  },
};
