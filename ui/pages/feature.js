// One feature: what moved, since when, for whom.

import { get, ofModel } from "../lib/api.js";
import { axisRows, chart, line, marks, points, shareAxis, timeAxis, tooltip, valueAxis } from "../lib/charts.js";
import { h, name, patch, plain } from "../lib/dom.js";
import { count, number, percent, psi, some } from "../lib/format.js";
import { gauge, grade, graded, key, link, moments, panel, slot } from "../lib/parts.js";
import { between, since } from "../lib/place.js";
import { live } from "../lib/live.js";
import { filters } from "./drift.js";

/** Both pictures of the bins stand on the same places. */
const GRID = { left: 48, right: 12, top: 12, bottom: 24 };

/** Tenants shown beside a feature. */
const TENANTS = 12;

/** @param {import("../lib/place.js").Place} at @param {any} model */
export function feature(at, model) {
  const bar = h("div", { class: "filters" });
  const said = h("div", { class: "verdict" });
  const shape = chart(`shares of ${at.feature} per bin, reference and current`, "");
  const parts = chart(`what each bin of ${at.feature} adds to its PSI`, "low");
  const past = chart(`PSI of ${at.feature} over time`, "");
  const bins = slot();
  const tenants = slot();
  const chosen = filters(at, model, bar, "Drift");
  const against = at.reference === "prod" ? "prod" : "reference";
  const element = h("div", { class: "page" },
    h("div", {}, link({ feature: "" }, "← All features")), bar,
    h("section", { class: "panel" }, said),
    h("div", { class: "side" },
      h("div", { class: "page" },
        panel("Share of rows per bin", h("div", { class: "keys" }, key("reference", against), key("prod", "current window")), shape.element,
          h("header", {}, h("h3", {}, "What each bin adds to the PSI")), parts.element),
        panel("PSI over time", h("small", {}, "lines: limits, alerts, rollbacks"), past.element)),
      h("div", { class: "page" }, panel("Bins", null, bins), panel("Tenants", link({ page: "tenants", feature: at.feature }, "All tenants"), tenants))));

  return {
    element,
    update() {},
    /** @param {AbortSignal} signal */
    async load(signal) {
      const who = { tenant: at.tenant || "all", lane: at.lane, version: at.version };
      const range = between(at.range);
      const limits = live.overview.limits;
      const now = await get(ofModel(model.model, "drift"), { ...who, feature: at.feature }, signal);
      const one = now.features.find((/** @type {any} */ f) => f.reference === at.reference);
      patch(said, verdict(now, one, at, limits));
      drawShape(shape, parts, bins, one);
      const version = now.version;
      const ask = at.reference === "prod" ? null : get(ofModel(model.model, "grid"), { metric: "psi", by: "version", feature: at.feature, tenant: who.tenant, version, ...range, steps: 240, fit: true }, signal);
      const [grid, told, events] = await Promise.all([ask, get(ofModel(model.model, "tenants"), { version, lane: at.lane, feature: at.feature }, signal), get("/api/v1/events", { limit: 200 }, signal)]);
      drawPast(past, grid, at, model, limits, grid && since(range, grid), events.events);
      patch(tenants, tenantList(told, at, limits));
      await chosen.load(signal);
    },
    dispose() {
      for (const one of [shape, parts, past]) one.dispose();
    },
  };
}

/** @param {any} now @param {any} one @param {any} at @param {any} limits */
function verdict(now, one, at, limits) {
  const title = h("h2", {}, name(at.feature));
  if (!one) {
    const learning = now.reference?.state === "learning";
    return [title, h("p", {}, learning ? `Learning the reference: ${count(now.reference.rows)} of ${count(now.reference.wanted)} rows.` : "No requests of this tenant, version and lane hold this feature.")];
  }
  const of = grade(one.psi, limits, one.verdict);
  const enough = one.verdict === "inconclusive"
    ? `${some(one.n, "row")} in the window are too few to judge (more than ${count(limits.min_requests)} are needed): treat the number as noise.`
    : one.verdict === "fail"
      ? `${some(one.n, "row")} in the window are enough: chance alone would explain a PSI up to ${psi(one.psi_critical)}.`
      : one.verdict === "fault"
      ? "Most of it comes from values that are missing or of another type: a fault of the data, no drift."
      : `Chance alone explains it: at ${some(one.n, "row")} a PSI up to ${psi(one.psi_critical)} means nothing.`;
  return [title, graded(of), h("p", {}, h("b", { class: of }, `PSI ${psi(one.psi)}`), `, JS divergence ${psi(one.js_divergence)}, `, one.type ?? "", ". ", enough, " ", h("span", { class: "muted" }, "version ", name(now.version), `, reference of ${some(one.reference_n, "row")}`))];
}

