// A page: what would be done for a request, step by step; what is known of the page; a tag's pages.

import { ask } from "./api.js";
import { el, facts, field, table } from "./dom.js";
import { count, moment, selected, span } from "./format.js";
import { timeline } from "./history.js";

export function page(query, view) {
  const url = query.get("url") ?? "";
  const tag = query.get("tag") ?? "";
  const header = query.getAll("header");
  const body = [el("section", {}, el("h3", {}, "An address"), urlForm(url, header))];
  if (url)
    body.push(
      shown(["Why it is served so", explanation(url, header)], view),
      shown(["What is known of it", known(url)], view),
    );
  body.push(el("section", {}, el("h3", {}, "A tag"), tagForm(tag)));
  if (tag) body.push(tagged(tag, view));
  return { title: "A page", body };
}

const go = (parameters) => {
  location.hash = `#page?${new URLSearchParams(parameters)}`;
};

function urlForm(given, headers) {
  const url = el("input", { type: "url", required: true, value: given || `${location.origin}/` });
  const header = el("textarea", { rows: 2, spellcheck: "false" });
  header.value = headers.join("\n");
  const look = (submitted) => {
    submitted.preventDefault();
    const lines = header.value
      .split("\n")
      .map((line) => line.trim())
      .filter(Boolean);
    go([["url", url.value], ...lines.map((line) => ["header", line])]);
  };
  return el(
    "form",
    { onsubmit: look },
    field("Address", url),
    field("Fields of the request", header, "One in a line, such as Cookie: sessionid=1."),
    el("button", {}, "Explain"),
  );
}

function tagForm(given) {
  const tag = el("input", { required: true, spellcheck: "false", value: given });
  const look = (submitted) => {
    submitted.preventDefault();
    go({ tag: tag.value.trim() });
  };
  return el(
    "form",
    { class: "row", onsubmit: look },
    field("Tag", tag),
    el("button", {}, "List its pages"),
  );
}

/** A section that fills when it is asked. */
function shown([title, asking], { failed }) {
  const body = el("div", { "aria-busy": "true" });
  asking
    .then((parts) => body.replaceChildren(...parts))
    .catch((error) => {
      const said = failed(error);
      if (said) body.replaceChildren(said);
    })
    .finally(() => body.setAttribute("aria-busy", "false"));
  return el("section", {}, el("h3", {}, title), body);
}

async function explanation(url, header) {
  const asked = new URLSearchParams([["url", url], ...header.map((line) => ["header", line])]);
  const it = await ask(`v1/explain?${asked}`);
  const notForwarded = Object.entries(it.not_forwarded).flatMap(([what, all]) =>
    all.map((name) => `${what}: ${name}`),
  );
  return [
    el(
      "ol",
      { class: "steps" },
      it.steps.map((step) => el("li", {}, step)),
    ),
    facts([
      ["What is done", it.action],
      ["Reason", it.reason ?? "none"],
      ["Rule", it.rule ?? "none"],
      ["Cache-Status", el("code", {}, it.cache_status)],
      ["Page", it.page ?? "none"],
      ["Not forwarded", notForwarded.length > 0 ? notForwarded.join(", ") : "nothing"],
      ["Journal", it.journal ?? "not asked"],
      ["Made of", it.made_of],
    ]),
    ...(it.stored
      ? stored(it.stored)
      : [
          el(
            "p",
            {},
            "The isolate that answered, and its colo, have nothing stored that this selects.",
          ),
        ]),
    ...(it.variants.length > 0 ? [variants(it.variants)] : []),
  ];
}

const validity = ({ is, epoch }) =>
  epoch === undefined || epoch === null ? is : `${is} by the epoch ${count(epoch)}`;

function stored(it) {
  return [
    el("h4", {}, "Stored here"),
    facts([
      ["Status", it.status],
      ["Fetched", moment(it.fetched)],
      ["Age", span(it.age * 1000)],
      ["Fresh for", span(it.lifetime * 1000)],
      ["Then stale for", span(it.stale_while_revalidate * 1000)],
      ["Epoch", count(it.epoch)],
      ["Validity", validity(it.validity)],
      ["Tags", tags(it.tags)],
    ]),
  ];
}

function tags(all) {
  if (all.length === 0) return "none";
  return el(
    "ul",
    { class: "tags" },
    all.map((tag) => {
      const href = `#page?${new URLSearchParams({ tag })}`;
      return el("li", {}, el("a", { href }, tag));
    }),
  );
}

const variants = (rows) =>
  table(
    "Variants that the index knows",
    ["For", "Status", "Epoch", "Fresh until", "Kept until", "Validity"],
    rows.map((row) => [
      selected(row.vary) + (row.selected ? " (this one)" : ""),
      row.status,
      count(row.epoch),
      moment(row.fresh_until),
      moment(row.keep_until),
      validity(row.validity),
    ]),
  );

async function known(url) {
  const { pages, notes = [] } = await ask(`v1/pages?${new URLSearchParams({ url })}`);
  const said = notes.map((note) => el("p", { class: "hint" }, note));
  if (pages.length === 0)
    return [
      ...said,
      el("p", {}, "The index does not know this page: it was never stored for all colos."),
    ];
  return [
    ...said,
    ...pages.flatMap((one) => [
      facts([
        ["Page", one.url],
        ["Tags", tags(one.tags)],
      ]),
      ...timeline(one.timeline),
    ]),
  ];
}

function tagged(tag, { failed }) {
  const list = el("div", {});
  const more = el("div", {});
  const load = async (cursor) => {
    const asked = cursor ? `?${new URLSearchParams({ cursor })}` : "";
    try {
      const { pages, next } = await ask(`v1/tags/${encodeURIComponent(tag)}/pages${asked}`);
      const rows = pages.map((one) => [
        el("a", { href: `#page?${new URLSearchParams({ url: one.url })}` }, one.url),
        count(one.variants.length),
        count(one.variants.reduce((sum, { changed }) => sum + (changed ?? 0), 0)),
        count(one.variants.reduce((sum, { unchanged }) => sum + (unchanged ?? 0), 0)),
        tags(one.tags),
      ]);
      const heads = [
        "Page",
        "Variants",
        "Refetches that changed it",
        "Refetches for nothing",
        "Tags",
      ];
      list.append(
        rows.length > 0
          ? table(`Pages with the tag ${tag}`, heads, rows)
          : el("p", {}, "No page has this tag."),
      );
      more.replaceChildren(
        ...(next
          ? [el("button", { type: "button", onclick: () => load(next) }, "More pages")]
          : []),
      );
    } catch (error) {
      const said = failed(error);
      if (said) list.append(said);
    }
  };
  load();
  return el("section", {}, el("h3", {}, `Pages of ${tag}`), list, more);
}
