// Where the reader is. All of it stands in the address, so that a link brings somebody else to the same picture.

/** Ranges of time and their length in seconds. */
export const RANGES = /** @type {Record<string, [string, number]>} */ ({
  "15m": ["15 minutes", 900],
  "1h": ["1 hour", 3600],
  "6h": ["6 hours", 21_600],
  "24h": ["24 hours", 86_400],
  "7d": ["7 days", 604_800],
  "30d": ["30 days", 2_592_000],
});

/** Pages and their names. */
export const PAGES = /** @type {Record<string, string>} */ ({
  overview: "Overview",
  drift: "Drift",
  tenants: "Tenants",
  lanes: "Prod and shadow",
  control: "Control",
});

const KEYS = ["page", "model", "feature", "tenant", "version", "lane", "reference", "metric", "range"];

/** @typedef {Record<string, string>} Place */

/** The place that the address names; what it names wrongly is left out. @returns {Place} */
export function place() {
  const query = new URLSearchParams(location.search);
  /** @type {Place} */
  const out = {};
  for (const key of KEYS) out[key] = query.get(key) ?? "";
  if (!(out.page in PAGES)) out.page = out.feature ? "drift" : "overview";
  if (!(out.range in RANGES)) out.range = "1h";
  if (out.lane !== "shadow") out.lane = "prod";
  if (out.metric !== "js_divergence") out.metric = "psi";
  if (out.reference !== "prod") out.reference = "baseline";
  return out;
}

/** What need not stand in an address. */
const USUAL = /** @type {Place} */ ({ page: "overview", range: "1h", lane: "prod", metric: "psi", reference: "baseline" });

/** The address of a place; what is not named stays. @param {Partial<Place>} changes */
export function address(changes) {
  const next = { ...place(), ...changes };
  const query = new URLSearchParams();
  for (const key of KEYS) if (next[key] && next[key] !== USUAL[key]) query.set(key, String(next[key]));
  const text = query.toString();
  return text ? `/?${text}` : "/";
}

/** Another page of the same model, without its filters. @param {string} page */
export function pageAddress(page) {
  return address({ page, feature: "", tenant: "", version: "", lane: "", reference: "", metric: "" });
}

/** Goes there. @param {Partial<Place>} changes @param {boolean} [replace] */
export function go(changes, replace = false) {
  const to = address(changes);
  if (replace) history.replaceState(null, "", to);
  else history.pushState(null, "", to);
  dispatchEvent(new Event("place"));
}

/** From when to when the range goes, unix seconds. @param {string} range */
export function between(range) {
  const to = Math.floor(Date.now() / 1000);
  return { from: to - RANGES[range][1], to };
}

/** A range without the time before a grid that was fitted to the history. @param {{ from: number, to: number }} range @param {any} grid */
export function since(range, grid) {
  return { ...range, from: Math.max(range.from, Date.parse(grid.start) / 1000) };
}