/** @param {any} shape @param {any} parts @param {Element} bins @param {any} one */
function drawShape(shape, parts, bins, one) {
  const hist = one?.histogram;
  if (!hist) {
    shape.say("Nothing to compare yet.");
    parts.say("Nothing to compare yet.");
    patch(bins, h("p", { class: "empty" }, "No bins."));
    return;
  }
  const sum = (/** @type {number[]} */ list) => Math.max(1, list.reduce((a, b) => a + b, 0));
  const [nr, nc] = [sum(hist.reference), sum(hist.current)];
  const rows = hist.labels.map((/** @type {string} */ label, /** @type {number} */ i) => ({ label: bin(hist, label, i), r: hist.reference[i] / nr, c: hist.current[i] / nc, part: hist.psi_contributions[i] }));
  const numeric = hist.edges.length > 0;
  // An empty bin for missing values or further categories says nothing.
  const shown = rows.filter((/** @type {any} */ row, /** @type {number} */ i) => row.r > 0 || row.c > 0 || (numeric && i <= hist.edges.length));
  if (!numeric) shown.sort((/** @type {any} */ a, /** @type {any} */ b) => Math.max(b.r, b.c) - Math.max(a.r, a.c));
  const drawn = shown.slice(0, 40);
  const top = Math.max(...drawn.map((/** @type {any} */ r) => Math.max(r.r, r.c)));
  const axis = (/** @type {Record<string, string>} */ c) => ({ type: "category", data: drawn.map((/** @type {any} */ r) => plain(r.label, 30)), axisLine: { lineStyle: { color: c.line } }, axisTick: { show: false }, axisLabel: { color: c.muted, hideOverlap: true, width: 90, overflow: "truncate" } });
  shape.show((/** @type {Record<string, string>} */ c) => ({
    grid: GRID,
    // Two axes, so that each bar stands in the middle of its bin, the narrow one in front of the wide one.
    xAxis: [axis(c), { ...axis(c), show: false }],
    yAxis: shareAxis(c, top),
    tooltip: tooltip(c, "axis", (p) => ({ title: plain(drawn[p[0].dataIndex].label, 80), lines: p.map((/** @type {any} */ s) => [s.color, s.seriesName, percent(s.value)]) })),
    series: [
      { type: "bar", name: "reference", data: drawn.map((/** @type {any} */ r) => r.r), color: c.reference, barWidth: "84%" },
      { type: "bar", name: "current", data: drawn.map((/** @type {any} */ r) => r.c), color: c.prod, barWidth: "44%", xAxisIndex: 1, z: 3 },
    ],
  }));
  parts.show((/** @type {Record<string, string>} */ c) => ({
    grid: GRID,
    xAxis: axis(c),
    yAxis: valueAxis(c, (v) => String(Number(v.toPrecision(2)))),
    tooltip: tooltip(c, "axis", (p) => ({ title: plain(drawn[p[0].dataIndex].label, 80), lines: [[c["amber-fill"], "adds", psi(p[0].value)]] })),
    series: [{ type: "bar", data: drawn.map((/** @type {any} */ r) => r.part), color: c["amber-fill"], barWidth: "84%" }],
  }));
  patch(bins, binTable(shown, one.psi));
}

