// The frame: the token, the views by the address's fragment, and what is said where a view fails.

import { ask, Refusal, token } from "./api.js";
import { el, field, problem } from "./dom.js";
import { invalidations } from "./invalidations.js";
import { now } from "./now.js";
import { page } from "./page.js";
import { truth } from "./truth.js";
import { why } from "./why.js";

const VIEWS = { now, why, invalidations, page, truth };
const [main, forget, views] = ["view", "forget", "views"].map((id) => document.getElementById(id));

// What the view that is shown has begun ends with it.
let shown = new AbortController();

/** The view's name and parameters: `#page?url=…`. */
function place() {
  const [name, query] = location.hash.slice(1).split("?", 2);
  const known = Object.hasOwn(VIEWS, name) ? name : "now";
  return { name: known, query: new URLSearchParams(query ?? "") };
}

async function show(moved) {
  shown.abort();
  shown = new AbortController();
  const has = token.get() !== null;
  forget.hidden = views.hidden = !has;
  if (!has) return askForToken();
  const { name, query } = place();
  for (const link of views.querySelectorAll("a")) {
    if (link.hash === `#${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const { title, body } = VIEWS[name](query, { signal: shown.signal, failed });
  document.title = `${title} – edge-isr`;
  main.replaceChildren(el("h2", {}, title), ...body);
  if (moved) main.focus();
}

/** What to show in place of what could not be asked; a token that is not known is forgotten. */
function failed(error) {
  if (error.name === "AbortError") return undefined;
  if (!(error instanceof Refusal)) throw error;
  if (error.status === 401) {
    token.forget();
    show();
    main.prepend(problem(error.message));
  }
  return problem(error.message);
}

function askForToken(said) {
  document.title = "edge-isr";
  const control = el("input", {
    type: "password",
    required: true,
    autocomplete: "off",
    spellcheck: "false",
  });
  const check = async (submitted) => {
    submitted.preventDefault();
    token.keep(control.value.trim());
    try {
      await ask("healthz", { whatever: true });
      await show(true);
    } catch (error) {
      token.forget();
      askForToken(error instanceof Refusal ? error.message : String(error));
    }
  };
  const hint = "One of TOKENS. It is kept until this tab closes, and sent to this host alone.";
  main.replaceChildren(
    el("h2", {}, "Who are you?"),
    ...(said ? [problem(said)] : []),
    el("form", { onsubmit: check }, field("Token", control, hint), el("button", {}, "Look")),
  );
  control.focus();
}

document.getElementById("skip").addEventListener("click", () => main.focus());
forget.addEventListener("click", () => {
  token.forget();
  show();
});
window.addEventListener("hashchange", () => show(true));
show();
