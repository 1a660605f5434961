// Round the built worker: reports to the journal what an isolate could have counted or found, puts
// the journal out of reach, and lets time pass that nobody waits for.

import Worker from "./built.js";

export { IndexShard, Journal } from "./built.js";

// No page's address begins so.
const DOOR = "/__test/";

let away = false;

const clock = Date.now.bind(Date);
let passed = 0;
// The worker and its objects ask this one.
Date.now = () => clock() + passed;

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

async function described(request, env) {
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
  if (what === "pass") passed += (await request.json()).millis;
  else away = what === "away";
  return new Response(null, { status: 204 });
}

let given;

export default {
  fetch(request, env, ctx) {
    if (new URL(request.url).pathname.startsWith(DOOR)) return described(request, env);
    given ??= { ...env, JOURNAL: reachable(env.JOURNAL) };
    return Worker.fetch(request, given, ctx);
  },
};
