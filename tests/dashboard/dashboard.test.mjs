// The dashboard in a browser, in front of the real worker.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { explained, known } from "../../dashboard/reasons.js";
import { facts, launch, settled, tab, violations } from "./browser.mjs";
import { HOSTILE, ROOT, TOKENS, start } from "./edge.mjs";

const PICTURES = process.env.EDGE_ISR_SCREENSHOTS ? join(ROOT, "docs/dashboard") : undefined;

const kind = (route, result, reason, requests, bytes = 0) => [
  { route, result, reason },
  { requests, bytes },
];

// What isolates have counted, as far as these tests are concerned.
const KINDS = [
  kind("/post/*", "hit", "", 48_210, 512_000_000),
  kind("/post/*", "stale", "invalidated", 1312, 14_000_000),
  kind("/post/*", "miss", "", 640),
  kind("/shop/*", "hit", "", 6200, 93_000_000),
  kind("/shop/*", "pass", "bypass-cookie", 3801),
  kind("/shop/*", "pass", "hit-for-pass-set-cookie", 702),
  kind("/search/", "miss", "no-freshness", 417),
  kind("/*", "collapsed", "", 96),
  kind("/*", "error", "origin-timeout", 12),
  kind("<b>route</b>", "miss", "<i>reason</i>", 7),
];
const COUNTERS = {
  "edge_isr_fills_total|outcome|stored": 1820,
  "edge_isr_fills_total|outcome|not-stored": 417,
  "edge_isr_fills_total|outcome|failed": 12,
  "edge_isr_origin_errors_total|kind|timeout": 12,
  "edge_isr_warms_total|outcome|done": 1204,
  "edge_isr_warms_total|outcome|failed": 3,
  "edge_isr_body_bytes_total|source|stored": 619_000_000,
  "edge_isr_body_bytes_total|source|origin": 48_300_000,
  "edge_isr_of_later_total|what|ever": 1,
  "edge_isr_audits_total|outcome|same": 53,
  "edge_isr_audits_total|outcome|stale": 3,
  "edge_isr_audits_total|outcome|differs-at-every-render": 1,
  "edge_isr_audits_total|outcome|not-comparable": 2,
  "edge_isr_audit_stale_pages_total|within|hour": 1,
  "edge_isr_audit_stale_pages_total|within|day": 2,
};

/** What audits could have found: the second page would do harm as markup. */
function findings() {
  const at = Date.now();
  const finding = (page, more) => ({
    page,
    url: `https://www.example.net/post/${page}/`,
    vary: [],
    route: "/post/*",
    stored_at: at - 2_400_000,
    found_at: at,
    colo: "AMS",
    cause: "same-tags",
    tags: ["post:42", "posts"],
    fresh_tags: ["post:42", "posts"],
    difference: {
      changes: [],
      body: true,
      excerpt: {
        before: '<p class="price">',
        stored: "12.00 €",
        fresh: "14.50 €",
        after: "</p><p>In stock",
      },
      tags: false,
    },
    ...more,
  });
  return [
    finding("clock", {
      cause: "differs-at-every-render",
      difference: { changes: [], body: true, excerpt: null, tags: false },
    }),
    finding("<b>bold</b>", {
      vary: [["accept-language", "de"]],
      tags: [HOSTILE],
      fresh_tags: [HOSTILE, "added"],
      cause: "other-tags",
      difference: {
        changes: [{ name: "content-type", stored: "text/html", fresh: "<i>text</i>" }],
        body: true,
        excerpt: { before: "", stored: "<script>hurt()</script>", fresh: HOSTILE, after: "" },
        tags: true,
      },
    }),
    finding("42", {}),
    finding("42", {}),
  ];
}

// And of requests to the origin.
const ORIGIN = {
  "/post/*": { requests: 1952, millis: 214_720 },
  "/shop/*": { requests: 2860, millis: 1_201_200 },
};

const VIEWS = ["now", "why", "invalidations", "page", "truth"];

let edge, browser;

