// Drift: every feature over time; a click opens one.

import { get, ofModel } from "../lib/api.js";
import { chart, points, tooltip } from "../lib/charts.js";
import { fill, h, name, patch, plain, sentence } from "../lib/dom.js";
import { count, moment, psi, some } from "../lib/format.js";
import { gauge, grade, graded, key, link, panel, segments, select, slot } from "../lib/parts.js";
import { between, go } from "../lib/place.js";

const LABELS = /** @type {Record<string, string>} */ ({ psi: "PSI", js_divergence: "JS divergence" });

/** Where the guide stands. */
const DOCS = "https://github.com/driftline/driftline/blob/main/docs/guide/";

/** Rows of a heatmap that are drawn; the table has all. */
const ROWS = 60;

/**
 * What to look at: tenant, version, lane, reference.
 * @param {import("../lib/place.js").Place} at @param {any} model @param {Element} where @param {string} title
 */
export function filters(at, model, where, title) {
  /** @type {string[]} */
  let known = [];
  const draw = () => fill(where,
    h("h1", {}, title),
    select("Tenant", at.tenant || "all", [["all", "all tenants"], ...known.map((t) => /** @type {[string, string]} */ ([t, plain(t, 40)]))], (t) => go({ tenant: t === "all" ? "" : t })),
    select("Version", at.version, [["", at.lane === "shadow" ? "the shadow" : "what clients get"], ...model.versions.map((/** @type {string} */ v) => [v, plain(v, 40)])], (v) => go({ version: v })),
    segments("Lane", at.lane, [["prod", "Prod"], ["shadow", "Shadow"]], (l) => go({ lane: l, reference: "" })),
    at.lane === "shadow" && segments("Reference", at.reference, [["baseline", "Against the baseline"], ["prod", "Against prod"]], (r) => go({ reference: r })));
  draw();
  return {
    /** @param {AbortSignal} signal */
    async load(signal) {
      const told = await get(ofModel(model.model, "tenants"), { version: at.version, lane: at.lane }, signal);
      const names = told.tenants.map((/** @type {any} */ t) => t.tenant).sort();
      if (names.join() === known.join() || where.contains(document.activeElement)) return;
      known = names;
      draw();
    },
  };
}

/** @param {import("../lib/place.js").Place} at @param {any} model */
export function drift(at, model) {
  const bar = h("div", { class: "filters" });
  const heat = chart(`${LABELS[at.metric]} of every feature of ${model.model} over time`, "rows");
  const table = slot();
  const watcher = slot();
  const misfit = h("div");
  const unjudged = h("div");
  const learned = h("div");
  const note = h("small");
  const chosen = filters(at, model, bar, "Drift");
  const element = h("div", { class: "page" }, bar, misfit,
    panel(`${LABELS[at.metric]} by feature and time`, h("div", { class: "filters" }, note, scale(at.metric), segments("Measure", at.metric, [["psi", "PSI"], ["js_divergence", "JS"]], (m) => go({ metric: m }))), heat.element),
    at.lane === "prod" && panel("Sequential detector", null, watcher),
    panel("Now", null, learned, unjudged, table));
  /** @type {any} */
  let limits = null;
  /** @type {any} */
  let grid = null;
  heat.on("click", (event) => {
    const row = grid?.rows[event.value?.[1]];
    if (row) go({ feature: row.feature });
  });

  return {
    element,
    /** @param {any} over */
    update(over) {
      const first = !limits;
      limits = over.limits;
      if (first && grid) drawHeat(heat, grid, at, limits);
    },
    /** @param {AbortSignal} signal */
    async load(signal) {
      const who = { tenant: at.tenant || "all", lane: at.lane, version: at.version };
      const now = await get(ofModel(model.model, "drift"), { ...who, histograms: false }, signal);
      if (at.reference === "prod") {
        heat.element.style.setProperty("--rows", "1");
        heat.say("Of shadow against prod only the present is kept: see below.");
      } else {
        grid = await get(ofModel(model.model, "grid"), { ...who, version: now.version, metric: at.metric, by: "feature", ...between(at.range), steps: 96, fit: true }, signal);
        const left = Math.max(0, grid.rows.length - ROWS) + grid.left_out;
        grid.rows = grid.rows.slice(0, ROWS);
        note.textContent = !grid.rows.length ? "" : `${some(grid.rows.length, "feature")}, the most drifted first${left ? `; ${count(left)} calmer ones are in the table only` : ""}`;
        heat.element.style.setProperty("--rows", String(Math.max(4, grid.rows.length)));
        if (limits) drawHeat(heat, grid, at, limits);
      }
      patch(table, limits && featureTable(now, at, limits));
      patch(watcher, detectorText(now.detector));
      patch(misfit, now.not_armed && h("p", { class: "notice warn" }, h("b", {}, "Not armed, drift is not judged: "), sentence(now.not_armed), "."));
      patch(learned, referenceText(now));
      patch(unjudged, unjudgedText(now));
      await chosen.load(signal);
    },
    dispose: heat.dispose,
  };
}

