// What the runtime calls. worker-build's own entrypoint is a class behind two proxies, which are
// made anew for every request and cost as much as the answer; this one is an object, and leaves to
// it what it is needed for: to begin anew after a WebAssembly trap. scripts/build puts it around
// the worker.

import Entrypoint, { IndexShard, Journal } from "./worker.js";

export { IndexShard, Journal };

const { fetch } = Entrypoint.prototype;
const state = globalThis.__worker_init_state;

export default {
  fetch(request, env, ctx) {
    if (state.criticalError) return new Entrypoint(ctx, env).fetch(request);
    try {
      return fetch.call({ env, ctx }, request);
    } catch (error) {
      if (error instanceof WebAssembly.RuntimeError) state.criticalError = true;
      throw error;
    }
  },
};
