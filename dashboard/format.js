// Figures and times as people read them.

const numbers = new Intl.NumberFormat("en");
const shares = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 1 });
const bytes = ["bytes", "kB", "MB", "GB", "TB"];

export const count = (value) => numbers.format(value);

/** Of nothing there is no share. */
export const share = (part, whole) => (whole > 0 ? shares.format(part / whole) : "none yet");

export function size(value) {
  let unit = 0;
  while (value >= 1000 && unit < bytes.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const digits = unit === 0 || value >= 100 ? 0 : 1;
  return `${value.toFixed(digits)} ${bytes[unit]}`;
}

/** How long something lasts, from milliseconds. */
export function span(millis) {
  const seconds = Math.abs(millis) / 1000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} days`;
}

/** A moment, in the reader's time zone. */
export function moment(millis) {
  const date = new Date(millis);
  const two = (value) => String(value).padStart(2, "0");
  const day = [date.getFullYear(), two(date.getMonth() + 1), two(date.getDate())].join("-");
  const time = [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(":");
  const element = document.createElement("time");
  element.dateTime = date.toISOString();
  element.textContent = `${day} ${time}`;
  return element;
}

/** What a variant is for: the fields that select it. */
export const selected = (vary) =>
  vary.length > 0 ? vary.map(([name, value]) => `${name}: ${value}`).join(", ") : "every request";

const KINDS = ["tags", "urls", "prefixes", "hosts"];

/** What an invalidation named, and how many names are not shown. */
export function named({ named: names = {}, targets }) {
  const shown = KINDS.flatMap((kind) => names[kind] ?? []);
  if (names.all) return "the whole site";
  const others = (targets ?? shown.length) - shown.length;
  return shown.join(", ") + (others > 0 ? ` and ${count(others)} more` : "");
}

/** What is known of each invalidation, whether it is done or waits: heads, and the cells of one. */
export const INVALIDATION_HEADS = ["When", "By", "What", "Why", "How"];

export function invalidationCells(row) {
  const by = `${row.caller || "not known"} (${row.via})`;
  return [moment(row.at), by, named(row), row.reason, row.mode];
}
