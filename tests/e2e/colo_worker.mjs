// The built worker as one colo of several: its calls to the journal, to shards and to L2 are
// carried by HTTP to the colo that has them (`HOME`), or answered here where there is no such colo.
// It counts them, and can be cut off.

import { WorkerEntrypoint } from "cloudflare:workers";
import Worker from "./index.js";

export { IndexShard, Journal } from "./index.js";

// What the tests ask of a colo, and colos of one another; no page's address begins so.
const DOOR = "/__colos/";
// How a call that failed is reported over HTTP.
const FAILED = 530;
// What no version knows yet.
const LATER = { of_a_later_version: { a: [1] } };

const counts = {};
let cut = [];

function reach(what) {
  counts[what] = (counts[what] ?? 0) + 1;
  if (cut.includes(what)) throw new Error("Network connection lost.");
}

/**
 * A call or a reply with a field more: in what its words, each of them the one key of its object,
 * name at last.
 */
function extended(text) {
  const message = JSON.parse(text);
  let part = { message };
  for (;;) {
    const inner = Object.values(part);
    if (
      inner.length !== 1 ||
      inner[0] === null ||
      typeof inner[0] !== "object" ||
      Array.isArray(inner[0])
    )
      break;
    part = inner[0];
  }
  if (part !== message && Object.keys(part).length > 1) Object.assign(part, LATER);
  return JSON.stringify(message);
}

/** An envelope with such a field in its head: five bytes, the head's length, the head, the body. */
function extendedEnvelope(value) {
  const length = new DataView(value.buffer, value.byteOffset).getUint32(5);
  const fields = {
    ...JSON.parse(new TextDecoder().decode(value.subarray(9, 9 + length))),
    ...LATER,
  };
  const head = new TextEncoder().encode(JSON.stringify(fields));
  const whole = new Uint8Array(value.length - length + head.length);
  whole.set(value.subarray(0, 5));
  new DataView(whole.buffer).setUint32(5, head.length);
  whole.set(head, 9);
  whole.set(value.subarray(9 + length), 9 + head.length);
  return whole;
}

async function carried(url, init) {
  const response = await fetch(url, init);
  if (response.status === FAILED) throw new Error(await response.text());
  return response;
}

/** A namespace of objects, as the worker uses it. */
function objects(env, what) {
  const here = env[what];
  const call = (id, init) =>
    env.HOME
      ? carried(`${env.HOME}${DOOR}objects/${what}/${id}`, init)
      : here.get(id).fetch("https://object/", init);
  return {
    idFromName: (name) => (env.HOME ? name : here.idFromName(name)),
    get: (id) => ({
      fetch: async (_, init) => {
        reach(what);
        return call(id, env.LATER ? { ...init, body: extended(init.body) } : init);
      },
    }),
  };
}

/** A KV namespace, as the worker uses it. */
function pages(env) {
  const at = (key) => `${env.HOME}${DOOR}pages/${encodeURIComponent(key)}`;
  return {
    async get(key, options) {
      reach("PAGES");
      if (!env.HOME) return env.PAGES.get(key, options);
      const response = await carried(at(key));
      return response.status === 404 ? null : response.arrayBuffer();
    },
    async put(key, bytes, options) {
      reach("PAGES");
      // Of a large page it is a stream.
      const value = env.LATER
        ? extendedEnvelope(new Uint8Array(await new Response(bytes).arrayBuffer()))
        : bytes;
      if (!env.HOME) return env.PAGES.put(key, value, options);
      await carried(`${at(key)}?seconds=${options.expirationTtl}`, { method: "PUT", body: value });
    },
  };
}

async function answerColo(request, env, url) {
  const [what, name, id] = url.pathname.slice(DOOR.length).split("/").map(decodeURIComponent);
  switch (what) {
    case "objects": {
      const space = env[name];
      const body = await request.text();
      const answer = await space
        .get(space.idFromName(id))
        .fetch("https://object/", { method: "POST", body });
      const text = await answer.text();
      return new Response(env.LATER && answer.ok ? extended(text) : text, {
        status: answer.status,
      });
    }
    case "pages": {
      if (request.method === "PUT") {
        const expirationTtl = Number(url.searchParams.get("seconds"));
        await env.PAGES.put(name, await request.arrayBuffer(), { expirationTtl });
        return new Response(null, { status: 204 });
      }
      const value = await env.PAGES.get(name, { type: "arrayBuffer" });
      return new Response(value, { status: value ? 200 : 404 });
    }
    case "cut":
      cut = url.searchParams.getAll("from");
      return new Response(null, { status: 204 });
    case "counts":
      return Response.json(counts);
    default:
      return new Response("unknown", { status: 404 });
  }
}

export default class extends WorkerEntrypoint {
  async fetch(request) {
    const url = new URL(request.url);
    if (url.pathname.startsWith(DOOR)) {
      return answerColo(request, this.env, url).catch(
        (error) => new Response(error.message, { status: FAILED }),
      );
    }
    const [JOURNAL, SHARDS] = [objects(this.env, "JOURNAL"), objects(this.env, "SHARDS")];
    return Worker.fetch(
      request,
      { ...this.env, JOURNAL, SHARDS, PAGES: pages(this.env) },
      this.ctx,
    );
  }
}
