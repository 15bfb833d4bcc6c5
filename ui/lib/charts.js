// Charts: Apache ECharts in the page's colours, with tooltips made of elements, not of markup.

import { h, LOADING, plain } from "./dom.js";
import { moment, percent } from "./format.js";

/** What draws; null until it is there. The page comes first: whoever reads its numbers does not wait for the pictures. */
/** @type {null | typeof import("/ui/vendor/echarts.mjs")} */
let echarts = null;

/** @type {Promise<void>} */
const loaded = import("/ui/vendor/echarts.mjs").then((library) => { echarts = library; });

/** Points drawn without a symbol on each. */
const FEW = 3;

/** @returns {Record<string, string>} the page's colours as they are now, light or dark */
export function colours() {
  const style = getComputedStyle(document.documentElement);
  /** @type {Record<string, string>} */
  const out = {};
  for (const key of ["text", "muted", "line", "panel", "raised", "prod", "shadow", "other", "reference", "amber", "red", "deep", "ok", "cool0", "cool1", "cool2", "cool3", "quiet", "amber-fill", "red-fill", "deep-fill"]) {
    out[key] = style.getPropertyValue(`--${key}`).trim();
  }
  return out;
}

/** Colours of series that are neither the active version nor its shadow. */
export const PALETTE = ["prod", "shadow", "other", "ok", "amber", "muted"];

/**
 * A chart that follows its box, the theme and its data, and goes with `dispose`.
 * @param {string} label what a screen reader says
 * @param {string} [kind] class for the height
 */
export function chart(label, kind = "") {
  const host = h("div", { class: "canvas" });
  const message = h("p", { class: "empty message" }, LOADING);
  const box = h("div", { class: `chart ${kind}`, role: "img", "aria-label": plain(label) }, host, message);
  /** @type {any} */
  let instance = null;
  /** @type {null | ((c: Record<string, string>) => any)} */
  let options = null;
  /** @type {Array<[string, (event: any) => void]>} */
  const listeners = [];

  /** What is drawn now: width and height. */
  let size = "";

  function draw() {
    if (!echarts || !options) return;
    message.textContent = "";
    message.classList.remove("wrong");
    if (!host.clientWidth || !host.clientHeight) return;
    size = measure();
    if (!instance) {
      instance = echarts.init(host, null, { renderer: "canvas" });
      for (const [event, listener] of listeners) instance.on(event, listener);
    }
    instance.setOption({ ...base(colours()), ...options(colours()) }, { notMerge: true });
  }

  const measure = () => `${host.clientWidth} ${host.clientHeight}`;

  // It also speaks when it begins to observe, when there is nothing to change.
  const observer = new ResizeObserver(() => {
    if (!instance) draw();
    else if (size !== measure()) {
      size = measure();
      instance.resize();
    }
  });
  observer.observe(host);
  addEventListener("theme", draw);

  const self = {
    element: box,
    /** @param {(c: Record<string, string>) => any} make */
    show(make) {
      options = make;
      draw();
    },
    /** Says why there is nothing to see. @param {string} text @param {boolean} [bad] */
    say(text, bad = false) {
      options = null;
      instance?.clear();
      message.textContent = text;
      message.classList.toggle("wrong", bad);
    },
    /** @param {string} event @param {(event: any) => void} listener */
    on(event, listener) {
      listeners.push([event, listener]);
      instance?.on(event, listener);
    },
    dispose() {
      observer.disconnect();
      removeEventListener("theme", draw);
      instance?.dispose();
      instance = null;
      options = null;
    },
  };
  if (!echarts) loaded.then(draw, () => self.say("The charts could not be loaded. Reload the page to try again.", true));
  return self;
}

/** @param {Record<string, string>} c */
function base(c) {
  return {
    animation: false,
    textStyle: { fontFamily: "system-ui, sans-serif", color: c.muted, fontSize: 11 },
    grid: { left: 8, right: 14, top: 20, bottom: 4, containLabel: true },
  };
}

/**
 * A tooltip of lines with a colour, a name and a value each.
 * @param {Record<string, string>} c @param {"axis" | "item"} trigger
 * @param {(params: any) => null | { title: string, lines: Array<[string, string, string]> }} read
 */
export function tooltip(c, trigger, read) {
  return {
    trigger,
    confine: true,
    transitionDuration: 0,
    backgroundColor: c.raised,
    borderColor: c.line,
    textStyle: { color: c.text, fontSize: 12 },
    axisPointer: { type: "line", lineStyle: { color: c.muted, type: "dotted" } },
    formatter(/** @type {any} */ params) {
      const told = read(params);
      if (!told) return "";
      return h("div", { class: "tip" }, h("b", {}, told.title),
        told.lines.map(([colour, label, value]) => h("div", {}, h("i", { vars: { "--c": colour } }), h("span", {}, label), h("span", { class: "value" }, value))));
    },
  };
}