before(async () => {
  [edge, browser] = await Promise.all([start(), launch()]);
  await edge.report(KINDS, COUNTERS, ORIGIN);
  for (const finding of findings()) await edge.found(finding);
  for (const path of edge.pages) {
    await edge.until(async () =>
      (await fetch(edge.url + path)).headers.get("cache-status").includes("hit"),
    );
  }
});

after(async () => {
  await browser?.close();
  await edge?.stop();
});

/** A tab that ends with its test, and in which nothing went wrong. */
async function opened(t, options) {
  const one = await tab(browser, edge.url, options);
  t.after(async () => {
    await one.close();
    assert.deepEqual(one.faults, []);
  });
  return one;
}

/** What is in the documents: small, and of what one sees first. */
async function picture(page, name, height = 640) {
  if (!PICTURES) return;
  const before = page.viewportSize();
  await page.setViewportSize({ width: 800, height });
  await page.evaluate(() => document.activeElement?.blur());
  // What is drawn to fit is drawn anew in the next frames.
  for (let frame = 0; frame < 3; frame += 1)
    await page.evaluate(() => new Promise(requestAnimationFrame));
  await page.screenshot({ path: join(PICTURES, `${name}.png`) });
  await page.setViewportSize(before);
}

test("files have a policy, and none stands in front of the site", async () => {
  const page = await fetch(`${edge.url}/__isr/`);
  assert.equal(page.status, 200);
  assert.equal(page.headers.get("content-type"), "text/html; charset=utf-8");
  assert.match(
    page.headers.get("content-security-policy"),
    new RegExp(
      "^default-src 'none'; script-src 'self'; style-src 'self'; " +
        "connect-src 'self'; img-src 'self' data:;",
    ),
  );
  assert.equal(page.headers.get("x-content-type-options"), "nosniff");
  assert.equal(page.headers.get("cache-control"), "no-cache");
  const etag = page.headers.get("etag");
  const again = await fetch(`${edge.url}/__isr/`, { headers: { "if-none-match": etag } });
  assert.deepEqual([again.status, await again.text()], [304, ""]);
  const head = await fetch(`${edge.url}/__isr/dashboard/app.js`, { method: "HEAD" });
  assert.deepEqual([head.status, await head.text()], [200, ""]);
  assert.match(head.headers.get("content-type"), /^text\/javascript/);
  const moved = await fetch(`${edge.url}/__isr`, { redirect: "manual" });
  assert.deepEqual([moved.status, moved.headers.get("location")], [308, "/__isr/"]);
  for (const name of ["none.js", "..%2findex.js", "%2e%2e/index.js"]) {
    const missing = await fetch(`${edge.url}/__isr/dashboard/${name}`);
    assert.deepEqual(
      [missing.status, missing.headers.get("content-type")],
      [404, "application/problem+json"],
      name,
    );
  }
  for (const path of ["/index.html", "/app.js", "/dashboard/app.js", "/style.css"]) {
    assert.match(await (await fetch(edge.url + path)).text(), new RegExp(`the site's own ${path}`));
  }
  const posted = await fetch(`${edge.url}/__isr/`, { method: "POST" });
  assert.equal(posted.status, 404);
});

test("an unknown token is refused in words, and a known one is kept for the tab", async (t) => {
  const { page, open } = await opened(t);
  await open("");
  await page.getByLabel("Token").fill("nobodys");
  await page.keyboard.press("Enter");
  await page.getByRole("alert").getByText("does not know this token").waitFor();
  assert.equal(await page.evaluate(() => sessionStorage.length), 0);
  await page.getByLabel("Token").fill("not a token ü");
  await page.keyboard.press("Enter");
  await page.getByRole("alert").getByText("neither spaces nor special letters").waitFor();
  await page.getByLabel("Token").fill(TOKENS.reader);
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Now" }).waitFor();
  await page.reload();
  await page.getByRole("heading", { name: "Now" }).waitFor();
  assert.deepEqual(await page.evaluate(() => [localStorage.length, document.cookie]), [0, ""]);
  await page.getByRole("button", { name: "Forget the token" }).click();
  await page.getByLabel("Token").waitFor();
  assert.equal(await page.evaluate(() => sessionStorage.length), 0);
});