/** A bin's name: of a number its edges. @param {any} hist @param {string} label @param {number} i */
export function bin(hist, label, i) {
  const edges = hist.edges;
  if (!edges.length || i > edges.length) return label;
  if (i === 0) return `< ${number(edges[0])}`;
  return i === edges.length ? `≥ ${number(edges[i - 1])}` : `${number(edges[i - 1])} to ${number(edges[i])}`;
}

/** @param {any[]} rows @param {number} total */
function binTable(rows, total) {
  const sorted = [...rows].sort((a, b) => b.part - a.part);
  const fresh = rows.filter((r) => r.r === 0 && r.c > 0).length;
  const gone = rows.filter((r) => r.r > 0 && r.c === 0).length;
  return [
    (fresh > 0 || gone > 0) && h("p", { class: "muted" }, [fresh && `${some(fresh, "bin")} ${fresh === 1 ? "is" : "are"} new in the window`, gone && `${some(gone, "bin")} of the reference ${gone === 1 ? "is" : "are"} empty now`].filter(Boolean).join("; ") + "."),
    h("div", { class: "scroll high", tabindex: "0", role: "region", "aria-label": "Bins" }, h("table", {},
      h("thead", {}, h("tr", {}, ["Bin", "Reference", "Current", "Part of the PSI"].map((t, i) => h("th", { scope: "col", class: i ? "n" : "" }, t)))),
      h("tbody", {}, sorted.slice(0, 200).map((r) => h("tr", {}, h("td", {}, name(r.label), " ", r.r === 0 && r.c > 0 ? h("span", { class: "tag new" }, "new") : r.r > 0 && r.c === 0 ? h("span", { class: "tag" }, "gone") : ""),
        h("td", { class: "n" }, percent(r.r)), h("td", { class: "n" }, percent(r.c)), h("td", { class: "n" }, psi(r.part), " ", h("small", {}, total > 0 ? percent(r.part / total) : ""))))))),
  ];
}

/** @param {any} past @param {any} grid @param {any} at @param {any} model @param {any} limits @param {any} range @param {any[]} events */
function drawPast(past, grid, at, model, limits, range, events) {
  if (!grid) return past.say("Of shadow against prod only the present is kept.");
  const row = grid.rows.find((/** @type {any} */ r) => r.lane === at.lane);
  if (!row) return past.say("Nothing is stored in this range. The first point comes within 15 seconds of measuring.");
  past.show((/** @type {Record<string, string>} */ c) => ({
    xAxis: timeAxis(c, range.from, range.to),
    yAxis: valueAxis(c, (v) => String(Number(v.toPrecision(3)))),
    tooltip: tooltip(c, "axis", (p) => axisRows(p, psi)),
    series: [line({ label: "PSI", colour: c.prod, points: points(grid, row.values), area: true }, {
      markLine: marks([{ y: limits.psi_amber, colour: c.amber, label: `amber ${limits.psi_amber}` }, { y: limits.psi_red, colour: c.red, label: `red ${limits.psi_red}` }],
        moments(events.filter((e) => e.kind !== "alert" || e.data?.labels?.feature === at.feature), model.model, c), range),
    })],
  }));
}

/** @param {any} told @param {any} at @param {any} limits */
function tenantList(told, at, limits) {
  const rows = told.tenants.filter((/** @type {any} */ t) => t.psi !== null).slice(0, TENANTS);
  if (!rows.length) return h("p", { class: "empty" }, "No request has named a tenant.");
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Tenants of this feature" }, h("table", {},
    h("thead", {}, h("tr", {}, ["Tenant", "", "PSI", "Requests"].map((t, i) => h("th", { scope: "col", "aria-label": t ? null : "PSI as a bar", class: i > 1 ? "n" : "" }, t)))),
    h("tbody", {}, rows.map((/** @type {any} */ t) => h("tr", { class: t.tenant === at.tenant ? "chosen" : "" },
      h("td", {}, link({ tenant: t.tenant }, name(t.tenant))), h("td", { class: "gauge-cell" }, gauge(t.psi, limits, t.verdict)), h("td", { class: `n ${grade(t.psi, limits, t.verdict)}` }, psi(t.psi)), h("td", { class: "n" }, count(t.requests)))))));
}
