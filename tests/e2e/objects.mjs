// What Durable Objects get of `src/cloudflare/objects.js`, on the local runtime and without the
// worker: one JSON document of what came of each story.

import { readFileSync } from "node:fs";
import { Miniflare } from "miniflare";

const source = (name) =>
  readFileSync(new URL(`../../src/cloudflare/${name}`, import.meta.url), "utf8");

const WORKER = `
import { DurableObject } from "cloudflare:workers";
import { reply } from "./glue.js";
import { requestBatcher, sqlExec } from "./objects.js";

// Every object reports in which of its turns a call was answered.
export class Counted extends DurableObject {
  constructor(state, env) {
    super(state, env);
    let turns = 0;
    const answer = (text) => {
      if (text === "throw") throw new Error("thrown");
      if (text === "later") return scheduler.wait(1).then(() => reply(200, String(turns)));
      return reply(text === "refuse" ? 400 : 200, String(turns));
    };
    const after = () => {
      turns += 1;
      return state.id.name === "unset" ? Promise.reject(new Error("no alarm")) : undefined;
    };
    this.answer = requestBatcher(answer, after);
    this.sql = state.storage.sql;
  }

  fetch(request) {
    return this.answer(request);
  }

  rows(statement, parameters) {
    try {
      return sqlExec(this.sql, statement, parameters) ?? "no rows";
    } catch (error) {
      return error.message;
    }
  }
}

const object = (env, name) => env.OBJECTS.get(env.OBJECTS.idFromName(name));

async function call(stub, body) {
  try {
    const response = await stub.fetch("https://object/", { method: "POST", body });
    return [response.status, await response.text()];
  } catch (error) {
    return [0, error.message];
  }
}

// A body that has begun, and ends when a test asks for it.
function open(text) {
  const { readable, writable } = new TransformStream();
  const writer = writable.getWriter();
  const begun = writer.write(new TextEncoder().encode(text));
  return { readable, end: async () => (await begun, await writer.close()) };
}

const STORIES = {
  alone: async (env) => [
    await call(object(env, "alone"), "a"),
    await call(object(env, "alone"), "b"),
  ],
  together: (env) =>
    Promise.all(Array.from({ length: 16 }, () => call(object(env, "together"), "a"))),
  mixed: (env) => {
    const texts = ["a", "throw", "refuse", "later", "b"];
    return Promise.all(texts.map((text) => call(object(env, "mixed"), text)));
  },
  unset: (env) => Promise.all(["a", "b"].map((text) => call(object(env, "unset"), text))),
  stalled: async (env) => {
    const stub = object(env, "stalled");
    const body = open("a");
    const first = call(stub, body.readable);
    // Answered, though the first one's text is still on its way.
    const second = await call(stub, "b");
    await body.end();
    return [await first, second];
  },
  rows: async (env) => {
    const stub = object(env, "rows");
    const rows = (statement, parameters = "[]") => stub.rows(statement, parameters);
    return [
      await rows("CREATE TABLE t (a, b, c, d)"),
      await rows(
        "INSERT INTO t VALUES (?, ?, ?, ?)",
        JSON.stringify([
          null,
          Number.MIN_SAFE_INTEGER,
          "\u00e4'" + '"' + String.fromCharCode(0, 10),
          [0, 255, 7],
        ]),
      ),
      await rows("SELECT *, typeof(d), a AS b FROM t"),
      await rows("SELECT 0.5 UNION ALL SELECT x''"),
      await rows("SELECT a FROM t WHERE b = ?", "[1]"),
      await rows("SELECT absent FROM t"),
      await rows("SELECT ?", "[]"),
    ];
  },
};

export default {
  async fetch(request, env) {
    return Response.json(await STORIES[new URL(request.url).pathname.slice(1)](env));
  },
};
`;

const runtime = new Miniflare({
  cf: false,
  modulesRoot: "/",
  modules: [
    { type: "ESModule", path: "/main.mjs", contents: WORKER },
    { type: "ESModule", path: "/glue.js", contents: source("glue.js") },
    { type: "ESModule", path: "/objects.js", contents: source("objects.js") },
  ],
  compatibilityDate: "2026-07-01",
  durableObjects: { OBJECTS: { className: "Counted", useSQLite: true } },
  handleRuntimeStdio: (stdout, stderr) => {
    stdout.resume();
    stderr.resume();
  },
});
try {
  const results = {};
  for (const story of ["alone", "together", "mixed", "unset", "stalled", "rows"]) {
    const response = await runtime.dispatchFetch(`http://stories/${story}`);
    results[story] = response.status === 200 ? await response.json() : await response.text();
  }
  process.stdout.write(JSON.stringify(results));
} finally {
  await runtime.dispose();
}
