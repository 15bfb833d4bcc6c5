// Prod and shadow: do they say the same, how fast, and what became of the copies.

import { get, ofModel } from "../lib/api.js";
import { chart, shareAxis, tooltip } from "../lib/charts.js";
import { fill, h, name, patch, plain } from "../lib/dom.js";
import { age, count, ms, number, percent, psi, rate, some } from "../lib/format.js";
import { live, serverNow } from "../lib/live.js";
import { fact, key, panel, share, slot } from "../lib/parts.js";
import { between, since } from "../lib/place.js";
import { bin } from "./feature.js";
import { colourOf, drawLatency, ordered } from "./overview.js";

const VERDICTS = /** @type {Record<string, string>} */ ({ pass: "within the limit", fail: "over the limit", inconclusive: "too few pairs to say" });

const FATES = /** @type {Array<[string, string, string]>} */ ([
  ["sent", "sent", "the shadow answered"], ["failed", "failed", "refused, reset or a bad answer"],
  ["timeout", "timed out", "no whole answer in time"], ["dropped", "dropped", "a bound was reached; prod never waits"],
]);

/** @param {import("../lib/place.js").Place} at @param {any} model */
export function lanes(at, model) {
  const pairs = slot();
  const said = panel("Answers to the same requests", h("small", {}, "joined by request"), pairs);
  const shapes = h("div", { class: "two" }, said);
  const over = chart(`p95 latency of prod and shadow of ${model.model}`, "mid");
  const keys = h("div", { class: "keys" });
  const times = chart(`latency of ${model.model} by lane since the start`, "mid");
  const timeKeys = h("div", { class: "keys" });
  const codes = slot();
  const copies = slot();
  const top = slot();
  const element = h("div", { class: "page" },
    h("div", { class: "filters" }, h("h1", {}, "Prod and shadow")),
    shapes,
    h("div", { class: "two" }, panel("Latency, p95", keys, over.element), panel("Latency since the start, ms", timeKeys, times.element)),
    panel("Requests by version and lane", h("small", {}, "requests and codes since the start, the rest of the last minute"), codes),
    h("div", { class: "late" }, panel("Copies since the start", null, copies), panel("Pairs that disagree most", null, top)));
  /** @type {Map<string, any>} */
  const drawn = new Map();

  return {
    element,
    update() {},
    /** @param {AbortSignal} signal */
    async load(signal) {
      const range = between(at.range);
      const ask = (/** @type {string} */ what, /** @type {any} */ params = {}) => get(ofModel(model.model, what), params, signal);
      const [told, traffic, shadow, grid] = await Promise.all([ask("pairs", { limit: 10 }), ask("traffic"), ask("drift", { lane: "shadow" }), ask("grid", { metric: "p95_ms", by: "version", ...range, steps: 180, fit: true })]);
      const m = live.overview.models.find((/** @type {any} */ one) => one.model === model.model) ?? model;
      patch(pairs, pairFacts(told));
      patch(top, topPairs(told));
      drawShapes(shapes, said, drawn, shadow);
      drawLatency(over, keys, grid, m, live.overview, since(range, grid));
      drawTimes(times, timeKeys, traffic, m);
      patch(codes, codeTable(traffic));
      patch(copies, copyTable(traffic.copies));
    },
    dispose() {
      for (const one of [over, times, ...drawn.values()]) one.dispose();
    },
  };
}

/** @param {any} told */
function pairFacts(told) {
  const current = told.versions.filter((/** @type {any} */ v) => v.role === "candidate" && v.current);
  const versions = current.length ? current : told.versions.filter((/** @type {any} */ v) => v.role === "candidate").sort((/** @type {any} */ a, /** @type {any} */ b) => (a.last_at < b.last_at ? 1 : -1)).slice(0, 1);
  if (!told.enabled) return h("p", { class: "empty" }, "Answers are not joined: no shadow gets copies of this model's requests.");
  if (!versions.length) return h("p", { class: "empty" }, "No pairs yet. They come when a request was answered by both.");
  return versions.map((/** @type {any} */ v) => [
    h("p", { class: "muted" }, name(v.version), " (shadow) against ", name(v.against), ` (prod): ${some(v.pairs, "pair")} in the window`,
      v.current ? "." : `, the last ${age(v.last_at, serverNow())} ago, before traffic moved: clients get another version now.`),
    v.predictions.map((/** @type {any} */ p) => h("dl", { class: "facts" },
      fact(name(p.prediction), percent(p.disagreement.value), ["disagree, ", percent(p.disagreement.low), " to ", percent(p.disagreement.high)], p.verdict === "fail" ? "bad" : ""),
      fact("Verdict", VERDICTS[p.verdict] ?? p.verdict, p.noise ? `noise of prod itself ${percent(p.noise.value)}` : "noise not measured"),
      p.numbers && [fact("Mean difference", number(p.numbers.mean_difference), "shadow minus prod"), fact("Mean distance", number(p.numbers.mean_absolute_difference), `p95 ${number(p.numbers.p95_absolute_difference)}`), fact("Rank correlation", number(p.numbers.spearman), `linear ${number(p.numbers.pearson)}`)],
      p.kappa !== null && fact("Kappa", number(p.kappa), "agreement of classes"), fact("Predictions", count(p.n), `${count(p.disagreements)} disagree`)))]);
}

