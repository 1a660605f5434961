// Round the built worker: tells the journal what an isolate could have counted or found, and puts the journal
// out of reach.

import Worker from "./built.js";

export { IndexShard, Journal } from "./built.js";

// No page's address begins so.
const DOOR = "/__test/";

let away = false;

/** The journal's namespace, as the worker uses it. */
function reachable(namespace) {
  const stub = (...how) => {
    const real = namespace.get(...how);
    return {
      fetch: async (...call) =>
        away ? Promise.reject(new Error("Network connection lost.")) : real.fetch(...call),
    };
  };
  return { idFromName: (name) => namespace.idFromName(name), get: stub };
}

async function told(request, env) {
  const what = new URL(request.url).pathname.slice(DOOR.length);
  const calls = {
    report: (report) => ({ sync: { report } }),
    finding: (finding) => ({ finding }),
  };
  if (calls[what]) {
    const stub = env.JOURNAL.get(env.JOURNAL.idFromName("journal"));
    const body = JSON.stringify(calls[what](await request.json()));
    return stub.fetch("https://object/", { method: "POST", body });
  }
  away = what === "away";
  return new Response(null, { status: 204 });
}

let given;

export default {
  fetch(request, env, ctx) {
    if (new URL(request.url).pathname.startsWith(DOOR)) return told(request, env);
    given ??= { ...env, JOURNAL: reachable(env.JOURNAL) };
    return Worker.fetch(request, given, ctx);
  },
};
