// The few things that cost less in one JavaScript call than in many calls across the wasm boundary,
// and those that the `worker` crate has no words for. No decision is made here.

import * as workers from "cloudflare:workers";

const BREAK = "\n";

// Names and values as lines: one string crosses the boundary instead of two for each field. A field
// value can't hold a line break: the runtime refuses it. In the other direction it is JSON.
function lines(headers) {
  let text = "";
  for (const [name, value] of headers) text += name + BREAK + value + BREAK;
  return text;
}

// Of fields as JSON: an object or a list of pairs.
function headersOf(json) {
  const fields = JSON.parse(json);
  try {
    return new Headers(fields);
  } catch {
    return headersTaken(fields);
  }
}

// A name or value that the runtime does not take can't be sent on: the others still can.
function headersTaken(fields) {
  const headers = new Headers();
  for (const [name, value] of Array.isArray(fields) ? fields : Object.entries(fields)) {
    try {
      headers.append(name, value);
    } catch {
      continue;
    }
  }
  return headers;
}

export function requestHead(request) {
  const { clientAcceptEncoding, colo = "" } = request.cf ?? {};
  const accept = clientAcceptEncoding === undefined ? "" : "=" + clientAcceptEncoding;
  return [request.method, request.url, accept, colo, lines(request.headers)].join(BREAK);
}

// A list as it is kept on this side.
export function listOf(text) {
  return text.split(BREAK);
}

// The head of a request with the named fields alone. Each field that is there is an object made by
// the runtime; those that are asked for and are not there cost little.
export function requestStart(request, names) {
  return request.method + BREAK + request.url + BREAK + fieldsNamed(request, names);
}

// More of it, by names as a text.
export function requestFields(request, names) {
  return fieldsNamed(request, names.split(BREAK));
}

function fieldsNamed(request, names) {
  let text = "";
  const headers = request.headers;
  for (let i = 0; i < names.length; i += 1) {
    const value = headers.get(names[i]);
    if (value !== null) text += names[i] + BREAK + value + BREAK;
  }
  return text;
}

// What the client sent where the CDN has put another field in its place: empty if that was none.
export function clientAcceptEncoding(request) {
  return request.cf?.clientAcceptEncoding ?? undefined;
}

// The runtime knows it with the flag `enable_request_signal`.
export function hasVisitorLeft(request) {
  return request.signal?.aborted === true;
}

export function responseHead(response) {
  return response.status + BREAK + lines(response.headers);
}

export function requestBody(request) {
  return request.body;
}

// Statuses that have no body (Fetch Standard, "null body status").
const BODILESS = [101, 204, 205, 304];

export function respond(status, fields, body) {
  if (BODILESS.includes(status)) body = null;
  const headers = JSON.parse(fields);
  try {
    return new Response(body, { status, headers, encodeBody: "manual" });
  } catch {
    const taken = headersTaken(headers);
    return new Response(body, { status, headers: taken, encodeBody: "manual" });
  }
}

// A head that answers any number of requests: the runtime copies its fields faster than it reads
// them from text.
export function readyHead(status, fields) {
  return { status, headers: headersOf(fields), encodeBody: "manual" };
}

export function renewHead(head, age, cacheStatus) {
  head.headers.set("age", age);
  head.headers.set("cache-status", cacheStatus);
}

export function respondReady(head, body) {
  return new Response(body, head);
}

// The origin's own body, unread, under another head. What the origin said and the edge leaves as it
// was is copied from field to field, not from text: the runtime reads values as UTF-8, and bytes
// that are none would be lost.
export function respondFrom(response, fields) {
  const wanted = headersOf(fields);
  const headers = new Headers(response.headers);
  for (const name of [...headers.keys()]) if (!wanted.has(name)) headers.delete(name);
  for (const [name, value] of wanted) {
    if (name !== "set-cookie" && headers.get(name) !== value) headers.set(name, value);
  }
  const init = { status: response.status, headers, encodeBody: "manual" };
  if (response.webSocket) init.webSocket = response.webSocket;
  return new Response(response.body, init);
}

// A stored body, unread, under the head of this answer.
export function respondStored(response, status, fields) {
  return respond(status, fields, response.body);
}

// A stream of known length makes the runtime send Content-Length, and break off an answer that is
// cut short.
export function sized(stream, length) {
  const fixed = new FixedLengthStream(length);
  stream.pipeTo(fixed.writable).catch(() => {});
  return fixed.readable;
}

// How often an upload looks whether it gives way to others.
const UPLOAD_LOOK_MILLIS = 1000;

// A visitor's body on its way to the origin. The upload has a limit, and after it the answer has
// one; `progress` is called with whether it was sent, and says whether it may go on. A stream of
// known length goes on with Content-Length.
export async function upload(url, method, fields, body, length, limit, timeout, progress) {
  const controller = new AbortController();
  let timer = null;
  const within = (millis) => {
    clearTimeout(timer);
    timer = setTimeout(() => controller.abort(new Error("timeout")), millis);
  };
  let ended = false;
  const through =
    length === undefined ? new IdentityTransformStream() : new FixedLengthStream(length);
  body.pipeTo(through.writable).then(
    () => {
      progress(true);
      if (!ended) within(timeout);
    },
    // The request fails by itself.
    () => {},
  );
  within(limit);
  const looks = setInterval(() => {
    if (!progress(false)) controller.abort(new Error("gave way"));
  }, UPLOAD_LOOK_MILLIS);
  try {
    return await globalThis.fetch(url, {
      method,
      headers: headersOf(fields),
      body: through.readable,
      redirect: "manual",
      signal: controller.signal,
      cache: "no-store",
      encodeResponseBody: "manual",
    });
  } finally {
    ended = true;
    clearInterval(looks);
    clearTimeout(timer);
  }
}

