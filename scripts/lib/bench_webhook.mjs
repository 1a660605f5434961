// A signed invalidation, as the benchmarks post it.

import { createHmac, randomUUID } from "node:crypto";

/** What the workers of a benchmark know a webhook by. */
export const KEY = Buffer.from("a benchmark's 32 bytes of a key!");

/** The body of a command and its fields, by Standard Webhooks. */
export function signed(command) {
  const body = JSON.stringify(command);
  const [id, at] = [`msg_${randomUUID()}`, String(Math.floor(Date.now() / 1000))];
  const signature = createHmac("sha256", KEY).update(`${id}.${at}.${body}`).digest("base64");
  const headers = {
    "content-type": "application/json",
    "webhook-id": id,
    "webhook-timestamp": at,
    "webhook-signature": `v1,${signature}`,
  };
  return { headers, body };
}
