// Overview: which model, since when, what was done already.

import { get, ofModel } from "../lib/api.js";
import { axisRows, chart, line, marks, PALETTE, points, timeAxis, tooltip, valueAxis } from "../lib/charts.js";
import { waiting } from "../lib/decide.js";
import { fill, h, name, patch, sentence } from "../lib/dom.js";
import { age, count, ms, percent, percentOf, psi, rate, span } from "../lib/format.js";
import { serverNow } from "../lib/live.js";
import { alertTable, eventRow, fact, gauge, grade, graded, key, link, merged, moments, panel, pill } from "../lib/parts.js";
import { address, between, go, since } from "../lib/place.js";

/** @param {import("../lib/place.js").Place} at @param {any} model */
export function overview(at, model) {
  const models = h("div");
  const ask = h("div", { class: "page" });
  const head = h("div");
  const worst = h("div");
  const latency = chart(`p95 latency of ${model.model} by version`, "mid");
  const traffic = chart(`requests per second of ${model.model} by version`, "mid");
  const keys = { latency: h("div", { class: "keys" }), traffic: h("div", { class: "keys" }) };
  const alerts = h("div");
  const events = h("div");
  const features = h("a", { href: address({ page: "drift", model: model.model }) }, "All features");
  const element = h("div", { class: "page" }, models, ask,
    h("section", { class: "panel model" }, head,
      h("div", { class: "three" },
        h("div", {}, h("header", {}, h("h3", {}, "PSI of the worst features"), features), worst),
        h("div", {}, h("header", {}, h("h3", {}, "Latency, p95"), keys.latency), latency.element),
        h("div", {}, h("header", {}, h("h3", {}, "Traffic"), keys.traffic), traffic.element))),
    h("div", { class: "two wide" },
      panel("Alerts", null, alerts),
      panel("Last events", h("a", { href: address({ page: "control" }) }, "Audit trail"), events)));
  /** @type {any} */
  let grids = null;
  /** @type {any} */
  let newest = null;

  function draw() {
    if (!grids || !newest) return;
    const range = since(between(at.range), grids.p95);
    const m = newest.models.find((/** @type {any} */ one) => one.model === model.model);
    if (!m) return;
    drawLatency(latency, keys.latency, grids.p95, m, newest, range);
    drawTraffic(traffic, keys.traffic, grids.rate, m, newest, range);
  }

  return {
    element,
    /** @param {any} over */
    update(over) {
      newest = over;
      const m = over.models.find((/** @type {any} */ one) => one.model === model.model);
      if (!m) return;
      patch(models, over.models.length > 1 && modelTable(over, model.model));
      patch(ask, waiting(m));
      patch(head, heading(m, over));
      patch(worst, worstList(m, over.limits));
      patch(alerts, alertTable(over.alerts, over.models));
      patch(events, eventList(over.events));
      draw();
    },
    /** @param {AbortSignal} signal */
    async load(signal) {
      const range = between(at.range);
      const ask = (/** @type {string} */ metric) => get(ofModel(model.model, "grid"), { metric, by: "version", ...range, steps: 180, fit: true }, signal);
      const [p95, perSecond] = await Promise.all([ask("p95_ms"), ask("requests_per_second")]);
      grids = { p95, rate: perSecond };
      draw();
    },
    dispose() {
      latency.dispose();
      traffic.dispose();
    },
  };
}

/** What a critical alert does in each mode, in a word or two. */
const MODES = /** @type {Record<string, string>} */ ({ automatic: "on", approve: "asks first", recommend: "advises", observe: "dry run", frozen: "frozen" });

