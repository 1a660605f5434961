// A browser of the machine's, and what the tests ask of it.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

export const SIZES = { narrow: { width: 360, height: 740 }, wide: { width: 1280, height: 900 } };

/** `EDGE_ISR_CHROMIUM` is set by scripts/test to the program that it found. */
export function launch() {
  const executablePath = process.env.EDGE_ISR_CHROMIUM ?? "/usr/bin/chromium";
  // Its sandbox does not start for root.
  const args = process.getuid() === 0 ? ["--no-sandbox"] : [];
  return chromium.launch({ executablePath, args });
}

/** A tab of its own; `faults` has what the console said, and what was asked of other hosts. */
export async function tab(browser, url, options = {}) {
  const { size = "wide", colorScheme = "light", token, ahead = 0 } = options;
  const context = await browser.newContext({
    viewport: SIZES[size],
    colorScheme,
    reducedMotion: "reduce",
  });
  const page = await context.newPage();
  page.setDefaultTimeout(30_000);
  // Of a machine whose clock is apart.
  if (ahead !== 0) await page.clock.setSystemTime(Date.now() + ahead);
  const faults = [];
  page.on("pageerror", (error) => faults.push(String(error)));
  page.on("console", (message) => {
    // Answers that say no are part of the tests, and the browser reports them.
    const refused = message.text().startsWith("Failed to load resource");
    if (["error", "warning"].includes(message.type()) && !refused) faults.push(message.text());
  });
  page.on("request", (request) => {
    if (!request.url().startsWith(`${url}/__isr/`) && !request.url().startsWith("data:"))
      faults.push(request.url());
  });
  const open = async (view) => {
    await page.goto(`${url}/__isr/${view}`);
    await settled(page);
  };
  if (token) {
    await page.goto(`${url}/__isr/`);
    await page.getByLabel("Token").fill(token);
    await page.getByRole("button", { name: "Look" }).click();
    await page.getByRole("heading", { name: "Now" }).waitFor();
    await settled(page);
  }
  return { page, faults, open, close: () => context.close() };
}

/** Until nothing is being asked for any more. */
export async function settled(page) {
  await page.locator("main :is(h2)").first().waitFor();
  await page.waitForFunction(() => document.querySelector("[aria-busy=true]") === null);
}

/** What axe finds, in short. */
export async function violations(page) {
  await page.evaluate(AXE);
  const { violations: found } = await page.evaluate(() => globalThis.axe.run(document, {}));
  return found.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html.slice(0, 120)}`));
}

/** The values beside the names of a list of facts. */
export async function facts(page) {
  const rows = await page.locator("dl.facts > div").all();
  const entries = await Promise.all(
    rows.map((row) => Promise.all([row.locator("dt").innerText(), row.locator("dd").innerText()])),
  );
  return Object.fromEntries(entries);
}