test("figures are those of the API", async (t) => {
  const { page } = await opened(t, { token: TOKENS.reader });
  const stats = await edge.ask(`/__isr/v1/stats?by=result&from=${Date.now() - 3_600_000}`);
  const all = Object.values(stats.totals).reduce((sum, { requests }) => sum + requests, 0);
  const cached = stats.totals.hit.requests + stats.totals.stale.requests;
  const percent = (part) => `${Math.round((1000 * part) / all) / 10}%`;
  const figures = await facts(page);
  assert.equal(figures.Requests, all.toLocaleString("en"));
  assert.equal(figures["Hit ratio"], percent(cached));
  assert.equal(figures["Stale share"], percent(stats.totals.stale.requests));
  assert.equal(figures["Fetches of pages"], (1820 + 417 + 12).toLocaleString("en"));
  assert.equal(figures["Passed to the origin"], stats.totals.pass.requests.toLocaleString("en"));
  assert.equal(figures["Failures of the origin"], "timeout: 12");
  const origin = Object.values(stats.origin);
  const asked = origin.reduce((sum, { requests }) => sum + requests, 0);
  const took = origin.reduce((sum, { millis }) => sum + millis, 0);
  assert.ok(asked >= 4812);
  const each = Math.round(took / asked).toLocaleString("en");
  assert.equal(figures["Origin requests"], `${asked.toLocaleString("en")}, ${each} ms each`);
  assert.equal(figures.Warms, "1,204 done, 3 failed, 0 given up");
  assert.equal(figures["Bytes from the cache"], "619 MB");
  assert.match(figures["Journal heard"], / s ago, by the isolate that answered$/);
  assert.match(figures.Isolates, /^[1-9]\d* reported in the last/);
  assert.equal(figures["Front caches failing"], "none");
  // The chart is one of figures, and they stand in a table, too.
  await page.locator(".chart canvas").waitFor();
  await page.getByText("As a table").click();
  const cells = await page.locator("figure tbody td").allInnerTexts();
  const sum = cells.reduce((total, text) => total + Number(text.replaceAll(",", "")), 0);
  assert.equal(sum, all);
  await page.getByText("As a table").click();
  await picture(page, "now", 1050);
});

test("a browser's clock that is a day apart changes no figure", async (t) => {
  const right = await opened(t, { token: TOKENS.reader });
  const want = (await facts(right.page)).Requests;
  for (const days of [-1, 1]) {
    const wrong = await opened(t, { token: TOKENS.reader, ahead: days * 86_400_000 });
    assert.equal((await facts(wrong.page)).Requests, want);
    await wrong.open("#why");
    await wrong.page.locator(".reasons > li").first().waitFor();
  }
});

test("what is not from the cache is ranked, with what to do", async (t) => {
  const { page, open } = await opened(t, { token: TOKENS.reader });
  await open("#why");
  const rows = await page.locator(".reasons > li").allInnerTexts();
  const shop = KINDS.filter(([{ route }]) => route === "/shop/*").reduce(
    (sum, [, { requests }]) => sum + requests,
    0,
  );
  const share = `${Math.round((1000 * 3801) / shop) / 10}%`;
  assert.ok(
    rows[0].startsWith(
      `${share} of /shop/* (3,801 requests, pass): the visitor has a cookie of bypass_cookies`,
    ),
    rows[0],
  );
  assert.match(rows[1], /the last answer could not be stored: the answer sets a cookie/);
  const hostile = rows.find((row) => row.includes("<b>route</b>"));
  assert.match(hostile, /<i>reason<\/i>, a reason that this page does not know/);
  assert.equal(await page.locator(".reasons :is(b, i), main table :is(b, i)").count(), 0);
  await picture(page, "why");
});

test("every reason that is documented has its sentence", () => {
  const text = readFileSync(join(ROOT, "docs/operations.md"), "utf8");
  const section = text.slice(
    text.indexOf("## Cache-Status"),
    text.indexOf("## Metrics, log, health"),
  );
  const rows = section.split("\n").filter((line) => line.startsWith("| `"));
  const reasons = rows
    .flatMap((row) => row.split("|")[1].match(/`([a-z0-9-]+)`/g) ?? [])
    .map((name) => name.slice(1, -1));
  assert.ok(reasons.length > 80);
  assert.deepEqual(
    reasons.filter((name) => !known.includes(name)),
    [],
  );
  assert.match(explained("hit-for-pass-no-store", "pass")[0], /no-store/);
  assert.match(explained("constructor", "miss")[0], /does not know/);
});

