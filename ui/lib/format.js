// Numbers and times for people, with their units.

const GROUPS = new Intl.NumberFormat("en", { maximumFractionDigits: 0, useGrouping: true });

/** A count with thin groups. @param {number | null | undefined} n */
export function count(n) {
  return n === null || n === undefined ? "–" : GROUPS.format(n).replaceAll(",", "\u202f");
}

/** PSI or JS. @param {number | null | undefined} value */
export function psi(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (value >= 100) return value.toFixed(0);
  return value >= 10 ? value.toFixed(1) : value >= 1 ? value.toFixed(2) : value.toFixed(3);
}

/** Milliseconds. @param {number | null | undefined} value */
export function ms(value) {
  if (value === null || value === undefined) return "–";
  if (value === 0) return "0 ms";
  if (value >= 10_000) return `${(value / 1000).toFixed(0)} s`;
  if (value >= 1000) return `${(value / 1000).toFixed(1)} s`;
  return `${value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2)} ms`;
}

/** A share of one. @param {number | null | undefined} value */
export function percent(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const p = value * 100;
  if (p === 0 || p === 100) return `${p} %`;
  if (p < 0.01) return "<0.01 %";
  return `${p < 1 ? p.toFixed(2) : p < 10 ? p.toFixed(1) : p.toFixed(0)} %`;
}

/** A share that is given in percent. @param {number | null | undefined} value */
export function percentOf(value) {
  return value === null || value === undefined ? "–" : `${Number(value.toFixed(3))} %`;
}

/** Requests per second. @param {number | null | undefined} value */
export function rate(value) {
  if (value === null || value === undefined) return "–";
  return `${value >= 100 ? count(value) : value >= 10 ? value.toFixed(0) : value.toFixed(value === 0 ? 0 : 1)} req/s`;
}

/** Any number, four places. @param {number | null | undefined} value */
export function number(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  return Math.abs(value) >= 1e6 || (value !== 0 && Math.abs(value) < 1e-3) ? value.toExponential(2) : String(Number(value.toPrecision(4)));
}

/** How long. @param {number} seconds */
export function span(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86_400)} d ${Math.floor((s % 86_400) / 3600)} h`;
}

/** How long ago, by the server's clock. @param {string | null | undefined} at @param {number} now */
export function age(at, now) {
  return at ? span((now - Date.parse(at)) / 1000) : "–";
}

/** @param {number} n */
const two = (n) => String(n).padStart(2, "0");

/** A moment: the time today, else with its date. @param {string | number} at */
export function moment(at) {
  const d = new Date(at);
  const time = `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
  return d.toDateString() === new Date().toDateString() ? time : `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())} ${time}`;
}

/** A count with its noun. @param {number} n @param {string} noun @param {string} [several] */
export function some(n, noun, several = `${noun}s`) {
  return `${count(n)} ${n === 1 ? noun : several}`;
}
