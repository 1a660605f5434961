// Why not: what was not served from the cache, the most first, as sentences with what to do.

import { ask } from "./api.js";
import { el, table } from "./dom.js";
import { count, share } from "./format.js";
import { range } from "./range.js";
import { explained } from "./reasons.js";

const CACHED = ["hit", "stale"];
const SHOWN = 50;

export function why(_query, { signal, failed }) {
  const list = el("div", { "aria-busy": "true" });
  const asked = async ({ from, to }) => {
    list.setAttribute("aria-busy", "true");
    try {
      list.replaceChildren(
        ...ranked(await ask(`v1/stats?by=kind&from=${from}&to=${to}`, { signal })),
      );
    } catch (error) {
      const said = failed(error);
      if (said) list.replaceChildren(said);
    }
    list.setAttribute("aria-busy", "false");
  };
  const { form, again } = range(asked, signal);
  again();
  return { title: "Why not", body: [form, list] };
}

/** `route|result|reason`: a route's pattern may have a bar itself. */
function kind(name, { requests }) {
  const parts = name.split("|");
  const [result, reason] = parts.splice(-2);
  return { route: parts.join("|"), result, reason, requests };
}

function ranked({ totals, note }) {
  const kinds = Object.entries(totals).map(([name, sum]) => kind(name, sum));
  const routes = new Map();
  for (const { route, requests } of kinds) routes.set(route, (routes.get(route) ?? 0) + requests);
  const missed = kinds.filter(({ result }) => !CACHED.includes(result));
  missed.sort((a, b) => b.requests - a.requests);
  if (kinds.length === 0) return [el("p", {}, "Nothing was counted in this time yet. ", note)];
  if (missed.length === 0)
    return [el("p", { class: "good" }, "All of it was served from the cache.")];
  const rows = missed.slice(0, SHOWN);
  const others = missed.slice(SHOWN).reduce((sum, { requests }) => sum + requests, 0);
  return [
    el(
      "ol",
      { class: "reasons" },
      rows.map((row) => sentence(row, routes.get(row.route))),
    ),
    ...(others > 0
      ? [el("p", {}, `${count(others)} requests for other reasons are not shown.`)]
      : []),
    table(
      "Routes",
      ["Rule", "Requests", "From the cache"],
      [...routes].map(([route, all]) => {
        const cached = kinds.filter((row) => row.route === route && CACHED.includes(row.result));
        return [
          named(route),
          count(all),
          share(
            cached.reduce((sum, row) => sum + row.requests, 0),
            all,
          ),
        ];
      }),
    ),
    el("p", { class: "hint" }, note),
  ];
}

const named = (route) => (route === "" ? "(no rule)" : route);

function sentence({ route, result, reason, requests }, all) {
  const [what, todo] = explained(reason, result);
  return el(
    "li",
    {},
    el("strong", {}, `${share(requests, all)} of ${named(route)}`),
    ` (${count(requests)} requests, ${result}): ${what}`,
    el("span", { class: "todo" }, todo),
    reason && el("code", {}, reason),
  );
}
