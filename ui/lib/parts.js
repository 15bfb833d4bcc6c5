// What several pages are made of.

import { h, LOADING, name, plain, sentence } from "./dom.js";
import { age, moment, percent, psi } from "./format.js";
import { address } from "./place.js";
import { serverNow } from "./live.js";

const LEVELS = /** @type {Record<string, [string, string]>} */ ({
  fine: ["✓", "Fine"],
  watch: ["!", "Watch"],
  bad: ["✕", "Act"],
  unknown: ["?", "Unknown"],
});

/** The verdict on a model: a sign, a word, never a colour alone. @param {any} health */
export function pill(health) {
  const [sign, word] = LEVELS[health?.level] ?? LEVELS.unknown;
  return h("span", { class: `pill ${health?.level ?? "unknown"}` }, h("span", { "aria-hidden": "true" }, sign), word);
}

/** Which side of the limits a PSI lies on; one that chance explains is within them. @param {number | null} value @param {any} limits @param {string} [verdict] */
export function grade(value, limits, verdict) {
  if (value === null || value === undefined) return "unknown";
  if (verdict === "inconclusive") return "unknown";
  if (verdict === "pass") return "ok";
  if (value > limits.psi_critical) return "deep";
  if (value > limits.psi_red) return "red";
  return value > limits.psi_amber ? "amber" : "ok";
}

const WORDS = /** @type {Record<string, string>} */ ({ deep: "critical", red: "red", amber: "amber", ok: "within limits", unknown: "too few to judge" });

/** The grade as a word. @param {string} grade */
export function graded(grade) {
  return h("span", { class: `grade ${grade}` }, WORDS[grade]);
}

/** A PSI as a bar with the amber and red limits on it. @param {number | null} value @param {any} limits @param {string} [verdict] */
export function gauge(value, limits, verdict) {
  const full = Math.max(limits.psi_red * 2, limits.psi_critical * 1.1);
  const part = (/** @type {number} */ v) => `${Math.min(100, (v / full) * 100).toFixed(1)}%`;
  const over = value !== null && value > full;
  return h("span", { class: `gauge ${grade(value, limits, verdict)}${over ? " over" : ""}`, vars: { "--v": part(value ?? 0), "--amber-at": part(limits.psi_amber), "--red-at": part(limits.psi_red) } },
    h("span", { class: "bar" }));
}

/** A label with its value. @param {any} label @param {any} value @param {any} [note] @param {string} [kind] */
export function fact(label, value, note, kind = "") {
  return h("div", { class: `fact ${kind}` }, h("dt", {}, label), h("dd", {}, value, note && h("small", {}, note)));
}

/** Where something will stand. */
export function slot() {
  return h("div", {}, h("p", { class: "empty" }, LOADING));
}

/**
 * Says on a page why something did not come: where it was still expected, else above what was shown before, which stays. Without an error it
 * came, and nothing is said.
 * @param {Element} page @param {unknown} [error]
 */
export function missed(page, error) {
  page.querySelector(":scope > .notice.late")?.remove();
  if (error === undefined) return;
  const text = error instanceof Error ? error.message : String(error);
  const expected = [...page.querySelectorAll(".empty")].filter((one) => one.textContent === LOADING || one.classList.contains("wrong"));
  for (const one of expected) {
    one.textContent = text;
    one.classList.add("wrong");
  }
  if (!expected.length) page.prepend(h("p", { class: "notice bad late" }, "What is below could not be brought up to date: ", text));
}

/** A box with a heading. @param {any} title @param {any} side @param {...any} children */
export function panel(title, side, ...children) {
  return h("section", { class: "panel" }, h("header", {}, h("h3", {}, title), side), children);
}

/** A link to a place. @param {Record<string, string>} to @param {...any} children */
export function link(to, ...children) {
  return h("a", { href: address(to) }, children);
}

/** A choice. @param {string} label @param {string} value @param {Array<[string, string]>} options @param {(value: string) => void} chosen */
export function select(label, value, options, chosen) {
  const known = options.some(([v]) => v === value) ? options : [[value, value], ...options];
  return h("label", { class: "select" }, h("span", {}, label),
    h("select", { onchange: (/** @type {any} */ e) => chosen(e.target.value) },
      known.map(([v, text]) => h("option", { value: v, selected: v === value }, text))));
}