test("pages are counted, invalidated, and refetched before one's eyes", async (t) => {
  const { page, open } = await opened(t, { token: TOKENS.operator });
  await open("#invalidations");
  await page.getByLabel("Names").fill("posts");
  await page.getByLabel("Reason").fill("prices <b>changed</b>");
  await page.getByRole("button", { name: "Count the pages" }).click();
  await page.getByText("3 pages would be invalidated. Nothing was done.").waitFor();
  await page.getByRole("button", { name: "Invalidate", exact: true }).click();
  await page.getByText(/^Invalidated with the epoch [\d,]+: 3 pages\.$/).waitFor();
  await page
    .getByRole("status")
    .getByText(/: done$/)
    .waitFor();
  const job = (await page.getByRole("status").innerText()).split(":")[0];
  const figures = await facts(page);
  const asked = await edge.ask(`/__isr/v1/jobs/${encodeURIComponent(job)}`);
  assert.deepEqual(
    [figures.Pages, figures.Done],
    [String(asked.pages), `${asked.done}: ${asked.changed} changed, ${asked.unchanged} the same`],
  );
  assert.equal(asked.done, 3);
  await picture(page, "invalidations", 1100);
});

test("what is wrong in a form is said in a sentence", async (t) => {
  const { page, open } = await opened(t, { token: TOKENS.operator });
  await open("#invalidations");
  await page.getByLabel("Names").fill("two words");
  await page.getByRole("button", { name: "Count the pages" }).click();
  await page.getByRole("alert").getByText("a tag is printable ASCII").waitFor();
  await page.getByLabel("Job").fill("<b>none</b>");
  await page.getByRole("button", { name: "Follow" }).click();
  await page.getByRole("alert").getByText("knows nothing of this name").waitFor();
});

test("a page is explained, and its tags lead to its pages", async (t) => {
  const { page, open } = await opened(t, { token: TOKENS.reader });
  await open("#page");
  const url = `${edge.url}/post/1/?utm_source=x`;
  await page.getByLabel("Address").fill(url);
  await page.getByRole("button", { name: "Explain" }).click();
  await page.locator(".steps").waitFor();
  await settled(page);
  const asked = await edge.ask(`/__isr/v1/explain?url=${encodeURIComponent(url)}`);
  const figures = await facts(page);
  assert.equal(figures["What is done"], asked.action);
  assert.equal(figures["Not forwarded"], "query: utm_source");
  assert.deepEqual(await page.locator(".steps li").allInnerTexts(), asked.steps);
  await picture(page, "page", 900);
  // A tag that is markup is text, as a link, in the address, and in the list.
  await page.getByRole("link", { name: HOSTILE }).first().click();
  await page.getByRole("heading", { name: `Pages of ${HOSTILE}` }).waitFor();
  await page.getByRole("link", { name: `${edge.url}/post/1/` }).waitFor();
  assert.equal(await page.locator("main img").count(), 0);
  assert.match(await page.title(), /^A page/);
  await page.getByRole("textbox", { name: "Tag" }).fill("posts");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Pages of posts" }).waitFor();
  await page.getByRole("link", { name: `${edge.url}/post/3/` }).waitFor();
});

test("fields of a request count", async (t) => {
  const { page, open } = await opened(t, { token: TOKENS.reader });
  await open(
    `#page?${new URLSearchParams([
      ["url", `${edge.url}/post/1/`],
      ["header", "Authorization: Basic eA=="],
    ])}`,
  );
  const figures = await facts(page);
  assert.equal(figures.Reason, "authorization");
  assert.equal(
    await page.getByLabel("Fields of the request").inputValue(),
    "Authorization: Basic eA==",
  );
});

