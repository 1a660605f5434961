// The control API, as the worker has it beside this file. The token is kept for the tab, and sent
// as Bearer; cookies are not.

const KEPT = "edge-isr-token";
const ROOT = new URL("../", import.meta.url);

export const token = {
  get: () => sessionStorage.getItem(KEPT),
  keep: (value) => sessionStorage.setItem(KEPT, value),
  forget: () => sessionStorage.removeItem(KEPT),
};

/** Why a call was not answered, in a sentence. `status` is 0 where there was no answer at all. */
export class Refusal extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

// A value of a field is bytes: what is no byte can't be a token.
const isToken = (value) => /^[\x21-\x7e]+$/.test(value);

async function send(path, { method = "GET", body, accept, signal } = {}) {
  const value = token.get() ?? "";
  if (!isToken(value)) throw new Refusal(401, "A token has neither spaces nor special letters.");
  const headers = { authorization: `Bearer ${value}` };
  if (accept) headers.accept = accept;
  if (body !== undefined) headers["content-type"] = "application/json";
  const text = body === undefined ? undefined : JSON.stringify(body);
  const from = { method, headers, body: text, signal, credentials: "omit", cache: "no-store" };
  try {
    return await fetch(new URL(path, ROOT), from);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(0, "The edge gave no answer. Is it running, and is this machine online?");
  }
}

async function refused(response, scope) {
  const problem = await response.json().catch(() => ({}));
  const detail = [problem.title, problem.detail, problem.reason].filter(Boolean).join(" – ");
  switch (response.status) {
    case 401:
      return new Refusal(401, "The edge does not know this token.");
    case 403:
      return new Refusal(403, `This token lacks the scope “${scope}”: this is not shown to it.`);
    case 404:
      return new Refusal(404, "The edge knows nothing of this name.");
    case 503:
      return new Refusal(
        503,
        `Not known at present: the journal or the index is out of reach (${detail}).`,
      );
    default:
      return new Refusal(response.status, `The edge refused this: ${detail || response.status}.`);
  }
}

/** The JSON of an answer. */
export async function ask(path, options = {}) {
  const response = await send(path, options);
  // Health says what is wrong with a 503.
  if (response.ok || (options.whatever && response.status === 503)) return response.json();
  throw await refused(response, options.scope ?? "read");
}

/** Events of a job as they come; ends with the stream. */
export async function* events(path, signal) {
  const response = await send(path, { accept: "text/event-stream", signal });
  if (!response.ok) throw await refused(response, "read");
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    const blocks = text.split("\n\n");
    text = blocks.pop();
    for (const block of blocks) yield event(block);
  }
}

function event(block) {
  const found = { name: "message", data: "" };
  for (const line of block.split("\n")) {
    if (line.startsWith("event:")) found.name = line.slice(6).trim();
    if (line.startsWith("data:")) found.data += line.slice(5).trim();
  }
  return found;
}
