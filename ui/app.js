// The frame: header, notices, the page that the address names. It is rebuilt when the place changes and updated when news come.

import { keepToken, token } from "./lib/api.js";
import { askToken } from "./lib/confirm.js";
import { waits } from "./lib/decide.js";
import { fill, h, name, plain } from "./lib/dom.js";
import { age, moment, span } from "./lib/format.js";
import { listen, live, serverNow } from "./lib/live.js";
import { address, go, pageAddress, PAGES, place, RANGES } from "./lib/place.js";
import { missed, select } from "./lib/parts.js";
import { control } from "./pages/control.js";
import { drift } from "./pages/drift.js";
import { feature } from "./pages/feature.js";
import { lanes } from "./pages/lanes.js";
import { overview } from "./pages/overview.js";
import { tenants } from "./pages/tenants.js";

/** Stored series get a point every 15 seconds. */
const RELOAD = 15_000;

const top_ = /** @type {HTMLElement} */ (document.getElementById("top"));
const notices = /** @type {HTMLElement} */ (document.getElementById("notices"));
const main = /** @type {HTMLElement} */ (document.getElementById("page"));

/** @type {any} what is shown: an element, `update`, `load`, `dispose` */
let page = null;
let shown = "";
/** @type {AbortController | null} */
let loading = null;

/** @type {Record<string, any>} */
const MAKERS = { overview, drift, tenants, lanes, control };

/** The model of the address, or the one that is worst off. @param {any} over */
function modelOf(over) {
  const wanted = place().model;
  const found = over.models.find((/** @type {any} */ m) => m.model === wanted);
  if (found || wanted) return found;
  const rank = ["bad", "watch", "unknown", "fine"];
  return [...over.models].sort((a, b) => rank.indexOf(a.health.level) - rank.indexOf(b.health.level))[0];
}

function render() {
  const over = live.overview;
  if (!over) {
    if (live.state === "stale") fill(main, h("p", { class: "empty wrong" }, "The instance cannot be reached. This page tries again by itself."));
    return;
  }
  const at = place();
  const model = modelOf(over);
  const key = JSON.stringify([at, model?.model]);
  if (key !== shown) build(at, model, key);
  header(at, model, over);
  notice(over);
  page?.update(over);
}

/** @param {any} at @param {any} model @param {string} key */
function build(at, model, key) {
  loading?.abort();
  page?.dispose?.();
  shown = key;
  page = null;
  if (!model) {
    const all = live.overview.models;
    fill(main, h("p", { class: "empty" }, all.length ? ["There is no model “", name(at.model), "”. Those of this instance: ", all.map((/** @type {any} */ m) => [h("a", { href: address({ model: m.model }) }, name(m.model)), " "])] : "No model is configured."));
    return;
  }
  const make = at.page === "drift" && at.feature ? feature : MAKERS[at.page];
  page = make(at, model);
  fill(main, page.element);
  document.title = `${PAGES[at.page]} · ${plain(model.model, 40)} · Driftline`;
  load();
}

function load() {
  loading?.abort();
  loading = new AbortController();
  const { signal } = loading;
  const { element } = page ?? {};
  page?.load?.(signal).then(() => missed(element), (/** @type {unknown} */ error) => { if (!signal.aborted) missed(element, error); });
}

/** The header is rebuilt only when something in it changes, so that an open list stays open. */
let headed = "";

/** @param {any} at @param {any} model @param {any} over */
function header(at, model, over) {
  const names = over.models.map((/** @type {any} */ m) => m.model);
  const key = JSON.stringify([at, model?.model, names, over.token_required, Boolean(token()), theme()]);
  if (key !== headed) {
    headed = key;
    const focused = document.activeElement?.closest("#top") ? document.activeElement.getAttribute("data-key") : null;
    fill(top_,
      h("a", { class: "brand", href: "/", "data-key": "brand" }, h("img", { src: "/ui/icon.svg", alt: "", width: 22, height: 22 }), "Driftline"),
      names.length > 1 && select("Model", model?.model ?? "", names.map((/** @type {string} */ n) => [n, plain(n, 40)]), (m) => go({ model: m, feature: "", tenant: "", version: "" })),
      h("nav", { "aria-label": "Pages" }, Object.entries(PAGES).map(([id, text]) => h("a", { href: pageAddress(id), "data-key": id, "aria-current": id === at.page ? "page" : null }, text))),
      h("div", { class: "right" },
        select("Range", at.range, Object.entries(RANGES).map(([id, [text]]) => [id, text]), (range) => go({ range })),
        over.token_required && h("button", { type: "button", class: "quiet", "data-key": "token", onclick: tokenButton }, token() ? "Forget token" : "Token"),
        h("button", { type: "button", class: "quiet", "data-key": "theme", title: "Colours: as the system, light, dark", onclick: turnTheme }, { auto: "◐ Auto", light: "○ Light", dark: "● Dark" }[theme()]),
        h("span", { id: "live" })));
    if (focused) /** @type {HTMLElement | null} */ (top_.querySelector(`[data-key="${focused}"]`))?.focus();
  }
  const sign = document.getElementById("live");
  const text = live.state === "live" ? "live" : `no news for ${span((Date.now() - live.heard) / 1000)}`;
  if (sign && sign.textContent !== text) {
    sign.textContent = text;
    sign.className = live.state;
  }
}