test("the history has what was invalidated, by whom, and what came of it", async (t) => {
  const { page, open } = await opened(t, { token: TOKENS.operator });
  const sent = await edge.send("/__isr/v1/revalidate", { tags: [HOSTILE], reason: "<b>why</b>" });
  await edge.until(async () => (await edge.ask(`/__isr/v1/jobs/${sent.id}`)).state === "done");
  await open("#invalidations");
  const asked = (await edge.ask("/__isr/v1/invalidations")).invalidations;
  const rows = page.locator("tbody tr");
  assert.equal(await rows.count(), asked.length);
  const cells = await rows.first().locator("td").allInnerTexts();
  assert.deepEqual(cells.slice(0, 4), ["operator (control)", HOSTILE, "<b>why</b>", "soft"]);
  assert.match(cells[4], /1 pages, 1 refetched \(1 the same\), all within /);
  assert.equal(await page.locator("main :is(b, img)").count(), 0);
  await page.getByLabel("Tag").fill("of:nobody");
  await page.getByRole("button", { name: "Search" }).click();
  await page.getByText("None.").waitFor();
  await page.getByLabel("Tag").fill(HOSTILE);
  await page.getByRole("button", { name: "Search" }).click();
  await rows.first().getByRole("button", { name: sent.id }).click();
  await page.getByRole("status").getByText(`${sent.id}: done`).waitFor();
  // The page's own.
  await open(`#page?url=${encodeURIComponent(`${edge.url}/post/1/`)}`);
  const what = page.getByRole("region", { name: "What happened to it, newest first" });
  const events = await what.locator("tbody tr").allInnerTexts();
  const { timeline } = (await edge.ask(`/__isr/v1/pages?url=${edge.url}/post/1/`)).pages[0];
  assert.equal(events.length, timeline.length);
  assert.match(events.join("\n"), /fetched.*by a warm/);
  assert.ok(
    events.some((text) => text.includes(`soft, by operator (control), ${HOSTILE}: <b>why</b>`)),
  );
});

