// For how long a view looks back. The clock that counts is the edge's: this machine's may be apart.

import { ask } from "./api.js";
import { el, field } from "./dom.js";

const HOUR = 3_600_000;
const RANGES = [
  ["The last hour", HOUR],
  ["6 hours", 6 * HOUR],
  ["24 hours", 24 * HOUR],
  ["7 days", 168 * HOUR],
  ["30 days", 720 * HOUR],
];

/** What the edge's clock shows; this machine's where that can't be asked, which the view says. */
async function present(signal) {
  try {
    return (await ask("v1/stats", { signal })).to;
  } catch {
    return Date.now() + 1;
  }
}

/** A form that asks again when it is changed; `asked` gets the query of a time. */
export function range(asked, signal) {
  const choices = RANGES.map(([name, length]) => el("option", { value: length }, name));
  const length = el("select", {}, choices);
  const again = async () => {
    const to = await present(signal);
    if (!signal.aborted) await asked({ from: to - Number(length.value), to });
  };
  length.addEventListener("change", again);
  const refresh = el("button", { type: "button", onclick: again }, "Refresh");
  return { form: el("div", { class: "row" }, field("Time", length), refresh), again };
}
