// What is answered before the body of its request was read. No decision is made here.

// As much of such a body is read and dropped, in as long, a piece at a time: the runtime closes the
// connection of a request whose body was not read, and whoever asks next by it gets no answer. Twice
// what a call may have, for one that has too much.
const DROPPED_BYTES = 2 << 20;
const DROPPED_MILLIS = 1000;
const PIECE_BYTES = 16 << 10;

async function dropBody(body) {
  const reader = body.getReader({ mode: "byob" });
  let timer = null;
  const late = new Promise((resolve) => {
    timer = setTimeout(() => resolve({ done: true }), DROPPED_MILLIS);
  });
  try {
    let piece = new Uint8Array(PIECE_BYTES);
    let left = DROPPED_BYTES;
    while (left > 0) {
      const { done, value } = await Promise.race([reader.read(piece), late]);
      if (done) break;
      left -= value.byteLength;
      piece = new Uint8Array(value.buffer);
    }
  } finally {
    clearTimeout(timer);
    reader.cancel().catch(() => {});
  }
}

// The same answer with these bytes. They are sent at once; its end waits for the body of the
// request, if that is unread and may be small.
export function withUnread(request, response, bytes) {
  const { body, headers } = request;
  const length = Number(headers.get("content-length") ?? 0);
  if (body === null || body.locked || request.bodyUsed || length > DROPPED_BYTES) return response;
  const { readable, writable } = new FixedLengthStream(bytes.byteLength);
  const writer = writable.getWriter();
  const sent = writer.write(bytes).then(() => dropBody(body));
  // Whoever sent it may have left.
  sent.catch(() => {}).then(() => writer.close().catch(() => {}));
  const { status } = response;
  return new Response(readable, { status, headers: response.headers, encodeBody: "manual" });
}
