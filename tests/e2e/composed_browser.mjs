// A reader in a real browser, at the worker and at the origin: says as JSON what they saw.
//
//   node composed_browser.mjs EDGE ORIGIN NAME PATH…

import { launch } from "../dashboard/browser.mjs";

const [edge, origin, name, ...paths] = process.argv.slice(2);
const VIEWPORT = { width: 1000, height: 900 };

/** A visitor with cookies of their own, and everything that the console complains of. */
async function visitor(browser, base, faults) {
  const context = await browser.newContext({ viewport: VIEWPORT, baseURL: base });
  const page = await context.newPage();
  page.setDefaultTimeout(90_000);
  page.on("pageerror", (error) => faults.push(`${base}: ${error}`));
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) {
      faults.push(`${base}: ${message.text()} ${message.location().url}`);
    }
  });
  // A browser asks for one by itself; the blog has none.
  await page.route("**/favicon.ico", (route) => route.fulfill({ status: 204 }));
  const go = async (path) => {
    const answer = await page.goto(path);
    return { status: answer.status(), cache: await answer.headerValue("cache-status") };
  };
  return { context, page, go };
}

/** What is made anew for each answer, or shows when it was rendered, is the same for all. */
function mask(page) {
  return page.evaluate(() => {
    for (const time of document.querySelectorAll("time")) {
      time.dateTime = time.textContent = "now";
    }
    for (const token of document.querySelectorAll("[name=csrfmiddlewaretoken]")) {
      token.setAttribute("value", "token");
    }
    for (const script of document.querySelectorAll("[nonce]")) {
      script.setAttribute("nonce", script.nonce ? "nonce" : "");
    }
  });
}

async function seen(visitor, path) {
  const report = await visitor.go(path);
  // The pointer lies where the last button was; what is there now may be drawn as pointed at.
  await visitor.page.mouse.move(0, 0);
  await mask(visitor.page);
  const html = await visitor.page.evaluate(() => document.documentElement.outerHTML);
  const scripts = await visitor.page.evaluate(() => document.documentElement.className);
  return { ...report, html, scripts };
}

const picture = ({ page }) => page.screenshot({ fullPage: true, animations: "disabled" });

/** Whether two pages look the same, once both are drawn: where the pointer was may come late. */
async function alike(one, other) {
  for (let left = 40; left > 0; left -= 1) {
    if ((await picture(one)).equals(await picture(other))) return true;
    await one.page.waitForTimeout(250);
  }
  return false;
}

async function logIn({ page, go }, path) {
  await go(path);
  await page.locator(".account [name=username]").fill(name);
  await page.locator(".account [name=password]").fill(name);
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByText(name, { exact: true }).waitFor();
}

const shown = (page) => page.locator(".message").allInnerTexts();

const browser = await launch();
const faults = [];
try {
  const report = { pages: [], faults };
  const [here, there] = [
    await visitor(browser, edge, faults),
    await visitor(browser, origin, faults),
  ];
  for (const path of paths) {
    report.pages.push({ path, who: "nobody", ...(await compared(here, there, path)) });
  }
  await logIn(here, paths[0]);
  await logIn(there, paths[0]);
  for (const path of paths) {
    report.pages.push({ path, who: name, ...(await compared(here, there, path)) });
  }
  // The newsletter's form, which stands on a page that the edge keeps.
  report.before = (await here.go(paths[1])).cache;
  await here.page.locator(".newsletter [name=email]").fill(`${name}@example.net`);
  await here.page.getByRole("button", { name: "Subscribe" }).click();
  await here.page.waitForURL(`${edge}/`);
  report.first = await shown(here.page);
  report.again = [];
  for (const path of [paths[1], "/", paths[1]]) {
    await here.go(path);
    report.again.push(...(await shown(here.page)));
  }
  // A comment, by a form with a page of its own.
  const post = paths.find((path) => path.startsWith("/post/"));
  report.form = (await here.go(`${post}comment/`)).cache;
  await here.page.locator("main [name=name]").fill("Ann");
  await here.page.locator("main [name=text]").fill("From a real browser.");
  await here.page.getByRole("button", { name: "Send" }).click();
  await here.page.waitForURL(`${edge}${post}`);
  report.comment = await here.page.getByText("From a real browser.").count();
  report.thanks = await shown(here.page);
  // Somebody else's window, of the same browser and at the same time.
  const other = await visitor(browser, edge, faults);
  await other.go(paths[1]);
  report.other = await other.page.locator(".account").innerText();
  await here.go(paths[1]);
  await here.page.getByRole("button", { name: "Log out" }).click();
  await here.page.getByRole("button", { name: "Log in" }).waitFor();
  await here.go(paths[1]);
  report.out = await here.page.locator(".account").innerText();
  // What was on the screen before they left must not come back from the browser's cache.
  await here.page.goBack();
  await here.page.reload();
  report.back = await here.page.locator(".account").innerText();
  report.cookies = (await here.context.cookies()).map((cookie) => cookie.name).sort();
  process.stdout.write(JSON.stringify(report));
} finally {
  await browser.close();
}

/** Whether a page is the same at both; where not, what of it is not. */
async function compared(here, there, path) {
  const [composed, whole] = [await seen(here, path), await seen(there, path)];
  return {
    status: [composed.status, whole.status],
    cache: composed.cache,
    scripts: [composed.scripts, whole.scripts],
    same: composed.html === whole.html,
    looks: await alike(here, there),
    html: composed.html === whole.html ? "" : firstDifference(composed.html, whole.html),
  };
}

function firstDifference(one, other) {
  let at = 0;
  while (one[at] === other[at]) at += 1;
  const near = (text) => text.slice(Math.max(0, at - 80), at + 80);
  return `${near(one)} ≠ ${near(other)}`;
}