/** A few choices side by side. @param {string} label @param {string} value @param {Array<[string, string]>} options @param {(value: string) => void} chosen */
export function segments(label, value, options, chosen) {
  return h("div", { class: "segments", role: "group", "aria-label": label },
    options.map(([v, text]) => h("button", { type: "button", "aria-pressed": String(v === value), onclick: () => chosen(v) }, text)));
}

/** A legend entry. @param {string} colour name of a colour @param {any} text @param {boolean} [dashed] */
export function key(colour, text, dashed = false) {
  return h("span", { class: "key" }, h("i", { class: dashed ? "dashed" : "", vars: { "--c": `var(--${colour})` } }), text);
}

const KINDS = /** @type {Record<string, [string, string]>} */ ({
  rollback: ["↩", "Rollback"],
  promote: ["↑", "Promote"],
  toggle: ["◐", "Auto-rollback"],
  shadow: ["⧉", "Shadow share"],
  reload: ["⟳", "Reload"],
  retrain: ["♻", "Retraining"],
  alert: ["▲", "Alert"],
  blocked: ["⊘", "No rollback"],
  drill: ["⚑", "Drill"],
  start: ["●", "Start"],
  hold: ["‖", "Hold"],
  approval: ["◇", "Approval"],
  detector: ["∿", "Detector"],
});

/** What an entry of the audit trail is about. @param {string} kind */
export function kindOf(kind) {
  const [sign, word] = KINDS[kind] ?? ["·", kind];
  return h("span", { class: `kind ${kind}` }, h("span", { "aria-hidden": "true" }, sign), word);
}

/** Entries of one kind at one second are one row: an alert on ten features is one thing that happened. @param {any[]} events */
export function merged(events) {
  /** @type {any[]} */
  const out = [];
  for (const e of events) {
    const last = out.at(-1);
    const key = [e.kind, e.model, e.actor, e.at.slice(0, 19), e.transition ?? e.data?.transition].join("\n");
    if (last && last.key === key && (e.kind === "alert" || e.kind === "blocked")) last.more += 1;
    else out.push({ ...e, key, more: 0 });
  }
  return out;
}

/** One entry of the audit trail as a row. @param {any} event @param {boolean} full with the time and the model */
export function eventRow(event, full) {
  const data = event.data ?? event;
  const from = data.from, to = data.to;
  return h("tr", {},
    h("td", { class: "when" }, h("time", { datetime: event.at, title: event.at }, full ? moment(event.at) : age(event.at, serverNow()))),
    h("td", {}, kindOf(event.kind)),
    full && h("td", { class: "tight" }, event.model ? name(event.model) : "–"),
    h("td", { class: "text" },
      typeof from === "string" && typeof to === "string" && h("span", { class: "move" }, name(from), " → ", name(to), data.state && data.state !== "confirmed" ? ` (${data.state})` : "", ". "),
      sentence(event.reason), event.more > 0 && h("small", {}, ` and ${event.more} more at the same time`)),
    h("td", { class: "who" }, name(event.actor)));
}

/** Features named in a row. */
const NAMED = 6;

/** Whether alerts of the past are listed; it stays so while the page is open. */
let unfolded = false;

/**
 * Alerts as tables, the worst first; those of one rule about one version are one row. Folded is what a rollback left behind: no data, and
 * about a version that clients do not get.
 * @param {any[]} alerts @param {any[]} models
 */
export function alertTable(alerts, models) {
  if (!alerts.length) return h("p", { class: "empty" }, "No alert is pending or firing.");
  /** @type {Map<string, any[]>} */
  const groups = new Map();
  for (const a of alerts) {
    const key = [a.alert, a.labels.model, a.labels.version, a.state, a.stale].join("\n");
    groups.set(key, [...(groups.get(key) ?? []), a]);
  }
  const order = ["info", "warning", "critical"];
  const rank = (/** @type {any} */ a) => (a.state === "firing" ? 100 : 0) + order.indexOf(a.severity);
  const rows = [...groups.values()].sort((a, b) => rank(b[0]) - rank(a[0]));
  const isPast = (/** @type {any} */ a) => a.stale && models.some((m) => m.model === a.labels.model && a.labels.version && a.labels.version !== (m.only_measured ? m.measured_version : m.active));
  const [now, past] = [rows.filter(([a]) => !isPast(a)), rows.filter(([a]) => isPast(a))];
  return [
    now.length ? alertRows(now, "Alerts") : h("p", { class: "empty" }, "No alert about what clients get now."),
    past.length > 0 && h("details", { class: "past", open: unfolded, ontoggle: (/** @type {any} */ e) => { unfolded = e.target.open; } },
      h("summary", {}, `${past.length} about versions that clients no longer get, without data now`), alertRows(past, "Alerts of the past")),
  ];
}

