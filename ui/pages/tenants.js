// Tenants: whose traffic moved, and whether enough of them make an alert.

import { get, ofModel } from "../lib/api.js";
import { chart, points, tooltip } from "../lib/charts.js";
import { fill, h, name, patch, plain } from "../lib/dom.js";
import { age, count, moment, psi, some } from "../lib/format.js";
import { live, serverNow } from "../lib/live.js";
import { gauge, grade, graded, link, panel, segments, select, slot } from "../lib/parts.js";
import { between, go } from "../lib/place.js";
import { pieces, scale, short } from "./drift.js";

/** Rows of the table that are drawn at once; a search finds the others. */
const ROWS = 200;

const COLUMNS = /** @type {Array<[string, string, boolean]>} */ ([
  ["tenant", "Tenant", false], ["feature", "Feature", false], ["bar", "", false], ["psi", "PSI", true], ["verdict", "Verdict", false],
  ["features_red", "Features red", true], ["features_amber", "amber", true], ["requests", "Requests in window", true], ["last_request_at", "Last request", false],
]);

/** @param {import("../lib/place.js").Place} at @param {any} model */
export function tenants(at, model) {
  const bar = h("div", { class: "filters" });
  const said = h("p");
  const table = slot();
  const heat = chart("PSI by tenant and time", "rows");
  const about = h("span");
  const find = h("input", { type: "search", placeholder: "find a tenant", "aria-label": "Find a tenant", oninput: () => draw() });
  /** @type {any} */
  let told = null;
  let sort = "psi";
  let down = true;
  let options = "";
  const element = h("div", { class: "page" }, bar,
    h("section", { class: "panel" }, said),
    panel(at.feature ? ["Tenants by ", name(at.feature)] : "Tenants by their worst feature", find, table),
    panel(about, scale("psi"), heat.element));

  function filterBar() {
    const names = [...new Set([at.feature, ...model.worst.map((/** @type {any} */ f) => f.feature)])].filter(Boolean);
    const next = JSON.stringify(names);
    if (next === options) return;
    options = next;
    fill(bar, h("h1", {}, "Tenants"),
      select("Feature", at.feature, [["", "the worst of each"], ...names.map((n) => /** @type {[string, string]} */ ([n, plain(n, 40)]))], (f) => go({ feature: f })),
      select("Version", at.version, [["", at.lane === "shadow" ? "the shadow" : "what clients get"], ...model.versions.map((/** @type {string} */ v) => [v, plain(v, 40)])], (v) => go({ version: v })),
      segments("Lane", at.lane, [["prod", "Prod"], ["shadow", "Shadow"]], (l) => go({ lane: l })));
  }

  function draw() {
    if (!told) return;
    const limits = live.overview.limits;
    const needed = told.quorum;
    const learning = told.tenants.filter((/** @type {any} */ t) => t.learning).length;
    patch(said, told.tenants_known === 0 ? "No request has named a tenant: drift is judged by the total. The key `tenant` of the configuration says where its name stands." : [
      h("b", { class: told.tenants_red >= Math.min(needed, told.tenants_known) ? "red" : "" }, `${told.tenants_red} of ${some(told.tenants_known, "tenant")} red`),
      `. A drift alert needs ${needed}, or two that carry half of the traffic, so that one customer's change does not move everybody's. Each is compared with what it used to send.`,
      learning > 0 && ` ${some(learning, "tenant")} ${learning === 1 ? "has" : "have"} no reference of ${learning === 1 ? "its" : "their"} own yet: the numbers compare with everybody's, and the total is judged.`]);
    const wanted = find.value.trim().toLowerCase();
    const rows = told.tenants.filter((/** @type {any} */ t) => t.tenant.toLowerCase().includes(wanted)).sort((/** @type {any} */ a, /** @type {any} */ b) => {
      const [x, y] = [a[sort] ?? -1, b[sort] ?? -1];
      return (x < y ? -1 : x > y ? 1 : 0) * (down ? -1 : 1);
    });
    patch(table, rows.length ? tenantTable(rows, limits) : h("p", { class: "empty" }, wanted ? "No tenant of that name." : "No tenants yet."));
  }

  /** @param {any[]} rows @param {any} limits */
  function tenantTable(rows, limits) {
    // All rows are about the feature that was chosen.
    const headers = COLUMNS.filter(([id]) => !at.feature || id !== "feature").map(([id, text, isNumber]) => h("th", { scope: "col", "aria-label": text ? null : "PSI as a bar", class: isNumber ? "n" : "", "aria-sort": id === sort ? (down ? "descending" : "ascending") : null },
      id === "bar" || id === "verdict" ? text : h("button", { type: "button", onclick: () => { down = sort === id ? !down : true; sort = id; draw(); } }, text)));
    const more = rows.length - ROWS + told.left_out;
    return [h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Tenants" }, h("table", {}, h("thead", {}, h("tr", {}, headers)),
      h("tbody", {}, rows.slice(0, ROWS).map((t) => {
        const of = grade(t.psi, limits, t.verdict);
        return h("tr", {}, h("td", {}, link({ page: "drift", tenant: t.tenant, feature: at.feature }, name(t.tenant))),
          !at.feature && h("td", {}, t.feature ? link({ page: "drift", tenant: t.tenant, feature: t.feature }, name(t.feature)) : "–"),
          h("td", { class: "gauge-cell" }, gauge(t.psi, limits, t.verdict)), h("td", { class: `n ${of}` }, psi(t.psi)), h("td", {}, t.learning ? h("span", { class: "muted" }, `learning: ${count(t.learning.rows)} of ${count(t.learning.wanted)} rows`) : graded(of)),
          h("td", { class: "n" }, t.features_red || h("span", { class: "muted" }, "0")), h("td", { class: "n" }, t.features_amber || h("span", { class: "muted" }, "0")),
          h("td", { class: "n" }, count(t.requests)), h("td", { class: "when" }, `${age(t.last_request_at, serverNow())} ago`));
      })))), more > 0 && h("p", { class: "muted" }, `${count(more)} further tenants: search for them.`)];
  }

  return {
    element,
    /** @param {any} over */
    update(over) {
      model = over.models.find((/** @type {any} */ m) => m.model === model.model) ?? model;
      if (!bar.contains(document.activeElement)) filterBar();
    },
    /** @param {AbortSignal} signal */
    async load(signal) {
      told = await get(ofModel(model.model, "tenants"), { version: at.version, lane: at.lane, feature: at.feature }, signal);
      draw();
      const feature = at.feature || worstOf(told);
      patch(about, "PSI ", feature && ["of ", name(feature), " "], "by tenant and time");
      if (!feature) return heat.say("No tenant has been measured.");
      const grid = await get(ofModel(model.model, "grid"), { metric: "psi", by: "tenant", feature, version: told.version, lane: at.lane, ...between(at.range), steps: 96, fit: true }, signal);
      drawHeat(heat, grid, live.overview.limits);
    },
    dispose: heat.dispose,
  };
}