async function tokenButton() {
  if (token()) keepToken("");
  else await askToken();
}

/** What everybody has to know, whatever page is open. */
let noticed = "";

/** @param {any} over */
function notice(over) {
  /** @type {Array<[string, any, Record<string, string>?]>} */
  const all = [];
  const at = place();
  // Where the question itself is shown it need not be announced.
  const asked = at.page === "overview" || at.page === "control" ? modelOf(over)?.model : null;
  if (live.state === "stale") all.push(["bad", `No news from the instance since ${moment(live.heard)}: what you see is as old as that. It goes on as soon as the instance answers.`]);
  const measured = over.measured_at ? serverNow() - Date.parse(over.measured_at) : 0;
  if (live.state === "live" && measured > 15_000) all.push(["bad", `Drift was last measured ${age(over.measured_at, serverNow())} ago.`]);
  for (const problem of over.problems) all.push(["bad", `Not ready: ${problem}.`]);
  if (!over.configuration.last_reload_ok) all.push(["warn", `The configuration file has problems; the old one stays in force. ${over.configuration.message}`]);
  const dry = over.models.filter((/** @type {any} */ m) => !m.only_measured && m.mode === "observe").map((/** @type {any} */ m) => plain(m.model, 60));
  if (dry.length) all.push(["dry", `DRY RUN · ${dry.slice(0, 5).join(", ")}${dry.length > 5 ? ` and ${dry.length - 5} more` : ""}: alerts say what would be done; no traffic is moved automatically.`]);
  for (const m of over.models) {
    const who = plain(m.model, 60);
    if (m.drill) all.push(["dry", `DRILL · ${who}: drift and latency are made up until it ends.`]);
    if (waits(m) && m.model !== asked) all.push(["warn", m.proposal ? `${who}: a rollback from ${plain(m.proposal.from, 40)} to ${plain(m.proposal.to, 40)} waits for approval until ${moment(m.proposal.expires_at)}. ` : `${who}: a rollback to ${plain(m.stable, 40)} is advised. `, { page: "control", model: m.model }]);
    if (m.pending_decision) all.push(["warn", `${who}: ${m.pending_decision.kind} from ${plain(m.pending_decision.from, 40)} to ${plain(m.pending_decision.to, 40)} (${m.pending_decision.state}).`]);
  }
  const shownAll = all.slice(0, 6);
  const key = JSON.stringify(shownAll);
  if (key === noticed) return;
  noticed = key;
  fill(notices, shownAll.map(([kind, text, to]) => h("p", { class: `notice ${kind}` }, text, to && h("a", { href: address({ feature: "", tenant: "", version: "", ...to }) }, "Decide"))));
}

/** @returns {"auto" | "light" | "dark"} */
function theme() {
  const kept = localStorage.getItem("driftline-theme");
  return kept === "light" || kept === "dark" ? kept : "auto";
}

function turnTheme() {
  const next = { auto: "light", light: "dark", dark: "auto" }[theme()];
  localStorage.setItem("driftline-theme", next);
  applyTheme();
  render();
}

function applyTheme() {
  const kept = theme();
  if (kept === "auto") document.documentElement.removeAttribute("data-theme");
  else document.documentElement.setAttribute("data-theme", kept);
  dispatchEvent(new Event("theme"));
}

// Links within the dashboard change the place and load nothing.
document.addEventListener("click", (event) => {
  const a = event.target instanceof Element ? event.target.closest("a") : null;
  if (!a || a.target || a.origin !== location.origin || a.pathname !== "/" || a.hash || event.defaultPrevented) return;
  if (event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  if (a.href !== location.href) history.pushState(null, "", a.href);
  dispatchEvent(new Event("place"));
  scrollTo(0, 0);
});

// One key to a page; none while somebody types.
addEventListener("keydown", (event) => {
  const typing = event.target instanceof Element && event.target.closest("input, select, textarea, dialog");
  if (typing || event.metaKey || event.ctrlKey || event.altKey) return;
  const id = Object.keys(PAGES)[Number(event.key) - 1];
  if (id) go({ page: id, feature: "" });
});

addEventListener("popstate", render);
addEventListener("place", render);
addEventListener("token", render);
addEventListener("changed", load);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => dispatchEvent(new Event("theme")));
setInterval(() => { if (!document.hidden && live.state === "live") load(); }, RELOAD);
document.addEventListener("visibilitychange", () => { if (!document.hidden && live.state === "live") load(); });

applyTheme();
listen(render);
