// What Durable Objects are asked by, and what they answer and read by. No decision is made here.

// How long an object may take to answer before it counts as unreachable.
const OBJECT_MILLIS = 5000;

export async function objectCall(namespace, name, hint, jurisdiction, message) {
  const space = jurisdiction ? namespace.jurisdiction(jurisdiction) : namespace;
  const stub = space.get(space.idFromName(name), hint ? { locationHint: hint } : undefined);
  const signal = AbortSignal.timeout(OBJECT_MILLIS);
  let response, text;
  try {
    response = await stub.fetch("https://object/", { method: "POST", body: message, signal });
    text = await response.text();
  } catch (error) {
    // https://developers.cloudflare.com/durable-objects/best-practices/error-handling/
    if (signal.aborted) throw error;
    throw new Error((error.overloaded ? "overloaded: " : "broken: ") + error.message);
  }
  if (response.status !== 200) throw new Error("object answered " + response.status + ": " + text);
  return text;
}

export function objectId(namespace, name) {
  return namespace ? namespace.idFromName(name).toString() : undefined;
}

// One statement: parameters and rows cross as one JSON text each, bytes in them as lists of
// numbers; nothing crosses back where there are no rows.
export function sqlExec(sql, statement, parameters) {
  const bound = JSON.parse(parameters);
  for (let i = 0; i < bound.length; i += 1)
    if (Array.isArray(bound[i])) bound[i] = new Uint8Array(bound[i]);
  const cursor = sql.exec(statement, ...bound).raw();
  let next = cursor.next();
  if (next.done) return undefined;
  const rows = [];
  for (; !next.done; next = cursor.next()) rows.push(next.value);
  for (const row of rows) {
    for (let i = 0; i < row.length; i += 1) {
      if (row[i] instanceof ArrayBuffer) row[i] = Array.from(new Uint8Array(row[i]));
    }
  }
  return JSON.stringify(rows);
}

// How long a request waits for those whose text is still on its way.
const GATHER_MILLIS = 2;

// Answers the requests of one object, those that have come together in one turn of the event loop:
// what a turn writes is one commit, the runtime keeps every answer back until that is durable, and
// `after` is done once for all of them. A request that is alone waits for nobody.
export function requestBatcher(answer, after) {
  let coming = 0;
  let waiting = [];
  let timer = null;
  function turn() {
    clearTimeout(timer);
    timer = null;
    const calls = waiting;
    waiting = [];
    // One that throws fails for itself.
    const replies = calls.map(({ text }) => new Promise((done) => done(answer(text))));
    const ready = new Promise((done) => done(after?.()));
    calls.forEach(({ done }, at) => done(ready.then(() => replies[at])));
  }
  function look() {
    if (waiting.length === 0) return;
    if (coming === 0) turn();
    else timer ??= setTimeout(turn, GATHER_MILLIS);
  }
  return async (request) => {
    coming += 1;
    try {
      const text = await request.text();
      return new Promise((done) => waiting.push({ text, done }));
    } finally {
      coming -= 1;
      look();
    }
  };
}

// What takes and gives values as they are (glue.rs says why they are kept together).
export const direct = { requestBatcher };
