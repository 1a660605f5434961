// The origin of `scripts/bench --load`, in a thread of its own. What it answers stands in the path,
// /CELL/KIND/NUMBER; messages set how it behaves.

import { once } from "node:events";
import http from "node:http";
import { parentPort } from "node:worker_threads";

const PAGE = "<p>page</p>".repeat(745);
const LARGE = "x".repeat(1 << 20);
const WINDOWS = "stale-while-revalidate=86400, stale-if-error=86400";
const LIFETIMES = { hit: 3600, large: 3600, cold: 3600, stale: 1 };

let delay = 0;
// Every so many answers one is a failure; never with 0.
let failing = 0;
let counts = { requests: 0, failures: 0 };
const server = http.createServer(answer);
server.keepAliveTimeout = 600_000;

function answer(request, response) {
  counts.requests += 1;
  const failed = failing > 0 && counts.requests % failing === 0;
  if (failed) counts.failures += 1;
  setTimeout(
    () => (failed ? response.writeHead(500).end("failed") : send(request, response)),
    delay,
  );
}

function send(request, response) {
  const [, , kind, number] = request.url.split("/");
  const lifetime = LIFETIMES[kind];
  const control =
    lifetime === undefined ? "private, no-store" : `public, s-maxage=${lifetime}, ${WINDOWS}`;
  response.setHeader("cache-control", control);
  response.setHeader("content-type", "text/html");
  response.setHeader("x-edge-isr-tags", `post:${number} all`);
  response.end(kind === "large" ? LARGE : PAGE);
}

async function listen(port) {
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  return server.address().port;
}

async function stop() {
  const { port } = server.address();
  server.close();
  server.closeAllConnections();
  await once(server, "close");
  return port;
}

let port = await listen(0);
parentPort.on("message", async (message) => {
  if (message.behave) ({ delay, failing } = message.behave);
  if (message.stop) port = await stop();
  if (message.go) await listen(port);
  parentPort.postMessage({ counts });
  if (message.take) counts = { requests: 0, failures: 0 };
});
parentPort.postMessage({ port });