/** The distributions of what both predict, beside what is said about them. @param {Element} where @param {Element} said @param {Map<string, any>} drawn @param {any} shadow */
function drawShapes(where, said, drawn, shadow) {
  const wanted = shadow.features.filter((/** @type {any} */ f) => f.reference === "prod" && /^prediction($|\.)/.test(f.feature) && f.histogram).slice(0, 4);
  const names = wanted.map((/** @type {any} */ f) => f.feature).join("\n");
  if ([...drawn.keys()].join("\n") !== names) {
    for (const one of drawn.values()) one.dispose();
    drawn.clear();
    for (const f of wanted) drawn.set(f.feature, { ...chart(`distribution of ${f.feature}, prod and shadow`, "mid"), note: h("span") });
    fill(where, said, wanted.map((/** @type {any} */ f) => panel(["Distribution of ", name(f.feature)], h("div", { class: "keys" }, drawn.get(f.feature).note, key("prod", "prod"), key("shadow", "shadow")), drawn.get(f.feature).element)));
  }
  for (const f of wanted) {
    const hist = f.histogram;
    drawn.get(f.feature).note.textContent = `PSI ${psi(f.psi)} over ${some(f.n, "copy", "copies")}`;
    const sum = (/** @type {number[]} */ list) => Math.max(1, list.reduce((a, b) => a + b, 0));
    const [np, ns] = [sum(hist.reference), sum(hist.current)];
    const keep = hist.labels.map((/** @type {string} */ _, /** @type {number} */ i) => i).filter((/** @type {number} */ i) => hist.reference[i] || hist.current[i] || i <= hist.edges.length - 1);
    const shares = [keep.map((/** @type {number} */ i) => hist.reference[i] / np), keep.map((/** @type {number} */ i) => hist.current[i] / ns)];
    drawn.get(f.feature).show((/** @type {Record<string, string>} */ c) => ({
      xAxis: { type: "category", data: keep.map((/** @type {number} */ i) => plain(bin(hist, hist.labels[i], i), 30)), axisLine: { lineStyle: { color: c.line } }, axisTick: { show: false }, axisLabel: { color: c.muted, hideOverlap: true } },
      yAxis: shareAxis(c, Math.max(...shares.flat())),
      tooltip: tooltip(c, "axis", (p) => ({ title: plain(bin(hist, hist.labels[keep[p[0].dataIndex]], keep[p[0].dataIndex]), 60), lines: p.map((/** @type {any} */ s) => [s.color, s.seriesName, percent(s.value)]) })),
      series: [
        { type: "bar", name: "prod", data: shares[0], color: c.prod, barGap: "10%" },
        { type: "bar", name: "shadow", data: shares[1], color: c.shadow },
      ],
    }));
  }
}

/** @param {any} where @param {Element} keys @param {any} traffic @param {any} m */
function drawTimes(where, keys, traffic, m) {
  const used = ordered({ rows: traffic.lanes.filter((/** @type {any} */ l) => l.latency.count > 0) }, m);
  if (!used.length) return where.say("No request has been answered yet.");
  fill(keys, used.map((/** @type {any} */ l, /** @type {number} */ i) => key(colourOf(l, i), [name(l.version), ` ${l.lane}`])));
  const last = Math.max(...used.map((/** @type {any} */ l) => l.latency.buckets.findLastIndex((/** @type {number} */ n) => n > 0)));
  const bounds = traffic.bounds_ms;
  const labels = Array.from({ length: Math.min(last + 2, bounds.length + 1) }, (_, i) => (i < bounds.length ? `≤ ${number(bounds[i])}` : `> ${number(bounds[bounds.length - 1])}`));
  const shares = used.map((/** @type {any} */ l) => l.latency.buckets.slice(0, labels.length).map((/** @type {number} */ n) => n / l.latency.count));
  where.show((/** @type {Record<string, string>} */ c) => ({
    xAxis: { type: "category", data: labels, axisLine: { lineStyle: { color: c.line } }, axisTick: { show: false }, axisLabel: { color: c.muted, hideOverlap: true } },
    yAxis: shareAxis(c, Math.max(...shares.flat())),
    tooltip: tooltip(c, "axis", (p) => ({ title: `${p[0].name} ms`, lines: p.map((/** @type {any} */ s) => [s.color, plain(s.seriesName, 40), percent(s.value)]) })),
    series: used.map((/** @type {any} */ l, /** @type {number} */ i) => ({ type: "bar", name: `${l.version} ${l.lane}`, color: c[colourOf(l, i)], data: shares[i] })),
  }));
}

