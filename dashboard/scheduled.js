// What waits for its time, the next first, and a button that takes one back.

import { ask } from "./api.js";
import { el, problem, table } from "./dom.js";
import { INVALIDATION_HEADS, invalidationCells } from "./format.js";

const NONE = "This worker knows no times: it is of a version before.";
const HEADS = [...INVALIDATION_HEADS, "Take it back"];

export function scheduled({ signal, failed }) {
  const list = el("div", { "aria-busy": "true" });
  const more = el("div", {});
  const result = el("div", { "aria-live": "polite" });
  const load = async (cursor) => {
    list.setAttribute("aria-busy", "true");
    const from = cursor ? `?cursor=${encodeURIComponent(cursor)}` : "";
    try {
      const answer = await ask(`v1/scheduled${from}`, { signal });
      if (!cursor) list.replaceChildren();
      list.append(listed(answer.scheduled, cancel));
      const next = () => load(answer.next);
      const button = () => el("button", { type: "button", onclick: next }, "Later ones");
      more.replaceChildren(...(answer.next ? [button()] : []));
    } catch (error) {
      const said = error.status === 404 ? problem(NONE) : failed(error);
      if (said) list.replaceChildren(said);
      more.replaceChildren();
    }
    list.setAttribute("aria-busy", "false");
  };
  const cancel = async (id) => {
    try {
      const path = `v1/scheduled/${encodeURIComponent(id)}`;
      await ask(path, { method: "DELETE", scope: "revalidate" });
      result.replaceChildren(el("p", { class: "good" }, `${id} will not be done.`));
      await load();
    } catch (error) {
      const said = failed(error);
      if (said) result.replaceChildren(said);
    }
  };
  load();
  const again = el("button", { type: "button", onclick: () => load() }, "Look again");
  return el("div", {}, again, result, list, more);
}

function listed(rows, cancel) {
  if (rows.length === 0) return el("p", {}, "Nothing waits.");
  const cells = rows.map((row) => [
    ...invalidationCells(row),
    el(
      "button",
      { type: "button", "aria-label": `Cancel ${row.id}`, onclick: () => cancel(row.id) },
      "Cancel",
    ),
  ]);
  return table("Invalidations at a time, the next first", HEADS, cells);
}
