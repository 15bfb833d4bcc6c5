// The newest overview, pushed by the server. Nothing is kept but the newest, however long the page is open.

/** No news for this long is stale, milliseconds. */
const STALE = 7_000;

/** Longest wait before asking again, milliseconds. */
const RETRY_MAX = 15_000;

/**
 * @typedef {object} Live
 * @property {any} overview the newest, or null before the first
 * @property {"connecting" | "live" | "stale"} state
 * @property {number} heard when it came, by this machine's clock
 */

/** @type {Live} */
export const live = { overview: null, state: "connecting", heard: 0 };

/** Now by the server's clock, so that ages are right on a machine whose own is wrong. */
export function serverNow() {
  return live.overview ? Date.parse(live.overview.at) + (Date.now() - live.heard) : Date.now();
}

/** @param {(live: Live) => void} changed called with every message and every change of state */
export function listen(changed) {
  /** @type {EventSource | null} */
  let source = null;
  let retry = 1000;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let again;

  function connect() {
    source?.close();
    source = new EventSource("/api/v1/stream");
    source.addEventListener("overview", (event) => {
      retry = 1000;
      const next = JSON.parse(event.data);
      // Another program answers now: its files may be others as well.
      if (live.overview && live.overview.version !== next.version) return location.reload();
      live.overview = next;
      live.heard = Date.now();
      live.state = "live";
      changed(live);
    });
    source.addEventListener("error", () => {
      // The browser tries again by itself after a broken connection, but not after a refusal.
      if (source?.readyState !== EventSource.CLOSED) return;
      clearTimeout(again);
      again = setTimeout(connect, retry);
      retry = Math.min(retry * 2, RETRY_MAX);
    });
  }

  setInterval(() => {
    const stale = Date.now() - (live.heard || opened) > STALE;
    if (stale && live.state !== "stale") live.state = "stale";
    if (live.state === "stale") changed(live);
  }, 1000);
  const opened = Date.now();
  connect();
}
