// A worker that does nothing: what the runtime itself holds for connections shows beside it.

export { IndexShard, Journal } from "./index.js";

export default {
  fetch() {
    return new Response("constant");
  },
};
