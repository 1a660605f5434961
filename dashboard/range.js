// For how long a view looks back.

import { el, field } from "./dom.js";

const HOUR = 3_600_000;
const RANGES = [
  ["The last hour", HOUR],
  ["6 hours", 6 * HOUR],
  ["24 hours", 24 * HOUR],
  ["7 days", 168 * HOUR],
  ["30 days", 720 * HOUR],
];

/** A form that asks again when it is changed; `asked` gets the query of a time. */
export function range(asked) {
  const choices = RANGES.map(([name, length]) => el("option", { value: length }, name));
  const length = el("select", {}, choices);
  const again = () => {
    const to = Date.now() + 1;
    asked({ from: to - Number(length.value), to });
  };
  length.addEventListener("change", again);
  const refresh = el("button", { type: "button", onclick: again }, "Refresh");
  return { form: el("div", { class: "row" }, field("Time", length), refresh), again };
}