/** @param {any} m @param {any} over */
function heading(m, over) {
  const now = serverNow();
  const active = lane(m, m.active, "prod");
  const shadow = m.lanes.find((/** @type {any} */ l) => l.lane === "shadow" && l.per_second > 0) ?? m.lanes.find((/** @type {any} */ l) => l.lane === "shadow");
  const requests = m.lanes.filter((/** @type {any} */ l) => l.lane === "prod").reduce((/** @type {number} */ sum, /** @type {any} */ l) => sum + l.per_second, 0);
  const copies = m.shadows?.find((/** @type {any} */ s) => s.role === "candidate");
  return [
    h("div", { class: "verdict" }, h("h1", {}, name(m.model)), pill(m.health),
      h("p", {}, sentence(m.health.text), m.health.since && h("span", { class: "muted" }, ` For ${age(m.health.since, now)}.`))),
    h("dl", { class: "facts" },
      m.only_measured
        ? fact("Measured version", name(m.measured_version), "no traffic passes here")
        : fact("Clients get", name(m.active), m.active === m.stable ? "the stable version" : h("span", {}, "stable is ", name(m.stable))),
      fact("Requests", rate(requests), `${count(m.requests)} in the window`),
      fact("Errors", percent(active?.error_rate ?? null), "of clients' requests", (active?.error_rate ?? 0) > 0.01 ? "bad" : ""),
      fact("p95 prod", ms(active?.p95_ms), `p99 ${ms(active?.p99_ms)}`, over.limits.p95_ms && active?.p95_ms > over.limits.p95_ms ? "bad" : ""),
      fact("p95 shadow", ms(shadow?.p95_ms), shadow ? name(shadow.version) : "no shadow"),
      fact("Copies", percentOf(m.shadow_percent), copies ? h("span", {}, !copies.version ? "logged only" : copies.version === m.active ? ["none now: ", name(copies.version), " answers clients"] : ["to ", name(copies.version)]) : "no shadow"),
      fact("Features", m.features.red ? `${m.features.red} red` : m.features.amber ? `${m.features.amber} amber` : m.features.total ? "all calm" : "–", m.features.total ? `of ${m.features.total}` : "none measured yet", m.features.red ? "bad" : m.features.amber ? "warn" : ""),
      m.tenants > 0 && fact("Red tenants", link({ page: "tenants", model: m.model }, `${m.tenants_red} of ${m.tenants}`), `${Math.min(over.limits.tenants_red, m.tenants)} make an alert`, m.tenants_red >= Math.min(over.limits.tenants_red, m.tenants) ? "bad" : ""),
      !m.only_measured && fact("Auto-rollback", m.auto_rollback ? MODES[m.mode] ?? m.mode : "off", m.hold ? "held by a person" : m.cooldown_until && Date.parse(m.cooldown_until) > now ? `cooling down for ${span((Date.parse(m.cooldown_until) - now) / 1000)}` : ["to ", name(m.stable)], m.auto_rollback && !m.hold && m.mode !== "observe" && m.mode !== "frozen" ? "" : "warn")),
  ];
}

/** @param {any} m @param {string} version @param {string} of */
function lane(m, version, of) {
  return m.lanes.find((/** @type {any} */ l) => l.version === (m.only_measured ? m.measured_version : version) && l.lane === of);
}

/** @param {any} m @param {any} limits */
function worstList(m, limits) {
  const shown = [
    m.worst.length ? gauges(m.model, "", m.worst, limits) : h("p", { class: "empty" }, notYet(m, limits)),
    m.before && before(m, limits),
  ];
  return [shown, (m.worst.length > 0 || m.before) && h("p", { class: "scale" }, `limits: amber ${limits.psi_amber}, red ${limits.psi_red}`)];
}

/** Why no feature has a value. @param {any} m @param {any} limits */
function notYet(m, limits) {
  if (m.reference?.state === "learning") return `Learning the reference: ${count(m.reference.rows)} of ${count(m.reference.wanted)} rows.`;
  const version = m.only_measured ? m.measured_version : m.active;
  if (m.before) return [name(version), ` has nothing in its window yet: it is judged from ${count(limits.min_requests + 1)} requests on.`];
  return "Nothing is measured yet. Features appear with the first requests.";
}

/** What was wrong with the version that clients had before, as long as the present one can't be judged. @param {any} m @param {any} limits */
function before(m, limits) {
  const b = m.before;
  return h("div", { class: "before" },
    h("h4", {}, name(b.version), ` when traffic left it, ${age(b.until, serverNow())} ago`),
    m.requests > 0 && h("p", { class: "muted" }, "The window of ", name(m.active), ` holds ${count(m.requests)} of ${count(m.window_size)} requests; it is judged from ${count(limits.min_requests + 1)} on.`),
    b.worst.length ? gauges(m.model, b.version, b.worst, limits) : h("p", { class: "empty" }, "Its window is gone."));
}

/** @param {string} model @param {string} version whose features they are; empty for the one that clients get @param {any[]} features @param {any} limits */
function gauges(model, version, features, limits) {
  return h("ol", { class: "worst" }, features.map((f) => {
    const of = grade(f.psi, limits, f.verdict);
    return h("li", {}, link({ page: "drift", model, feature: f.feature, tenant: "", version, lane: "", reference: "" }, name(f.feature)),
      gauge(f.psi, limits, f.verdict), h("span", { class: `n ${of}` }, psi(f.psi)), graded(of));
  }));
}

/** @param {any} over @param {string} chosen */
function modelTable(over, chosen) {
  return panel("Models", null, h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Models" }, h("table", { class: "models" },
    h("thead", {}, h("tr", {}, ["Model", "State", "Clients get", "Requests", "Errors", "p95", "Worst feature", "Alerts"].map((t) => h("th", { scope: "col" }, t)))),
    h("tbody", {}, over.models.map((/** @type {any} */ m) => {
      const active = lane(m, m.active, "prod");
      const worst = m.worst[0];
      return h("tr", { class: m.model === chosen ? "chosen" : "", onclick: () => go({ model: m.model }) },
        h("td", {}, link({ model: m.model }, name(m.model))), h("td", {}, pill(m.health)), h("td", {}, name(m.active)),
        h("td", {}, rate(active?.per_second ?? 0)), h("td", {}, percent(active?.error_rate ?? null)), h("td", {}, ms(active?.p95_ms)),
        h("td", {}, worst ? [name(worst.feature), " ", psi(worst.psi)] : "–"), h("td", {}, m.alerts.firing ? `${m.alerts.firing} firing` : m.alerts.pending ? `${m.alerts.pending} pending` : "none"));
    })))));
}