// `toSelf`: to this worker's default entrypoint, without a way over the network; 501 where the
// runtime has none.
export async function ask(toSelf, url, method, fields, body, timeout) {
  const to = toSelf ? workers.exports?.default : globalThis;
  if (typeof to?.fetch !== "function") return new Response(null, { status: 501 });
  const controller = new AbortController();
  const timer =
    timeout > 0 ? setTimeout(() => controller.abort(new Error("timeout")), timeout) : null;
  try {
    return await to.fetch(url, {
      method,
      headers: headersOf(fields),
      body,
      redirect: "manual",
      signal: controller.signal,
      cache: "no-store",
      encodeResponseBody: "manual",
    });
  } finally {
    if (timer !== null) clearTimeout(timer);
  }
}

export function readerOf(response) {
  return response.body ? response.body.getReader() : undefined;
}

export function readerOfStream(stream) {
  return stream.getReader();
}

// A piece of a larger buffer is copied out of it, so that it holds no more than what it has: one
// that the runtime has read into a buffer of its own size, one of a stored body that a visitor may
// take long to receive.
function ofItsSize(piece) {
  return piece.byteLength < piece.buffer.byteLength ? piece.slice() : piece;
}

async function within(timeout, reading) {
  let timer = null;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error("timeout")), timeout);
  });
  try {
    return await Promise.race([reading, late]);
  } finally {
    clearTimeout(timer);
  }
}

async function readPiece(reader, timeout) {
  const { done, value } = await within(timeout, reader.read());
  return done ? null : ofItsSize(value);
}

// As much of a body is read at once where it is gathered.
const GATHERED_BYTES = 64 << 10;

// Of a body that is kept whole, all is read into one buffer, by way of a small one that goes to
// the runtime and comes back.
class Gathered {
  constructor(response, length) {
    const stream = response.body;
    this.whole = new Uint8Array(length);
    this.at = 0;
    this.small = new ArrayBuffer(Math.min(length, GATHERED_BYTES));
    this.reader = stream && length > 0 ? stream.getReader({ mode: "byob" }) : undefined;
  }
}

function gathered(response, length) {
  return new Gathered(response, length);
}

// What is more than the stated length is a piece of its own.
async function gatherPiece(body, timeout) {
  if (body.reader === undefined) return null;
  const { done, value } = await within(timeout, body.reader.read(new Uint8Array(body.small)));
  if (done) return null;
  body.small = value.buffer;
  const { whole, at } = body;
  if (at + value.byteLength > whole.byteLength) return value.slice();
  whole.set(value, at);
  body.at += value.byteLength;
  return whole.subarray(at, body.at);
}

// A gzip file begins with 1f 8b (RFC 1952 §2.3.1).
async function unpacked(response, timeout) {
  if (!response.body) return response;
  const reader = response.body.getReader();
  const first = await readPiece(reader, timeout);
  const whole = new ReadableStream({
    start(controller) {
      if (first === null) controller.close();
      else controller.enqueue(first);
    },
    async pull(controller) {
      const { done, value } = await reader.read();
      if (done) controller.close();
      else controller.enqueue(value);
    },
    cancel(reason) {
      return reader.cancel(reason);
    },
  });
  const packed = first !== null && first[0] === 0x1f && first[1] === 0x8b;
  return new Response(packed ? whole.pipeThrough(new DecompressionStream("gzip")) : whole);
}

export function giveUp(response, reader) {
  const done = reader ? reader.cancel() : response.body ? response.body.cancel() : null;
  if (done) done.catch(() => {});
}

function sleep(millis) {
  return new Promise((resolve) => setTimeout(resolve, millis));
}

// Pieces that follow one another in one buffer are put together already.
function concat(pieces) {
  if (pieces.length === 1) return pieces[0];
  let length = 0;
  let together = pieces.length > 0;
  for (const { buffer, byteOffset, byteLength } of pieces) {
    together &&= buffer === pieces[0].buffer && byteOffset === pieces[0].byteOffset + length;
    length += byteLength;
  }
  if (together) return new Uint8Array(pieces[0].buffer, pieces[0].byteOffset, length);
  const whole = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.byteLength;
  }
  return whole;
}

async function digest(bytes) {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
}

export function reply(status, text) {
  return new Response(text, { status });
}

// The host is not looked at.
export async function asset(assets, name, method, etag) {
  if (assets === undefined) return null;
  const headers = etag ? { "if-none-match": etag } : {};
  const response = await assets.fetch(`https://assets.invalid/${name}`, { method, headers });
  if (response.status === 200 || response.status === 304) return response;
  await response.body?.cancel();
  return null;
}

export function settingText(env, name) {
  const value = env[name];
  if (value === undefined || value === null) return undefined;
  return typeof value === "string" ? value : JSON.stringify(value);
}

export function binding(env, name) {
  return env[name];
}

function randomBytes() {
  return crypto.getRandomValues(new Uint8Array(64));
}

export function randomId() {
  return crypto.randomUUID();
}

// Workers Caching of the entrypoint that runs: whether it did; null where there is no such call.
export async function purgeWorkersCache(verb, options) {
  if (typeof workers.cache?.[verb] !== "function") return null;
  const result = await workers.cache[verb](JSON.parse(options));
  return result?.success !== false;
}

// What takes and gives values as they are (glue.rs says why they are kept together).
export const direct = {
  ofItsSize,
  readPiece,
  gathered,
  gatherPiece,
  sleep,
  concat,
  randomBytes,
  digest,
  unpacked,
};