/** @param {any} traffic */
function codeTable(traffic) {
  const used = traffic.lanes.filter((/** @type {any} */ l) => l.requests_total > 0);
  if (!used.length) return h("p", { class: "empty" }, "No requests yet.");
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Requests by version and lane" }, h("table", {},
    h("thead", {}, h("tr", {}, ["Version", "Lane", "Requests", "Now", "Errors", "p50", "p95", "p99", "Status codes"].map((t, i) => h("th", { scope: "col", class: i > 1 && i < 8 ? "n" : "" }, t)))),
    h("tbody", {}, used.map((/** @type {any} */ l) => h("tr", {}, h("td", {}, name(l.version)), h("td", {}, l.lane), h("td", { class: "n" }, count(l.requests_total)), h("td", { class: "n" }, rate(l.per_second)), h("td", { class: "n" }, percent(l.error_rate)),
      h("td", { class: "n" }, ms(l.p50_ms)), h("td", { class: "n" }, ms(l.p95_ms)), h("td", { class: "n" }, ms(l.p99_ms)),
      h("td", { class: "codes" }, l.codes.map((/** @type {any} */ k, /** @type {number} */ i) => [i ? ", " : "", h("span", { class: k.code === 0 || k.code >= 500 ? "red" : "" }, k.code === 0 ? "no answer" : k.code), ` ${count(k.requests)}`])))))));
}

/** @param {any} copies */
function copyTable(copies) {
  if (!copies) return h("p", { class: "empty" }, "This model makes no copies.");
  const all = FATES.reduce((sum, [id]) => sum + copies[id], 0);
  const reasons = Object.entries(copies.dropped_by_reason).filter(([, n]) => Number(n) > 0).map(([reason, n]) => `${reason.replaceAll("_", " ")} ${count(Number(n))}`);
  return [h("table", { class: "fates" }, h("tbody", {}, FATES.map(([id, text, note]) => h("tr", {}, h("td", {}, text), h("td", { class: "n" }, count(copies[id])), h("td", { class: "gauge-cell" }, share(all ? copies[id] / all : 0, id === "sent" ? "shadow" : "amber-fill")), h("td", { class: "n" }, all ? percent(copies[id] / all) : "–"), h("td", {}, h("small", {}, id === "dropped" && reasons.length ? reasons.join(", ") : note)))))),
    (copies.logged > 0 || copies.known > 0) && h("p", { class: "muted" }, `${count(copies.logged)} only logged, ${count(copies.known)} answered from the embedding cache: nothing was sent.`)];
}

/** @param {any} told */
function topPairs(told) {
  const rows = told.versions.filter((/** @type {any} */ v) => v.role === "candidate").flatMap((/** @type {any} */ v) => v.predictions.flatMap((/** @type {any} */ p) => p.top.map((/** @type {any} */ t) => ({ ...t, prediction: p.prediction, version: v.version, against: v.against })))).slice(0, 20);
  if (!rows.length) return h("p", { class: "empty" }, "No disagreeing pairs.");
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Pairs that disagree most" }, h("table", {},
    h("thead", {}, h("tr", {}, ["Request", "Tenant", "Prediction", "Prod", "Shadow", "Distance", "Ago"].map((t, i) => h("th", { scope: "col", class: i > 2 && i < 6 ? "n" : "" }, t)))),
    h("tbody", {}, rows.map((/** @type {any} */ t) => h("tr", {}, h("td", { class: "id" }, name(t.request_id)), h("td", {}, t.tenant ? name(t.tenant) : "–"), h("td", {}, name(t.prediction)), h("td", { class: "n" }, said(t.prod)), h("td", { class: "n" }, said(t.shadow)), h("td", { class: "n" }, number(t.distance)), h("td", { class: "when" }, age(t.at, serverNow())))))));
}

/** @param {any} value */
function said(value) {
  return typeof value === "number" ? number(value) : value === null ? "–" : name(typeof value === "string" ? value : JSON.stringify(value));
}