/** @param {any[]} events */
function eventList(events) {
  if (!events.length) return h("p", { class: "empty" }, "Nothing has happened yet.");
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Last events" }, h("table", { class: "events" },
    h("thead", {}, h("tr", {}, ["Ago", "What", "Why", "Who"].map((t) => h("th", { scope: "col" }, t)))),
    h("tbody", {}, merged(events).slice(0, 10).map((e) => eventRow(e, false)))));
}

/** The colour of a version's line. @param {any} row @param {number} at */
export function colourOf(row, at) {
  return row.lane === "shadow" ? "shadow" : at === 0 ? "prod" : PALETTE[2 + ((at - 1) % (PALETTE.length - 2))];
}

/** Rows in a steady order, whatever their values: prod before shadow, the active version first. @param {any} grid @param {any} m */
export function ordered(grid, m) {
  const rank = (/** @type {any} */ r) => (r.lane === "shadow" ? 1000 : 0) + Math.max(0, r.version === m.configured_active ? 0 : 1 + m.versions.indexOf(r.version));
  return [...grid.rows].sort((a, b) => rank(a) - rank(b));
}

/** @param {any} over @param {any} m @param {any} row @param {string} field */
function nowOf(over, m, row, field) {
  const l = m.lanes.find((/** @type {any} */ one) => one.version === row.version && one.lane === row.lane);
  return /** @type {[number, number | null]} */ ([Date.parse(over.at), l?.[field] ?? null]);
}

/** @param {any} where @param {Element} keys @param {any} grid @param {any} m @param {any} over @param {{from: number, to: number}} range */
export function drawLatency(where, keys, grid, m, over, range) {
  const rows = ordered(grid, m);
  fill(keys, rows.map((r, i) => key(colourOf(r, i), [name(r.version), ` ${r.lane}`], r.lane === "shadow")));
  if (!rows.length) return where.say("No latencies in this range yet. The first point comes within 15 seconds of traffic.");
  const limit = over.limits.p95_ms;
  where.show((/** @type {Record<string, string>} */ c) => {
    const series = rows.map((r, i) => line({ label: `${r.version} ${r.lane}`, colour: c[colourOf(r, i)], points: [...points(grid, r.values).filter((p) => p[1] !== null || grid.steps > 60), nowOf(over, m, r, "p95_ms")], dashed: r.lane === "shadow" }));
    const top = Math.max(...rows.flatMap((r) => r.values.map((/** @type {number | null} */ v) => v ?? 0)));
    const limits = limit && top > limit * 0.3 ? [{ y: limit, colour: c.red, label: `limit ${limit} ms` }] : [];
    if (series[0]) series[0].markLine = marks(limits, moments(over.events, m.model, c).filter((e) => e.label !== "alert"), range);
    return {
      xAxis: timeAxis(c, range.from, range.to),
      yAxis: valueAxis(c, ms),
      tooltip: tooltip(c, "axis", (p) => axisRows(p, ms)),
      series,
    };
  });
}

/** @param {any} where @param {Element} keys @param {any} grid @param {any} m @param {any} over @param {{from: number, to: number}} range */
export function drawTraffic(where, keys, grid, m, over, range) {
  const rows = ordered(grid, m);
  const prod = rows.filter((r) => r.lane === "prod").reduce((sum, r) => sum + (nowOf(over, m, r, "per_second")[1] ?? 0), 0);
  fill(keys, rows.map((r, i) => {
    const now = nowOf(over, m, r, "per_second")[1] ?? 0;
    return key(colourOf(r, i), [name(r.version), r.lane === "shadow" ? " copies " : " ", prod > 0 ? percent(now / prod) : "–"], r.lane === "shadow");
  }));
  if (!rows.length) return where.say("No traffic in this range yet.");
  where.show((/** @type {Record<string, string>} */ c) => {
    const series = rows.map((r, i) => line({
      label: `${r.version} ${r.lane}`,
      colour: c[colourOf(r, i)],
      points: [...points(grid, r.values).map((p) => /** @type {[number, number | null]} */ ([p[0], p[1] ?? (any(grid, p[0]) ? 0 : null)])), nowOf(over, m, r, "per_second")],
      dashed: r.lane === "shadow",
      area: r.lane === "prod",
      stack: r.lane === "prod" ? "prod" : undefined,
    }));
    if (series[0]) series[0].markLine = marks([], moments(over.events, m.model, c).filter((e) => e.label !== "alert"), range);
    return {
      xAxis: timeAxis(c, range.from, range.to),
      yAxis: valueAxis(c, (v) => `${Number(v.toFixed(1))}/s`),
      tooltip: tooltip(c, "axis", (p) => axisRows(p, rate)),
      series,
    };
  });
}

/** Whether any version has a value at that time: then none of another is zero. @param {any} grid @param {number} at */
function any(grid, at) {
  const i = Math.round((at - Date.parse(grid.start)) / (grid.step_seconds * 1000));
  return grid.rows.some((/** @type {any} */ r) => r.values[i] !== null);
}
