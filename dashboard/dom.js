// Elements. What comes from the site (addresses, tags, reasons) becomes text and nothing else:
// there is no way to markup here, and the page's policy allows none.

/** An element; children are elements and texts, properties that are undefined are left out. */
export function el(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "class") element.className = value;
    else element.setAttribute(key, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== undefined && child !== null));
  return element;
}

/** A table with a caption; rows are lists of cells, the first of a row is its heading. */
export function table(caption, heads, rows) {
  const headed = heads.map((head) => el("th", { scope: "col" }, head));
  const body = rows.map(([first, ...others]) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, first),
      others.map((cell) => el("td", {}, cell)),
    ),
  );
  const whole = el(
    "table",
    {},
    el("caption", {}, caption),
    el("thead", {}, el("tr", {}, headed)),
    el("tbody", {}, body),
  );
  // Wide tables scroll by themselves, by keyboard too.
  return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption }, whole);
}

/** Names and values, one beside the other. */
export function facts(rows) {
  const known = rows.filter(([, value]) => value !== undefined && value !== null);
  return el(
    "dl",
    { class: "facts" },
    known.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))),
  );
}

let fields = 0;

/** A field of a form with its label, and a hint if it has one. */
export function field(label, control, hint) {
  fields += 1;
  control.id = `field-${fields}`;
  const explained = hint && el("p", { class: "hint", id: `hint-${fields}` }, hint);
  if (explained) control.setAttribute("aria-describedby", explained.id);
  return el("div", { class: "field" }, el("label", { for: control.id }, label), control, explained);
}

/** What is not known, and why; screen readers announce it at once. */
export function problem(text) {
  return el("p", { class: "problem", role: "alert" }, text);
}
