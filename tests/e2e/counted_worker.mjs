// Round the built worker: tells of each answer how many calls across the boundary of WebAssembly it
// took, and whether it was a promise. The test puts a counter of the calls at the top of the
// worker.

import Worker from "./index.js";

export { IndexShard, Journal } from "./index.js";

function tell(response, calls, awaited) {
  const told = new Response(response.body, response);
  told.headers.set("x-calls", calls);
  told.headers.set("x-awaited", awaited);
  return told;
}

export default {
  fetch(request, env, ctx) {
    const before = globalThis.boundaryCalls;
    const answer = Worker.fetch(request, env, ctx);
    const calls = globalThis.boundaryCalls - before;
    return answer instanceof Response
      ? tell(answer, calls, "no")
      : answer.then((one) => tell(one, calls, "yes"));
  },
};
