// What a worker's isolate holds, in its heap and in buffers (WebAssembly's memory among them), as
// the runtime's inspector shows: what the platform limits to 128 MB. The runtime's process holds
// more here: its simulators of KV, of objects' storage and of the cache are isolates of their own
// in it.

import { once } from "node:events";

/** A function that reads it, in bytes; with `collect`, after what is garbage was removed. */
export async function isolateMemory(runtime, name) {
  const { port } = await runtime.getInspectorURL();
  const targets = await (await fetch(`http://127.0.0.1:${port}/json`)).json();
  const { webSocketDebuggerUrl } = targets.find(({ id }) => id === `core:user:${name}`);
  const socket = new WebSocket(webSocketDebuggerUrl);
  await once(socket, "open");
  let calls = 0;
  const waiting = new Map();
  socket.addEventListener("message", ({ data }) => {
    const { id, result } = JSON.parse(data);
    waiting.get(id)?.(result);
    waiting.delete(id);
  });
  const call = (method) => {
    const id = (calls += 1);
    const answer = new Promise((done) => waiting.set(id, done));
    socket.send(JSON.stringify({ id, method }));
    return answer;
  };
  return async (collect = false) => {
    // A snapshot removes garbage first; the inspector has no other way that is carried through.
    if (collect) await call("HeapProfiler.takeHeapSnapshot");
    const { usedSize, embedderHeapUsedSize, backingStorageSize } =
      await call("Runtime.getHeapUsage");
    return usedSize + embedderHeapUsedSize + backingStorageSize;
  };
}
