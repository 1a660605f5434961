// An hour of traffic in quick time: what a client counts is what the API, the metrics, the command
// line and the dashboard say, but for what an isolate had not reported when it was killed, and for
// the newest minute.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";

import { facts, launch, tab } from "./browser.mjs";
import { ROOT, TOKENS, start } from "./edge.mjs";

const MINUTES = 60;
const KILLED = [20, 41];
const PATHS = ["/post/1/", "/post/2/", "/post/3/", "/account/", "/about/"];

let edge, browser;

before(async () => {
  [edge, browser] = await Promise.all([start(), launch()]);
});

after(async () => {
  await browser?.close();
  await edge?.stop();
});

/** What an answer counts as, by its Cache-Status. */
function result(answer) {
  const said = answer.headers.get("cache-status");
  if (/; ?hit/.test(said)) return /ttl=-/.test(said) ? "stale" : "hit";
  return /fwd=(bypass|method|request)/.test(said) ? "pass" : "miss";
}

test("an hour of traffic, with isolates that are killed, is the same everywhere", async (t) => {
  const reported = {};
  let unreported = {};
  let passed = 0;
  let lost = 0;
  const visit = async (path) => {
    const answer = await fetch(edge.url + path);
    await answer.arrayBuffer();
    const kind = result(answer);
    unreported[kind] = (unreported[kind] ?? 0) + 1;
  };
  const pass = async (millis) => {
    passed += millis;
    await edge.door("pass", { millis });
  };
  /** The first request of a minute brings along what was counted before it. */
  const report = async (path) => {
    const before = unreported;
    unreported = {};
    await visit(path);
    await edge.until(async () => {
      const { totals } = await edge.ask(`/__isr/v1/stats?from=1&by=result`);
      const sum = Object.values(totals).reduce((all, { requests }) => all + requests, 0);
      const want = [reported, before].flatMap(Object.values).reduce((all, one) => all + one, 0);
      return sum === want;
    });
    for (const [kind, n] of Object.entries(before)) reported[kind] = (reported[kind] ?? 0) + n;
  };
  for (let minute = 0; minute < MINUTES; minute += 1) {
    await report(PATHS[minute % PATHS.length]);
    for (let n = 0; n < 4 + (minute % 5); n += 1)
      await visit(PATHS[(minute * n + n) % PATHS.length]);
    if (KILLED.includes(minute)) {
      lost += Object.values(unreported).reduce((all, one) => all + one, 0);
      unreported = {};
      await edge.kill();
      // The machine's clock is not the one that the hour has passed by.
      await edge.door("pass", { millis: passed });
    }
    await pass(60_000);
  }
  await report(PATHS[0]);
  const sum = Object.values(reported).reduce((all, one) => all + one, 0);
  assert.ok(sum > 300 && lost > 0, `${sum} reported, ${lost} lost`);

  // The API.
  const stats = await edge.ask(`/__isr/v1/stats?from=1&by=result`);
  const api = Object.fromEntries(
    Object.entries(stats.totals).map(([name, { requests }]) => [name, requests]),
  );
  assert.deepEqual(api, reported);
  const kinds = await edge.ask(`/__isr/v1/stats?from=1&by=kind`);
  const byKind = Object.values(kinds.totals).reduce((all, { requests }) => all + requests, 0);
  assert.equal(byKind, sum);

  // The metrics.
  const headers = { authorization: `Bearer ${TOKENS.reader}` };
  const text = await (await fetch(`${edge.url}/__isr/metrics`, { headers })).text();
  const metrics = [...text.matchAll(/^edge_isr_requests_total\{result="([a-z]+)"\} (\d+)$/gm)];
  const counted = metrics.filter(([, , n]) => n !== "0").map(([, name, n]) => [name, Number(n)]);
  assert.deepEqual(Object.fromEntries(counted), reported);

  // The command line, of the last hour: asked for the same time, the API says the same.
  const env = { ...process.env, EDGE_ISR_URL: edge.url, EDGE_ISR_TOKEN: TOKENS.reader };
  const isr = join(ROOT, "scripts/isr");
  const { stdout } = await promisify(execFile)(isr, ["status", "--json"], { env });
  const hour = JSON.parse(stdout).stats;
  const same = await edge.ask(`/__isr/v1/stats?by=result&from=${hour.from}&to=${hour.to}`);
  assert.deepEqual(hour.totals, same.totals);
  const inHour = Object.values(hour.totals).reduce((all, { requests }) => all + requests, 0);
  assert.ok(inHour > sum / 2, `${inHour} in the last hour`);

  const { stdout: said } = await promisify(execFile)(isr, ["status"], { env });
  assert.match(said, /^[\d,]+ requests to the origin, [\d,]+ ms each$/m);

  const one = await tab(browser, edge.url, { token: TOKENS.reader });
  t.after(async () => {
    await one.close();
    assert.deepEqual(one.faults, []);
  });
  await one.page.getByLabel("Time").selectOption("6 hours");
  await one.page.waitForFunction(
    (want) => document.querySelector("figure") && document.body.innerText.includes(want),
    sum.toLocaleString("en"),
  );
  const shown = await facts(one.page);
  assert.equal(shown.Requests, sum.toLocaleString("en"));
  const cached = (reported.hit ?? 0) + (reported.stale ?? 0);
  assert.equal(shown["Hit ratio"], `${Math.round((1000 * cached) / sum) / 10}%`);
  assert.equal(shown["Passed to the origin"], reported.pass.toLocaleString("en"));

  // The origin's own count, but for what was asked since.
  const origin = Object.values(stats.origin).reduce((all, { requests }) => all + requests, 0);
  assert.ok(origin <= edge.asked() && origin > edge.asked() - lost - 30, `${origin}`);
});