test("what audits found is shown, with what it shares", async (t) => {
  const { page, open } = await opened(t, { token: TOKENS.reader });
  await open("#truth");
  const asked = await edge.ask("/__isr/v1/audit");
  const figures = await facts(page);
  assert.equal(figures["Hits audited"], `57 of ${asked.hits.toLocaleString("en")}`);
  assert.equal(figures["The same"], "53 (93%)");
  assert.equal(figures["Out of date"], "3 (5.3%)");
  assert.equal(figures["For how long at most"], "1 less than an hour, 2 less than a day");
  assert.equal(figures["Not compared"], "2 not comparable");
  await page.getByText(asked.note).waitFor();
  const items = page.locator(".findings > li");
  assert.equal(await items.count(), asked.findings.length);
  // Those of one millisecond have another order.
  const item = (text) => items.filter({ hasText: text });
  const newest = await item("/post/42/").innerText();
  assert.match(newest, /https:\/\/www\.example\.net\/post\/42\//);
  assert.match(newest, /raw SQL, another program, or a file/);
  assert.match(newest, /2 times, first /);
  assert.match(newest, /<p class="price">12\.00 €<\/p>/);
  assert.match(newest, /<p class="price">14\.50 €<\/p>/);
  assert.match(newest, /40 min/);
  const rows = await page
    .getByRole("region", { name: "What the pages share, the most first" })
    .locator("tbody tr")
    .allInnerTexts();
  assert.equal(rows.length, asked.groups.length);
  assert.match(rows.join("\n"), /post:42\s+\/post\/\*\s+1\s+1/);
  // What would be markup is text.
  const hostile = await item("<b>bold</b>").innerText();
  for (const text of ["<b>bold</b>", "<script>hurt()</script>", HOSTILE, "<i>text</i>", "added"])
    assert.ok(hostile.includes(text), text);
  assert.equal(await page.locator("main :is(b, i, img, script)").count(), 0);
  assert.match(await item("/post/clock/").innerText(), /differ between themselves/);
  await picture(page, "truth", 1100);
  // A finding leads to its page.
  await item("/post/42/").getByRole("link").click();
  await page.getByLabel("Address").waitFor();
  assert.equal(await page.getByLabel("Address").inputValue(), "https://www.example.net/post/42/");
});

test("older findings are shown on request", async (t) => {
  const many = findings()[0];
  for (let n = 0; n < 101; n += 1)
    await edge.found({ ...many, page: `many-${n}`, route: "/many/*", tags: [], fresh_tags: [] });
  const { page, open } = await opened(t, { token: TOKENS.reader });
  await open("#truth");
  const items = page.locator(".findings > li");
  assert.equal(await items.count(), 100);
  await page.getByRole("button", { name: "Older ones" }).click();
  await page.getByText("https://www.example.net/post/42/").waitFor();
  assert.equal(await items.count(), 104);
  assert.equal(await page.getByRole("button", { name: "Older ones" }).count(), 0);
});

test("what waits for its time is listed, and taken back", async (t) => {
  const { page, open } = await opened(t, { token: TOKENS.operator });
  const at = (hours) => new Date(Date.now() + hours * 3_600_000).toISOString();
  const later = await edge.send("/__isr/v1/revalidate", { tags: ["posts"], at: at(2) });
  const sooner = await edge.send("/__isr/v1/revalidate", {
    tags: [HOSTILE],
    at: at(1),
    reason: "<b>sale</b>",
  });
  await open("#invalidations");
  const region = page.getByRole("region", { name: "Invalidations at a time, the next first" });
  const rows = region.locator("tbody tr");
  await rows.first().waitFor();
  const asked = (await edge.ask("/__isr/v1/scheduled")).scheduled;
  assert.deepEqual(
    asked.map(({ id }) => id),
    [sooner.id, later.id],
  );
  assert.equal(await rows.count(), 2);
  const when = await rows.first().locator("time").getAttribute("datetime");
  assert.equal(Date.parse(when), asked[0].at);
  const cells = await rows.first().locator("td").allInnerTexts();
  assert.deepEqual(cells, ["operator (control)", HOSTILE, "<b>sale</b>", "soft", "Cancel"]);
  assert.equal(await page.locator("main :is(b, img)").count(), 0);
  await picture(page, "scheduled", 1300);
  await page.getByRole("button", { name: `Cancel ${sooner.id}` }).click();
  await page.getByText(`${sooner.id} will not be done.`).waitFor();
  assert.equal(await rows.count(), 1);
  // Somebody else was quicker: the row has gone when one looks again.
  await edge.remove(`/__isr/v1/scheduled/${later.id}`);
  await page.getByRole("button", { name: "Look again" }).click();
  await page.getByText("Nothing waits.").waitFor();
  assert.deepEqual((await edge.ask("/__isr/v1/scheduled")).scheduled, []);
});

test("a token that may only look takes nothing back", async (t) => {
  const { id } = await edge.send("/__isr/v1/revalidate", {
    tags: ["posts"],
    at: new Date(Date.now() + 3_600_000).toISOString(),
  });
  t.after(() => edge.remove(`/__isr/v1/scheduled/${id}`));
  const { page, open } = await opened(t, { token: TOKENS.reader });
  await open("#invalidations");
  await page.getByRole("button", { name: `Cancel ${id}` }).click();
  await page.getByRole("alert").getByText("lacks the scope “revalidate”").waitFor();
  assert.equal((await edge.ask("/__isr/v1/scheduled")).scheduled.length, 1);
});

test("a token without a scope is answered with its name", async (t) => {
  const writer = await opened(t, { token: TOKENS.writer });
  for (const view of ["now", "why", "truth", `page?url=${encodeURIComponent(edge.url)}`]) {
    await writer.open(`#${view}`);
    await writer.page.getByRole("alert").getByText("lacks the scope “read”").first().waitFor();
  }
  await writer.open("#invalidations");
  await writer.page.getByLabel("Names").fill("posts");
  await writer.page.getByRole("button", { name: "Count the pages" }).click();
  await writer.page.getByText("3 pages would be invalidated").waitFor();
  const reader = await opened(t, { token: TOKENS.reader });
  await reader.open("#invalidations");
  await reader.page.getByLabel("Names").fill("posts");
  await reader.page.getByRole("button", { name: "Invalidate", exact: true }).click();
  await reader.page.getByRole("alert").getByText("lacks the scope “revalidate”").waitFor();
});

test("while the journal is away each view says what is not known", async (t) => {
  const { page, open } = await opened(t, { token: TOKENS.operator });
  await edge.door("away");
  t.after(() => edge.door("back"));
  await open("#now");
  await page.getByRole("alert").getByText("Not known at present").waitFor();
  // What the isolate knows by itself is shown all the same.
  assert.match((await facts(page)).Version, /^\d/);
  await open("#truth");
  await page.getByRole("alert").getByText("Not known at present").waitFor();
  await open("#invalidations");
  // What waits, and the history; counting and doing are tried when one wants to.
  const unknown = page.getByRole("alert").getByText("Not known at present");
  await unknown.nth(1).waitFor();
  assert.equal(await unknown.count(), 2);
  // The isolate explains by what it knows, and the page's shard is there.
  await open(`#page?url=${encodeURIComponent(`${edge.url}/post/1/`)}`);
  await page.locator(".steps li").first().waitFor();
  await open("#why");
  await page.getByRole("alert").getByText("Not known at present").waitFor();
  await edge.door("back");
  await page.getByRole("button", { name: "Refresh" }).click();
  await page.locator(".reasons").waitFor();
});

test("all of it is reached by keyboard", async (t) => {
  const { page, open } = await opened(t, { token: TOKENS.reader });
  await open("#now");
  await page.reload();
  await settled(page);
  const focused = () => page.evaluate(() => document.activeElement.textContent.trim());
  const seen = [];
  for (let n = 0; n < 7; n += 1) {
    await page.keyboard.press("Tab");
    seen.push(await focused());
  }
  assert.deepEqual(seen, [
    "Skip to the view",
    "Now",
    "Why not",
    "Invalidations",
    "A page",
    "Truth",
    "Forget the token",
  ]);
  await page.keyboard.press("Shift+Tab");
  await page.keyboard.press("Shift+Tab");
  await page.keyboard.press("Shift+Tab");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Invalidations" }).waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.id), "view");
  assert.equal(await page.locator("nav [aria-current=page]").innerText(), "Invalidations");
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.labels?.[0]?.textContent), "What");
});