/** @param {any[][]} rows @param {string} label */
function alertRows(rows, label) {
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, h("table", { class: "alerts" },
    h("thead", {}, h("tr", {}, ["State", "Alert", "About", "PSI, or what was measured", "Tenants red", "For"].map((t, i) => h("th", { scope: "col", class: i === 4 ? "n" : "" }, t)))),
    h("tbody", {}, rows.map(alertRow))));
}

/** What the detector has found, without the model and version that stand beside it. @param {any} a */
function found(a) {
  const summary = a.annotations?.summary ?? "";
  const who = `\`${a.labels.model}\` ${a.labels.version}: `;
  return plain(summary.startsWith(who) ? summary.slice(who.length) : summary, 300);
}

/** @param {any[]} group */
function alertRow(group) {
  const [a] = group;
  const { model, version } = a.labels;
  const sorted = [...group].sort((x, y) => y.value - x.value);
  const since = group.map((one) => one.since).sort()[0];
  const widest = [...group].sort((x, y) => y.tenants_red - x.tenants_red)[0];
  const what = a.labels.feature
    ? h("div", { class: "list" }, sorted.slice(0, NAMED).map((one, i) => [h("span", {}, link({ page: "drift", model, feature: one.labels.feature, tenant: "", version: version ?? "", lane: "", reference: "" }, name(one.labels.feature)), " ", h("b", {}, one.measure === "quality" ? one.value_text : psi(one.value))), i < Math.min(NAMED, sorted.length) - 1 ? ", " : ""]), sorted.length > NAMED && ` and ${sorted.length - NAMED} more`)
    : a.measure === "drift" ? h("div", { class: "list" }, h("b", {}, psi(a.value)), " ", found(a))
    : a.measure !== "latency_p95" ? h("div", { class: "list" }, found(a))
    : Number.isFinite(a.value) ? `${Number(a.value.toPrecision(4))} ms` : "–";
  return h("tr", { class: a.stale ? "faded" : "" },
    h("td", { class: "tight" }, h("span", { class: `state ${a.state} ${a.severity}` }, a.state)),
    h("td", { class: "tight" }, h("a", { href: web(a.annotations?.runbook_url), rel: "noreferrer", target: "_blank", title: "Runbook" }, name(a.alert)), h("br"), h("small", {}, a.severity)),
    h("td", { class: "tight" }, model && link({ page: "overview", model, feature: "" }, name(model)), version && [" ", name(version)], a.stale && [h("br"), h("small", {}, "no data now")]),
    h("td", { class: "text" }, what, widest.tenants_red > 0 && h("small", {}, "tenants ", widest.tenants.slice(0, 4).map((/** @type {string} */ t, /** @type {number} */ i) => [i ? ", " : "", name(t)]), widest.tenants_red > 4 ? ` and ${widest.tenants_red - 4} more` : "")),
    h("td", { class: "n" }, widest.tenants_red || "–"),
    h("td", { class: "when" }, h("time", { datetime: since, title: since }, age(since, serverNow()))));
}

/** Only an address of the web becomes a link. @param {any} url */
function web(url) {
  return typeof url === "string" && /^https?:\/\//i.test(url) ? url : null;
}

/** Moments of rollbacks, promotions and alerts of a model. @param {any[]} events @param {string} model @param {Record<string, string>} c */
export function moments(events, model, c) {
  const out = [];
  for (const e of events) {
    if (e.model !== model) continue;
    if (e.kind === "rollback") out.push({ at: e.at, colour: c.red, label: "rollback" });
    else if (e.kind === "promote") out.push({ at: e.at, colour: c.prod, label: "promote" });
    else if (e.kind === "alert" && (e.transition ?? e.data?.transition) === "firing") out.push({ at: e.at, colour: c.amber, label: "alert" });
  }
  // Several alerts at one instant are one line.
  const seen = new Set();
  return out.filter((m) => !seen.has(m.label + m.at.slice(0, 19)) && seen.add(m.label + m.at.slice(0, 19))).slice(0, 40);
}

/** A small bar for a share. @param {number} share @param {string} colour */
export function share(share, colour) {
  return h("span", { class: "share", vars: { "--v": `${(Math.max(0, Math.min(1, share)) * 100).toFixed(1)}%`, "--c": `var(--${colour})` }, title: percent(share) }, h("span"));
}
