// Invalidations: to count what one would invalidate, to do it, to follow what comes of it; what
// waits for its time; and what was invalidated before.

import { ask, events } from "./api.js";
import { el, facts, field, table } from "./dom.js";
import { count } from "./format.js";
import { history } from "./history.js";
import { scheduled } from "./scheduled.js";

const KINDS = [
  ["Tags", "tags"],
  ["Addresses", "urls"],
  ["Prefixes", "prefixes"],
  ["Hosts", "hosts"],
];

export function invalidations(query, view) {
  const job = el("div", {});
  const follow = (id) => followed(id, job, view);
  if (query.get("job")) follow(query.get("job"));
  return {
    title: "Invalidations",
    body: [
      el("section", {}, el("h3", {}, "Invalidate"), form(follow, view)),
      el("section", {}, el("h3", {}, "A job"), jobForm(follow), job),
      el("section", {}, el("h3", {}, "At a time"), scheduled(view)),
      el("section", {}, el("h3", {}, "History"), history(query.get("tag") ?? "", follow, view)),
    ],
  };
}

function form(follow, { failed }) {
  const kind = el(
    "select",
    {},
    KINDS.map(([name, value]) => el("option", { value }, name)),
  );
  const names = el("textarea", { rows: 3, required: true, spellcheck: "false" });
  const mode = el(
    "select",
    {},
    el("option", { value: "soft" }, "Soft: the old page may be served meanwhile"),
    el("option", { value: "hard" }, "Hard: never again"),
  );
  const reason = el("input", { maxlength: 200 });
  const result = el("div", { "aria-live": "polite" });
  const send = async (submitted) => {
    submitted.preventDefault();
    const dry = submitted.submitter?.value !== "do";
    const listed = names.value
      .split("\n")
      .map((name) => name.trim())
      .filter(Boolean);
    const body = { [kind.value]: listed, mode: mode.value, reason: reason.value, dry_run: dry };
    try {
      const answer = await ask("v1/revalidate", { method: "POST", body, scope: "revalidate" });
      result.replaceChildren(...done(answer));
      if (!dry) follow(answer.id);
    } catch (error) {
      const said = failed(error);
      if (said) result.replaceChildren(said);
    }
  };
  return el(
    "form",
    { onsubmit: send },
    el("div", { class: "row" }, field("What", kind), field("How", mode)),
    field("Names", names, "One in a line."),
    field("Reason", reason, "For the log and the history."),
    el(
      "div",
      { class: "row" },
      el("button", { value: "count" }, "Count the pages"),
      el("button", { value: "do" }, "Invalidate"),
    ),
    result,
  );
}

function done({ dry_run: dry, pages, epoch, notes = [] }) {
  const known = pages === null ? "Pages" : `${count(pages)} page${pages === 1 ? "" : "s"}`;
  const counted = pages === null ? " (how many is not known yet)" : "";
  const said = dry
    ? `${known}${counted} would be invalidated. Nothing was done.`
    : `Invalidated with the epoch ${count(epoch)}: ${known}${counted}.`;
  return [el("p", { class: "good" }, said), ...notes.map((note) => el("p", {}, note))];
}

function jobForm(follow) {
  const id = el("input", { required: true, spellcheck: "false" });
  const look = (submitted) => {
    submitted.preventDefault();
    follow(id.value.trim());
  };
  return el("form", { class: "row", onsubmit: look }, field("Job", id), el("button", {}, "Follow"));
}

let following = new AbortController();

/** A job's progress while it lasts. */
async function followed(id, into, { signal, failed }) {
  following.abort();
  following = new AbortController();
  const ended = AbortSignal.any([signal, following.signal]);
  try {
    let paused = true;
    while (paused && !ended.aborted) {
      paused = false;
      for await (const { name, data } of events(`v1/jobs/${encodeURIComponent(id)}`, ended)) {
        if (name === "pause") paused = true;
        else if (data) into.replaceChildren(...progress(JSON.parse(data)));
      }
    }
  } catch (error) {
    const said = failed(error);
    if (said && !ended.aborted) into.replaceChildren(said);
  }
}

function progress(job) {
  const bar = el("progress", {
    max: Math.max(job.total, 1),
    value: job.total - job.queued - job.running,
  });
  bar.setAttribute("aria-label", "Warms that have ended");
  const waiting = (job.front_caches ?? []).map(
    ({ name, failure }) => `${name}: ${failure ?? "waits"}`,
  );
  return [
    el("p", { role: "status" }, `${job.id}: ${job.state}`),
    bar,
    facts([
      ["Pages", count(job.pages)],
      ["Warms", count(job.total)],
      ["Queued", count(job.queued)],
      ["Running", count(job.running)],
      [
        "Done",
        `${count(job.done)}: ${count(job.changed)} changed, ${count(job.unchanged)} the same`,
      ],
      ["Failed", count(job.failed)],
      ["Taken over", count(job.superseded)],
      ["Front caches", waiting.length > 0 ? waiting.join("; ") : undefined],
    ]),
    ...(job.failures?.length > 0 ? [failures(job.failures)] : []),
  ];
}

const failures = (rows) =>
  table(
    "Pages that failed",
    ["Page", "Why", "Attempts"],
    rows.map(({ url, reason, attempts }) => [url, reason, count(attempts)]),
  );
