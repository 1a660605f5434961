// The Cache API, KV and R2. No decision is made here.

// What L1 holds of a record beside its body: read without it.
const RECORD = "edge-isr-record";

export function cacheGet(url) {
  return caches.default.match(url);
}

export function cacheRecord(response) {
  return response.headers.get(RECORD) ?? undefined;
}

// One look-up, after which `found` goes on, with what was found, its record, and why it failed.
export function lookInColo(url, found) {
  return caches.default.match(url).then(
    (response) => found(response, response && cacheRecord(response)),
    (error) => found(undefined, undefined, error),
  );
}

async function bytesOf(response) {
  return new Uint8Array(await response.arrayBuffer());
}

// Bodies up to here are copied: that costs less than a stream.
const COPIED_BYTES = 64 << 10;

// A head and a body as one value: of a large body a stream of known length, which holds no copy.
function joined(head, body) {
  const length = head.byteLength + body.byteLength;
  if (body.byteLength <= COPIED_BYTES) {
    const whole = new Uint8Array(length);
    whole.set(head);
    whole.set(body, head.byteLength);
    return whole;
  }
  const { readable, writable } = new FixedLengthStream(length);
  const writer = writable.getWriter();
  // Whoever reads it hears of it if it breaks off.
  const written = [writer.write(head), writer.write(body), writer.close()];
  Promise.all(written).catch(() => {});
  return readable;
}

// `head`: what stands before the body where it is not a field.
export function cachePut(url, record, head, body, seconds) {
  const headers = {
    "cache-control": "public, max-age=" + seconds,
    "content-type": "application/octet-stream",
  };
  if (record !== undefined) headers[RECORD] = record;
  const value = head.byteLength > 0 ? joined(head, body) : body;
  return caches.default.put(url, new Response(value, { headers }));
}

// R2 buckets can upload in parts; KV namespaces can't.
function isBucket(binding) {
  return Boolean(binding) && typeof binding.createMultipartUpload === "function";
}

export async function globalGet(store, key) {
  if (isBucket(store)) {
    const object = await store.get(key);
    return object ? new Uint8Array(await object.arrayBuffer()) : undefined;
  }
  const value = await store.get(key, { type: "arrayBuffer" });
  return value ? new Uint8Array(value) : undefined;
}

export async function globalPut(store, key, head, body, seconds) {
  const value = joined(head, body);
  if (isBucket(store)) await store.put(key, value);
  else await store.put(key, value, { expirationTtl: Math.max(60, seconds) });
}

// What takes and gives values as they are (glue.rs says why they are kept together).
export const direct = {
  bytesOf,
  isBucket,
};