/** A time axis over a range. @param {Record<string, string>} c @param {number} from @param {number} to unix seconds */
export function timeAxis(c, from, to) {
  return {
    type: "time",
    min: from * 1000,
    max: to * 1000,
    axisLine: { lineStyle: { color: c.line } },
    axisTick: { show: false },
    splitLine: { show: false },
    splitNumber: 4,
    axisLabel: {
      color: c.muted,
      hideOverlap: true,
      formatter: to - from > 100_000 ? "{MM}-{dd} {HH}:{mm}" : to - from > 300 ? "{HH}:{mm}" : "{HH}:{mm}:{ss}",
    },
  };
}

/** A value axis. @param {Record<string, string>} c @param {(value: number) => string} format @param {any} [more] */
export function valueAxis(c, format, more = {}) {
  return {
    type: "value",
    min: 0,
    splitNumber: 3,
    axisLine: { show: false },
    splitLine: { lineStyle: { color: c.line, width: 1 } },
    axisLabel: { color: c.muted, formatter: format },
    ...more,
  };
}

/** An axis of shares that reach up to `top`: never beyond the whole. @param {Record<string, string>} c @param {number} top */
export function shareAxis(c, top) {
  return valueAxis(c, percent, top > 0.7 ? { max: 1, interval: 0.25 } : {});
}

/**
 * @param {{ label: string, colour: string, points: Array<[number, number | null]>, dashed?: boolean, area?: boolean, stack?: string }} of
 * @param {any} [more]
 */
export function line({ label, colour, points, dashed, area, stack }, more = {}) {
  return {
    type: "line",
    name: label,
    data: points,
    showSymbol: points.filter((p) => p[1] !== null).length <= FEW,
    symbolSize: 5,
    color: colour,
    lineStyle: { width: stack ? 1 : 2, type: dashed ? [6, 4] : "solid", color: colour },
    areaStyle: area ? { color: colour, opacity: stack ? 0.35 : 0.08 } : undefined,
    stack,
    connectNulls: false,
    ...more,
  };
}

/** Part of a range that a word beside a line needs. */
const WORD = 0.08;

/**
 * Horizontal limits and the moments of events, as lines on a chart. Words that would cover each other are left out.
 * @param {Array<{ y: number, colour: string, label: string }>} limits
 * @param {Array<{ at: string, colour: string, label: string }>} events
 * @param {{ from: number, to: number }} range
 */
export function marks(limits, events, range) {
  const length = (range.to - range.from) * 1000;
  const shown = events.filter((e) => Date.parse(e.at) >= range.from * 1000).sort((a, b) => (a.at < b.at ? 1 : -1));
  let last = Infinity;
  const lines = shown.map((e) => {
    const at = Date.parse(e.at);
    const room = last - at > length * WORD && e.label !== "alert";
    if (room) last = at;
    const right = at > range.to * 1000 - length * WORD;
    return { xAxis: at, lineStyle: { color: e.colour, type: "solid", width: e.label === "alert" ? 0.6 : 1.2 }, label: { show: room, formatter: e.label, position: "end", distance: 2, align: right ? "right" : "center", color: e.colour } };
  });
  return {
    silent: true,
    symbol: "none",
    animation: false,
    label: { fontSize: 10 },
    data: [
      ...limits.map((l, i) => ({ yAxis: l.y, lineStyle: { color: l.colour, type: "dashed", width: 1 }, label: { formatter: l.label, position: i % 2 ? "insideMiddleTop" : "insideStartTop", color: l.colour } })),
      ...lines,
    ],
  };
}

/** The rows of an axis tooltip. @param {any} params @param {(value: number) => string} format */
export function axisRows(params, format) {
  if (!Array.isArray(params) || !params.length) return null;
  const lines = params.filter((p) => p.value[1] !== null && p.value[1] !== undefined);
  return {
    title: moment(params[0].value[0]),
    lines: lines.map((p) => /** @type {[string, string, string]} */ ([p.color, plain(p.seriesName, 40), format(p.value[1])])),
  };
}

/** Points of a grid's row. @param {any} grid @param {Array<number | null>} values @returns {Array<[number, number | null]>} */
export function points(grid, values) {
  const start = Date.parse(grid.start);
  return values.map((v, i) => [start + i * grid.step_seconds * 1000, v]);
}
