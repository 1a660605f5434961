// Truth: what audits have found, what the findings share, and how much was looked at.

import { ask } from "./api.js";
import { el, facts, problem, table } from "./dom.js";
import { count, moment, selected, share, span } from "./format.js";

const NONE = "This worker has no audit: it is of a version before.";
const WITHIN = {
  minute: "less than a minute",
  hour: "less than an hour",
  day: "less than a day",
  longer: "a day or longer",
};
const COMPARED = ["same", "stale", "differs-at-every-render"];
const LEFT_OUT = {
  overtaken: "invalidated meanwhile",
  "put-off": "put off for the origin's sake",
  "not-comparable": "not comparable",
};

export function truth(_query, { signal, failed }) {
  const figures = el("div", { "aria-busy": "true" });
  const list = el("ol", { class: "findings" });
  const more = el("div", {});
  const load = async (cursor) => {
    try {
      const asked = cursor ? `?cursor=${encodeURIComponent(cursor)}` : "";
      const answer = await ask(`v1/audit${asked}`, { signal });
      if (!cursor) figures.replaceChildren(...summary(answer));
      list.append(...answer.findings.map(finding));
      const next = () => load(answer.next);
      more.replaceChildren(
        ...(answer.next ? [el("button", { type: "button", onclick: next }, "Older ones")] : []),
      );
    } catch (error) {
      const said = error.status === 404 ? problem(NONE) : failed(error);
      if (said) figures.replaceChildren(said);
    }
    figures.setAttribute("aria-busy", "false");
  };
  load();
  return { title: "Truth", body: [figures, list, more] };
}

function summary({ findings, groups, outcomes, stale_within: within, hits, note }) {
  const compared = COMPARED.reduce((sum, name) => sum + (outcomes[name] ?? 0), 0);
  const leftOut = Object.entries(LEFT_OUT).filter(([name]) => outcomes[name] > 0);
  const ages = Object.entries(WITHIN).filter(([name]) => within[name] > 0);
  const listed = (rows, counts) =>
    rows.map(([name, words]) => `${count(counts[name])} ${words}`).join(", ") || "none";
  return [
    facts([
      ["Hits audited", `${count(compared)} of ${count(hits)}`],
      ["The same", `${count(outcomes.same)} (${share(outcomes.same, compared)})`],
      ["Out of date", `${count(outcomes.stale)} (${share(outcomes.stale, compared)})`],
      ["For how long at most", listed(ages, within)],
      ["Differ at every render", count(outcomes["differs-at-every-render"])],
      ["Not compared", listed(leftOut, outcomes)],
    ]),
    el("p", { class: "hint" }, note),
    ...(groups.length > 0 ? [shared(groups)] : []),
    findings.length > 0
      ? el("h3", {}, "Findings, newest first")
      : el("p", { class: compared > 0 ? "good" : undefined }, nothing(compared, hits)),
  ];
}

function nothing(compared, hits) {
  if (compared > 0) return `Nothing was found among ${count(compared)} hits of ${count(hits)}.`;
  return "No hit was audited yet: set audit for a route, as 0.001.";
}

function shared(groups) {
  const rows = groups.map(({ route, tag, stale, every_render: renders, latest }) => [
    tag ?? "(no tag)",
    route,
    count(stale),
    count(renders),
    moment(latest),
  ]);
  const heads = ["Tag", "Rule", "Out of date", "Differ at every render", "Latest"];
  return table("What the pages share, the most first", heads, rows);
}

function finding(found) {
  const { url, vary, stored_at: stored, found_at: at, first_found_at: first, times } = found;
  const again = times > 1 && ["How often", [`${count(times)} times, first `, moment(first)]];
  return el(
    "li",
    {},
    el("h4", {}, el("a", { href: `#page?url=${encodeURIComponent(url)}` }, url)),
    el("p", {}, found.explanation),
    facts([
      ["For", selected(vary)],
      ["Rule", found.route],
      ["Stored", moment(stored)],
      ["Found", [moment(at), `, in ${found.colo}`]],
      ["Wrong for at most", span(at - stored)],
      ...(again ? [again] : []),
      ["Its tags", found.tags.join(" ") || "none"],
      ...(found.difference.tags ? [["The origin's tags", found.fresh_tags.join(" ")]] : []),
      ...found.difference.changes.map(({ name, stored: was, fresh }) => [
        name,
        `${was || "none"} → ${fresh || "none"}`,
      ]),
    ]),
    excerpt(found.difference),
  );
}

/** Where the texts differ, as text. */
function excerpt({ body, excerpt: cut }) {
  if (!body) return undefined;
  if (!cut) return el("p", { class: "hint" }, "The bodies differ, and are not both text.");
  const line = (name, text) => [
    el("dt", {}, name),
    el("dd", {}, el("code", {}, cut.before, el("mark", {}, text), cut.after)),
  ];
  return el(
    "dl",
    { class: "excerpt" },
    line("Stored", cut.stored),
    line("The origin says", cut.fresh),
  );
}