/** The feature that the worst of the tenants drifts in. @param {any} told @returns {string} */
function worstOf(told) {
  const sorted = [...told.tenants].sort((/** @type {any} */ a, /** @type {any} */ b) => (b.psi ?? -1) - (a.psi ?? -1));
  return sorted[0]?.feature ?? "";
}

/** @param {any} heat @param {any} grid @param {any} limits */
function drawHeat(heat, grid, limits) {
  const rows = grid.rows.slice(0, 60);
  if (!rows.length) return heat.say("Nothing is stored for this choice and range.");
  heat.element.style.setProperty("--rows", String(Math.max(4, rows.length)));
  const times = Array.from({ length: grid.steps }, (_, i) => Date.parse(grid.start) + i * grid.step_seconds * 1000);
  heat.show((/** @type {Record<string, string>} */ c) => ({
    grid: { left: 8, right: 8, top: 4, bottom: 4, containLabel: true },
    xAxis: { type: "category", data: times, axisLine: { show: false }, axisTick: { show: false }, axisLabel: { color: c.muted, interval: Math.ceil(grid.steps / 8) - 1, hideOverlap: true, formatter: (/** @type {string} */ t) => short(Number(t), grid.step_seconds) } },
    yAxis: { type: "category", inverse: true, data: rows.map((/** @type {any} */ r) => plain(r.tenant, 40)), axisLine: { show: false }, axisTick: { show: false }, axisLabel: { color: c.text, width: 150, overflow: "truncate", interval: 0 } },
    visualMap: { show: false, type: "piecewise", dimension: 2, pieces: pieces(c, "psi", limits) },
    tooltip: tooltip(c, "item", (p) => ({ title: plain(rows[p.value[1]].tenant, 80), lines: [[p.color, moment(times[p.value[0]]), psi(p.value[2])]] })),
    series: [{ type: "heatmap", progressive: 0, data: rows.flatMap((/** @type {any} */ r, /** @type {number} */ y) => points(grid, r.values).flatMap(([, v], x) => (v === null ? [] : [[x, y, v]]))), itemStyle: { borderColor: c.panel, borderWidth: 1 } }],
  }));
}