/** @param {any} heat @param {any} grid @param {any} at @param {any} limits */
function drawHeat(heat, grid, at, limits) {
  if (!grid.rows.length) return heat.say("Nothing is stored for this choice and range. The first column comes within 15 seconds of measuring.");
  const times = Array.from({ length: grid.steps }, (_, i) => Date.parse(grid.start) + i * grid.step_seconds * 1000);
  const cells = grid.rows.flatMap((/** @type {any} */ row, /** @type {number} */ y) =>
    points(grid, row.values).flatMap(([, v], x) => (v === null ? [] : [[x, y, v]])));
  heat.show((/** @type {Record<string, string>} */ c) => ({
    grid: { left: 8, right: 8, top: 4, bottom: 4, containLabel: true },
    xAxis: { type: "category", data: times, axisLine: { show: false }, axisTick: { show: false }, axisLabel: { color: c.muted, interval: Math.ceil(grid.steps / 8) - 1, hideOverlap: true, formatter: (/** @type {string} */ t) => short(Number(t), grid.step_seconds) } },
    yAxis: { type: "category", inverse: true, data: grid.rows.map((/** @type {any} */ r) => plain(r.feature, 60)), axisLine: { show: false }, axisTick: { show: false }, axisLabel: { color: c.text, width: 150, overflow: "truncate", interval: 0 } },
    visualMap: { show: false, type: "piecewise", dimension: 2, pieces: pieces(c, at.metric, limits) },
    tooltip: tooltip(c, "item", (p) => ({ title: plain(grid.rows[p.value[1]].feature, 80), lines: [[p.color, moment(times[p.value[0]]), psi(p.value[2])]] })),
    // At once: cells that come a few hundred at a time would stand for calm in the meantime.
    series: [{ type: "heatmap", progressive: 0, data: cells, itemStyle: { borderColor: c.panel, borderWidth: grid.steps > 120 ? 0 : 1 }, emphasis: { itemStyle: { borderColor: c.text, borderWidth: 1 } } }],
  }));
}

/** PSI goes by its limits; JS has none and goes by its size. @param {Record<string, string>} c @param {string} metric @param {any} limits */
export function pieces(c, metric, limits) {
  if (metric === "psi") {
    return [
      { lt: limits.psi_amber / 2, color: c.cool0 }, { gte: limits.psi_amber / 2, lt: limits.psi_amber, color: c.cool1 },
      { gte: limits.psi_amber, lt: limits.psi_red, color: c["amber-fill"] }, { gte: limits.psi_red, lte: limits.psi_critical, color: c["red-fill"] },
      { gt: limits.psi_critical, color: c["deep-fill"] },
    ];
  }
  return [{ lt: 0.01, color: c.cool0 }, { gte: 0.01, lt: 0.05, color: c.cool1 }, { gte: 0.05, lt: 0.15, color: c.cool2 }, { gte: 0.15, color: c.cool3 }];
}

/** What the colours mean. @param {string} metric */
export function scale(metric) {
  const of = metric === "psi" ? [["cool0", "calm"], ["cool1", "near amber"], ["amber-fill", "amber"], ["red-fill", "red"], ["deep-fill", "critical"]] : [["cool0", "< 0.01"], ["cool1", "< 0.05"], ["cool2", "< 0.15"], ["cool3", "more"]];
  return h("span", { class: "keys squares" }, of.map(([colour, text]) => key(colour, text)));
}

/** @param {number} t @param {number} step */
export function short(t, step) {
  const d = new Date(t);
  const two = (/** @type {number} */ n) => String(n).padStart(2, "0");
  const day = `${two(d.getMonth() + 1)}-${two(d.getDate())}`;
  const time = `${two(d.getHours())}:${two(d.getMinutes())}`;
  return step >= 3600 ? day : step > 600 ? `${day} ${two(d.getHours())}h` : step < 30 ? `${time}:${two(d.getSeconds())}` : time;
}

