// Now: how the site is served, from what isolates have reported; and how the edge is.

import { ask } from "./api.js";
import { chart } from "./chart.js";
import { el, facts, problem } from "./dom.js";
import { count, share, size, span } from "./format.js";
import { range } from "./range.js";

const CACHED = ["hit", "stale"];
// Of how many invalidations the waiting warms are shown.
const LAST = 20;
const STATUS = {
  "journal-unreachable": "Pages are served within their stale windows.",
  "journal-lost": "Each page is validated with the origin.",
  "nothing-can-invalidate": "Set WEBHOOK_SECRETS or TOKENS.",
  cold: "This isolate has not heard the journal yet.",
};

export function now(_query, { signal, failed }) {
  const figures = el("div", { "aria-busy": "true" });
  const health = el("div", {});
  const asked = async ({ from, to }) => {
    figures.setAttribute("aria-busy", "true");
    const [stats, healthz, history] = await Promise.allSettled([
      ask(`v1/stats?by=result&from=${from}&to=${to}`, { signal }),
      ask("healthz", { signal, whatever: true }),
      ask(`v1/invalidations?limit=${LAST}`, { signal }),
    ]);
    if (signal.aborted) return;
    health.replaceChildren(...settledView(healthz, (value) => readiness(value), failed));
    figures.replaceChildren(
      ...settledView(stats, (value) => counted(value, waiting(history.value), signal), failed),
    );
    figures.setAttribute("aria-busy", "false");
  };
  const { form, again } = range(asked, signal);
  again();
  return { title: "Now", body: [health, form, figures] };
}

function settledView(settled, show, failed) {
  if (settled.status === "fulfilled") return show(settled.value);
  return [failed(settled.reason)].filter(Boolean);
}

/** Is the edge ready? What healthz says of the isolate that answered, and of the journal. */
function readiness({ ready, reasons, notes, version, epoch, view_age_ms: age }) {
  const rows = [...(reasons ?? []), ...(notes ?? [])].map(({ reason, details }) =>
    el("li", {}, el("strong", {}, reason), ` ${[...details, STATUS[reason] ?? ""].join(". ")}`),
  );
  const heard = age === null ? "not yet" : `${span(age)} ago, by the isolate that answered`;
  return [
    ready ? el("p", { class: "good" }, "The edge is ready.") : problem("The edge is not ready."),
    ...(rows.length > 0 ? [el("ul", { class: "notes" }, rows)] : []),
    facts([
      ["Journal heard", heard],
      ["Newest epoch", epoch === null ? "not known" : count(epoch)],
      ["Front caches failing", failing(notes ?? [])],
      ["Version", version],
    ]),
  ];
}

function failing(notes) {
  const note = notes.find(({ reason }) => reason === "front-cache-failed");
  return note ? note.details.join("; ") : "none";
}

/** Warms that have not ended: what no invalidation of late has is not looked for. */
function waiting(history) {
  const known = history?.invalidations.filter(({ progress }) => progress);
  if (known === undefined) return "not known";
  const left = known.reduce((sum, { progress }) => sum + progress.left, 0);
  return `${count(left)} of the last ${LAST} invalidations`;
}

function counted(stats, queue, signal) {
  const of = (result) => stats.totals[result]?.requests ?? 0;
  const all = Object.values(stats.totals).reduce((sum, { requests }) => sum + requests, 0);
  const cached = CACHED.reduce((sum, result) => sum + of(result), 0);
  const counter = (family, label, value) =>
    stats.counters[`edge_isr_${family}|${label}|${value}`] ?? 0;
  const fills = (outcome) => counter("fills_total", "outcome", outcome);
  const warms = (outcome) => counter("warms_total", "outcome", outcome);
  const fetched = fills("stored") + fills("not-stored") + fills("failed");
  const errors = Object.entries(stats.counters)
    .filter(([name]) => name.startsWith("edge_isr_origin_errors_total|"))
    .map(([name, value]) => `${name.split("|")[2]}: ${count(value)}`);
  const body = (source) => size(counter("body_bytes_total", "source", source));
  return [
    facts([
      ["Requests", count(all)],
      ["Hit ratio", share(cached, all)],
      ["Stale share", share(of("stale"), all)],
      ["Fetches of pages", count(fetched)],
      ["Passed to the origin", count(of("pass"))],
      ["Origin requests", took(stats.origin)],
      ["Failures of the origin", errors.length > 0 ? errors.join(", ") : "none"],
      ["Bytes from the cache", body("stored")],
      ["Bytes from the origin", body("origin")],
      [
        "Warms",
        `${count(warms("done"))} done, ${count(warms("failed"))} failed, ` +
          `${count(warms("dead"))} given up`,
      ],
      ["Warms that wait", queue],
      ["Isolates", `${count(stats.isolates)} reported in the last two minutes`],
    ]),
    lines(stats, signal),
    el("p", { class: "hint" }, "Hits and stale answers are from the cache. ", stats.note),
  ];
}

/** How many the origin got, whoever asked, and how long they took. Older versions say neither. */
function took(origin) {
  if (origin === undefined) return "not known: this worker is of a version before";
  const sums = Object.values(origin);
  const requests = sums.reduce((all, one) => all + one.requests, 0);
  const millis = sums.reduce((all, one) => all + one.millis, 0);
  if (requests === 0) return "none";
  return `${count(requests)}, ${count(Math.round(millis / requests))} ms each`;
}

/** A span in which nothing was counted is a zero. */
function lines(stats, signal) {
  const step = stats.step_ms;
  const first = Math.floor(stats.from / step) * step;
  const times = [];
  for (let at = first; at < stats.to; at += step) times.push(at);
  const points = new Map(stats.points.map(({ at, sums }) => [at, sums]));
  const sum = (results) =>
    times.map((at) => {
      const sums = points.get(at) ?? {};
      return results.reduce((all, result) => all + (sums[result]?.requests ?? 0), 0);
    });
  const others = Object.keys(stats.totals).filter(
    (name) => !CACHED.includes(name) && name !== "pass",
  );
  const series = [
    ["From the cache", sum(CACHED)],
    ["Fetched or refused", sum(others)],
    ["Passed", sum(["pass"])],
  ];
  return chart(`Requests by ${step > 60_000 ? "hour" : "minute"}`, times, series, { signal });
}