test("a thousand routes and reasons: the most first, and the others counted", async (t) => {
  const many = Array.from({ length: 500 }, (_, n) => kind(`/r${n}/*`, "miss", `reason-${n}`, 1));
  await edge.report(many);
  const { page, open } = await opened(t, { token: TOKENS.reader });
  await open("#why");
  assert.equal(await page.locator(".reasons > li").count(), 50);
  const asked = await edge.ask("/__isr/v1/stats?by=kind");
  const missed = Object.entries(asked.totals).filter(
    ([name]) => !/\|(hit|stale)\|[^|]*$/.test(name),
  );
  const counts = missed.map(([, { requests }]) => requests).sort((a, b) => b - a);
  const others = counts.slice(50).reduce((sum, one) => sum + one, 0);
  await page.getByText(`${others} requests for other reasons are not shown.`).waitFor();
});

for (const size of ["narrow", "wide"]) {
  for (const colorScheme of ["light", "dark"]) {
    test(`axe finds nothing, and nothing is cut off: ${size}, ${colorScheme}`, async (t) => {
      const { page, open } = await opened(t, { size, colorScheme });
      await open("");
      assert.deepEqual(await violations(page), []);
      await page.getByLabel("Token").fill(TOKENS.operator);
      await page.keyboard.press("Enter");
      for (const view of [
        ...VIEWS,
        `page?url=${encodeURIComponent(`${edge.url}/post/1/`)}&tag=posts`,
      ]) {
        await open(`#${view}`);
        assert.deepEqual(await violations(page), [], view);
        const [whole, shown] = await page.evaluate(() => [
          document.documentElement.scrollWidth,
          innerWidth,
        ]);
        assert.ok(whole <= shown, `${view} is ${whole} wide`);
      }
    });
  }
}

test("nothing of the chart library is committed", () => {
  const files = readdirSync(join(ROOT, "dashboard"));
  assert.deepEqual(
    files.filter((name) => name.includes("uplot") || name.includes(".min.")),
    [],
  );
});
