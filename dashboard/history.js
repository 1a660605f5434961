// What was invalidated, by whom, and what came of it: of the site, and of one page.

import { ask } from "./api.js";
import { el, field, problem, table } from "./dom.js";
import {
  INVALIDATION_HEADS,
  invalidationCells,
  count,
  moment,
  named,
  selected,
  span,
} from "./format.js";

const NONE = "This worker keeps no history: it is of a version before.";

/** The site's invalidations, newest first; `follow` shows a job. */
export function history(tag, follow, { signal, failed }) {
  const [byTag, byCaller] = [
    el("input", { spellcheck: "false", value: tag }),
    el("input", { spellcheck: "false" }),
  ];
  const list = el("div", { "aria-busy": "true" });
  const more = el("div", {});
  const load = async (cursor) => {
    list.setAttribute("aria-busy", "true");
    const given = { cursor, tag: byTag.value.trim(), caller: byCaller.value.trim() };
    const asked = new URLSearchParams(Object.entries(given).filter(([, value]) => value));
    try {
      const answer = await ask(`v1/invalidations?${asked}`, { signal });
      if (!cursor) list.replaceChildren();
      list.append(...listed(answer, follow));
      const next = () => load(answer.next);
      more.replaceChildren(
        ...(answer.next ? [el("button", { type: "button", onclick: next }, "Older ones")] : []),
      );
    } catch (error) {
      const said = error.status === 404 ? problem(NONE) : failed(error);
      if (said) list.replaceChildren(said);
    }
    list.setAttribute("aria-busy", "false");
  };
  load();
  const search = (submitted) => {
    submitted.preventDefault();
    load();
  };
  return el(
    "div",
    {},
    el(
      "form",
      { class: "row", onsubmit: search },
      field("Tag", byTag),
      field("Caller", byCaller),
      el("button", {}, "Search"),
    ),
    list,
    more,
  );
}

function listed({ invalidations: rows, notes = [] }, follow) {
  const said = notes.map((note) => el("p", { class: "hint" }, note));
  if (rows.length === 0) return [...said, el("p", {}, "None.")];
  const heads = [...INVALIDATION_HEADS, "Came of it"];
  const cells = rows.map((row) => [
    ...invalidationCells(row),
    [
      el("button", { type: "button", onclick: () => follow(row.id) }, row.id),
      el("p", {}, outcome(row.progress)),
    ],
  ]);
  return [...said, table("Invalidations, newest first", heads, cells)];
}

function outcome(progress) {
  if (!progress) return "not known any more";
  const { pages, left, done: fetched, failed, unchanged, refetched_in_ms: took } = progress;
  const parts = [
    `${count(pages)} pages`,
    `${count(fetched)} refetched (${count(unchanged)} the same)`,
  ];
  if (failed > 0) parts.push(`${count(failed)} failed`);
  if (left > 0) parts.push(`${count(left)} left`);
  if (took !== null && took !== undefined) parts.push(`all within ${span(took)}`);
  return parts.join(", ");
}

/** What happened to a page, newest first. */
export function timeline(events) {
  if (!events) return [problem(NONE)];
  const rows = events.map((event) => [
    moment(event.at),
    event.what,
    count(event.epoch),
    described(event),
  ]);
  return [table("What happened to it, newest first", ["When", "What", "Epoch", "How"], rows)];
}

function described(event) {
  if (event.what === "fetched") {
    return `for ${selected(event.vary)}, by a ${event.by}${event.stored ? "" : "; not stored"}`;
  }
  const why = event.reason ? `: ${event.reason}` : "";
  return `${event.mode}, by ${event.caller || "not known"} (${event.via}), ${named(event)}${why}`;
}