/** What the detector says, in a sentence. @param {any} detector */
function detectorText(detector) {
  if (!detector) {
    return h("p", { class: "empty" }, "Nobody watches these requests: the reference is being learned or does not stand still, the tenant is over the limit, or the detector is off.");
  }
  const promise = h("small", {}, ` One false alarm in ${count(Math.round(detector.requests_between_false_alarms))} requests at most is expected; ${some(detector.requests, "request")} watched, ${some(detector.alarms, "alarm")} so far.`);
  const { drift } = detector;
  if (!drift) {
    const gathered = Math.min(99, Math.floor(detector.evidence_ratio * 100));
    const state = detector.state === "resolved" ? "The last drift is over. " : "";
    return h("p", {}, `${state}Watching: the evidence of drift is ${gathered} % of what an alarm needs.`, promise);
  }
  const rows = drift.features.slice(0, 8).map((/** @type {any} */ f) =>
    h("li", {}, link({ feature: f.feature }, plain(f.change, 120)), " ", ...(f.severity === "unknown" ? [h("small", {}, "size not measured yet")] : [h("b", {}, psi(f.psi)), h("small", {}, ` ${f.severity}`)])));
  const left = drift.features.length - rows.length;
  return h("div", { class: "found" },
    h("p", {}, h("b", {}, drift.too_small_to_matter ? "A drift too small to matter" : "Drift"), ` found at ${moment(drift.found_at)}, begun about ${some(drift.requests_ago, "request")} before now. Sizes are PSI without what chance adds.`, promise),
    h("ul", {}, rows, left > 0 && h("li", {}, `and ${count(left)} more`)));
}

const REASONS = /** @type {Record<string, string>} */ ({ time: "time or counter", text: "free text", not_seen: "in no request", type_differs: "other type than in the profile", learning: "reference is being learned", moving: "reference moves, it is learned anew", new_field: "new field, its reference is being learned" });

/** Names that are shown of those that are not judged. */
const NAMED = 30;

/** Which features are not judged, and why. @param {any} now */
function unjudgedText(now) {
  const learning = now.reference?.state === "learning";
  const features = now.not_judged.filter((/** @type {any} */ f) => !learning || f.reason !== "learning");
  const left = features.length - NAMED;
  return features.length > 0 && h("p", { class: "unjudged" }, h("b", {}, "Not judged: "),
    features.slice(0, NAMED).flatMap((/** @type {any} */ f, /** @type {number} */ i) => [i > 0 && ", ", name(f.feature), ` (${REASONS[f.reason] ?? f.reason})`]),
    left > 0 && ` and ${count(left)} more`, ". ", h("a", { href: `${DOCS}judged-columns.md`, rel: "noreferrer", target: "_blank" }, "Which columns are judged"));
}

/** What a learned reference covers. @param {any} now */
function referenceText(now) {
  const growth = now.reference?.growth;
  return growth && h("p", { class: "unjudged" }, h("b", {}, "Reference: "), `${some(now.reference.rows, "row")}, ${growth.text.replace(/`/g, "")}.`);
}

/** @param {any} now @param {any} at @param {any} limits */
function featureTable(now, at, limits) {
  const rows = now.features.filter((/** @type {any} */ f) => f.reference === at.reference).sort((/** @type {any} */ a, /** @type {any} */ b) => (b.psi ?? -1) - (a.psi ?? -1));
  if (!rows.length) {
    const learning = now.reference?.state === "learning";
    return h("p", { class: "empty" }, learning ? `Learning the reference: ${count(now.reference.rows)} of ${count(now.reference.wanted)} rows.` : now.requests > 0 ? "No feature of these requests is compared with a reference." : "No requests of this tenant, version and lane have been measured.");
  }
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Features now" }, h("table", {},
    h("thead", {}, h("tr", {}, ["Feature", "", "PSI", "Verdict", "Chance explains up to", "JS divergence", "Rows", "Reference rows"].map((t, i) => h("th", { scope: "col", "aria-label": t ? null : "PSI as a bar", class: [2, 4, 5, 6, 7].includes(i) ? "n" : "" }, t)))),
    h("tbody", {}, rows.map((/** @type {any} */ f) => {
      const of = grade(f.psi, limits, f.verdict);
      return h("tr", {}, h("td", {}, link({ feature: f.feature }, name(f.feature)), f.change && [h("br"), h("small", {}, plain(f.change, 120))]), h("td", { class: "gauge-cell" }, gauge(f.psi, limits, f.verdict)), h("td", { class: `n ${of}` }, psi(f.psi)),
        h("td", {}, graded(of), f.verdict === "fault" ? h("small", {}, " data fault") : of === "ok" && f.verdict === "fail" ? h("small", {}, " but more than chance") : ""), h("td", { class: "n" }, psi(f.psi_critical)), h("td", { class: "n" }, psi(f.js_divergence)),
        h("td", { class: "n" }, count(f.n)), h("td", { class: "n" }, count(f.reference_n)));
    }))));
}
