// Control: what moves traffic, each with what will happen, and the trail of what did.

import { get, keepToken, post } from "../lib/api.js";
import { askToken, confirm, locked } from "../lib/confirm.js";
import { askRollback, caller, clients, waiting } from "../lib/decide.js";
import { fill, h, name, patch, plain, sentence } from "../lib/dom.js";
import { percentOf, rate } from "../lib/format.js";
import { live } from "../lib/live.js";
import { eventRow, merged, panel, pill, select, slot } from "../lib/parts.js";

/** Entries of the audit trail asked for at once. */
const PAGE = 50;

/** Entries kept on the page. */
const KEPT = 500;

/** @param {import("../lib/place.js").Place} _at @param {any} model */
export function control(_at, model) {
  const lock = h("div");
  const ask = h("div", { class: "page" });
  const head = h("div", { class: "verdict" });
  const controls = h("div", { class: "controls" });
  const trail = slot();
  const filterBar = h("div", { class: "filters" });
  const more = h("button", { type: "button", onclick: () => older() }, "Older entries");
  /** @type {any[]} */
  let events = [];
  let kind = "";
  let ended = false;
  let drawn = "";
  const element = h("div", { class: "page" }, lock, ask,
    h("section", { class: "panel" }, head, controls),
    panel("Audit trail", filterBar, trail, h("div", { class: "buttons" }, more)));

  function drawTrail() {
    const kinds = [...new Set(events.map((e) => e.kind))].sort();
    if (!filterBar.contains(document.activeElement)) {
      fill(filterBar, select("Show", kind, [["", "everything"], ...kinds.map((k) => /** @type {[string, string]} */ ([k, k]))], (k) => { kind = k; drawTrail(); }));
    }
    const rows = events.filter((e) => !kind || e.kind === kind);
    more.hidden = ended || events.length >= KEPT;
    patch(trail, rows.length ? h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Audit trail" }, h("table", { class: "events" },
      h("thead", {}, h("tr", {}, ["When", "What", "Model", "Why", "Who"].map((t) => h("th", { scope: "col" }, t)))),
      h("tbody", {}, merged(rows).map((e) => eventRow(e, true))))) : h("p", { class: "empty" }, "Nothing has happened yet."));
  }

  /** @param {AbortSignal} [signal] */
  async function newest(signal) {
    const told = await get("/api/v1/events", { limit: PAGE }, signal);
    const last = told.events.at(-1)?.id ?? 0;
    const kept = events.filter((e) => e.id < last);
    if (!kept.length) ended = told.events.length < PAGE && last <= 1;
    events = [...told.events, ...kept].slice(0, KEPT);
    drawTrail();
  }

  async function older() {
    const told = await get("/api/v1/events", { limit: PAGE, before: events.at(-1)?.id });
    if (!told.events.length) ended = true;
    events = [...events, ...told.events].slice(0, KEPT);
    drawTrail();
  }

  return {
    element,
    /** @param {any} over */
    update(over) {
      const m = over.models.find((/** @type {any} */ one) => one.model === model.model);
      if (!m) return;
      patch(head, h("h1", {}, name(m.model)), pill(m.health), h("p", {}, sentence(m.health.text)));
      patch(ask, waiting(m, () => newest()));
      const key = JSON.stringify([m.active, m.stable, m.configured_active, m.versions, m.shadow_percent, m.auto_rollback, m.mode, m.only_measured, m.pending_decision?.id, Boolean(m.hold), locked(), over.token_required]);
      // A field that somebody types into is left alone.
      if (key === drawn || controls.contains(document.activeElement) && document.activeElement?.tagName !== "BUTTON") return;
      drawn = key;
      fill(lock, lockNote(over));
      fill(controls, m.only_measured ? h("p", {}, "No traffic of this model goes through this instance: it is only measured here, so nothing can be moved.") : rows(m, () => newest()));
    },
    /** @param {AbortSignal} signal */
    async load(signal) {
      await newest(signal);
    },
  };
}

/** @param {any} over */
function lockNote(over) {
  if (!over.token_required) return null;
  return h("section", { class: "panel" }, h("div", { class: "filters" },
    locked() ? h("b", {}, "Changes need the token.") : h("span", {}, "The token is kept in this tab until it is closed."),
    locked() ? h("button", { type: "button", class: "primary", onclick: askToken }, "Enter the token") : h("button", { type: "button", onclick: () => keepToken("") }, "Forget the token")));
}

/** @param {any} m @param {() => Promise<void>} after */
function rows(m, after) {
  const requests = clients(m);
  const pending = Boolean(m.pending_decision);
  const call = caller(m, async () => {
    if (document.activeElement instanceof HTMLInputElement) document.activeElement.blur();
    await after();
  });
  return [rollbackRow(m, pending, call), promoteRow(m, requests, pending, call), autoRow(m, call), holdRow(m, call), shadowRow(m, call), reloadRow(after)];
}

/** @param {any} m @param {boolean} pending @param {any} call */
function rollbackRow(m, pending, call) {
  const done = m.active === m.stable;
  return row("Rollback", done ? ["The stable version ", name(m.stable), " is active already."] : ["Switches all traffic from ", name(m.active), " to the stable version ", name(m.stable), ".", m.target_trouble ? h("span", { class: "wrong" }, ` Careful: ${plain(m.target_trouble, 200)}.`) : ""],
    h("button", { type: "button", class: "plain-danger", disabled: done || pending, onclick: () => askRollback(m, call) }, `Roll back to ${plain(m.stable, 40)}…`));
}

/** @param {any} m @param {number} requests @param {boolean} pending @param {any} call */
function promoteRow(m, requests, pending, call) {
  const others = m.versions.filter((/** @type {string} */ v) => v !== m.active);
  const choice = h("select", { "aria-label": "Version to promote" }, others.map((/** @type {string} */ v) => h("option", { value: v, selected: v === m.configured_active }, plain(v, 40))));
  const verb = () => `Promote ${plain(choice.value, 40)}…`;
  const button = h("button", { type: "button", disabled: !others.length || pending, onclick: () => {
      const to = choice.value;
      confirm({
        title: `Promote ${plain(to, 40)}: ${plain(m.active, 40)} → ${plain(to, 40)}?`, verb: `Promote ${plain(to, 40)}`, reason: true, act: call("promote", { version: to, reason: "" }),
        what: [h("p", {}, "Clients (", rate(requests), ") get ", name(to), " instead of ", name(m.active), " with the next request", to === m.configured_active ? "; a configured split applies again." : "."),
          m.auto_rollback ? h("p", { class: "muted" }, "A critical alert about it rolls back to ", name(m.stable), " after the cool-down.") : h("p", { class: "wrong" }, "Automatic rollback is off: nothing takes this back by itself.")],
      });
    } }, verb());
  choice.addEventListener("change", () => { button.textContent = verb(); });
  return row("Promote", ["Switches all traffic to another version. The configuration wants ", name(m.configured_active), "."], choice, button);
}

/** What a critical alert does in each mode, while automatic rollback is on. @param {any} m */
function doesNow(m) {
  switch (m.mode) {
    case "observe": return "a DRY RUN (mode observe): a critical alert only says what it would do.";
    case "approve": return ["a critical alert proposes to send all traffic to ", name(m.stable), " and waits for somebody's approval."];
    case "recommend": return ["a critical alert advises to send all traffic to ", name(m.stable), "; somebody has to do it."];
    case "frozen": return "the mode is frozen: no alert moves anything.";
    default: return ["a critical alert sends all traffic to ", name(m.stable), " by itself."];
  }
}

/** @param {any} m @param {any} call */
function autoRow(m, call) {
  const on = m.auto_rollback;
  return row("Auto-rollback", on ? ["On: ", doesNow(m)] : ["Off: alerts are told, traffic stays where it is."],
    h("button", { type: "button", role: "switch", class: "switch", "aria-checked": String(on), "aria-label": "Automatic rollback", onclick: () => confirm({
      title: on ? `Switch automatic rollback of ${plain(m.model, 60)} off?` : `Switch automatic rollback of ${plain(m.model, 60)} on?`, verb: on ? "Switch off" : "Switch on", danger: on, act: call("auto-rollback", { enabled: !on }),
      what: on ? h("p", {}, "Critical alerts will no longer move traffic. Somebody has to watch and roll back by hand until it is on again.") : h("p", {}, "From now on ", doesNow(m), " An alert that fires already counts as well."),
    }) }));
}

/** How long a hold may last. */
const HOLDS = /** @type {Array<[string, string]>} */ ([["1800", "30 minutes"], ["7200", "2 hours"], ["28800", "8 hours"], ["", "until released"]]);

/** @param {any} m @param {any} call */
function holdRow(m, call) {
  const length = h("select", { "aria-label": "How long to hold" }, HOLDS.map(([v, text]) => h("option", { value: v, selected: v === "7200" }, text)));
  return row("Hold", m.hold ? ["It is held: no alert moves its traffic. Release it above."] : ["Keeps it on ", name(m.active), " whatever alerts fire, for a load test or planned work."],
    !m.hold && length, h("button", { type: "button", disabled: Boolean(m.hold), onclick: () => confirm({
      title: `Hold ${plain(m.model, 60)} on ${plain(m.active, 40)}?`, verb: "Hold it", danger: true, reason: true, act: call("hold", { ...(length.value ? { seconds: Number(length.value) } : {}), reason: "" }),
      what: h("p", {}, `Critical alerts do not move its traffic ${length.value ? `for ${HOLDS.find(([v]) => v === length.value)?.[1]}` : "until somebody releases it"}. They are still told; people can still roll back.`),
    }) }, "Hold…"));
}

/** @param {any} m @param {any} call */
function shadowRow(m, call) {
  const candidate = m.shadows?.find((/** @type {any} */ s) => s.role === "candidate");
  const field = h("input", { type: "number", min: 0, max: 100, step: "any", value: m.shadow_percent, required: true, "aria-label": "Share of copies in percent" });
  return row("Shadow share", candidate ? [percentOf(m.shadow_percent), " of requests are copied", candidate.version ? [" to ", name(candidate.version)] : " to the log", ". Clients never notice."] : ["This model has no shadow in the configuration."],
    h("form", { onsubmit: (/** @type {Event} */ event) => {
      event.preventDefault();
      const percent = Number(field.value);
      confirm({
        title: `Copy ${percentOf(percent)} of requests?`, verb: `Set ${percentOf(percent)}`, act: call("shadow", { percent }),
        what: h("p", {}, percent === 0 ? "No request is copied any more: prod and shadow are no longer compared." : [`${percentOf(percent)} instead of ${percentOf(m.shadow_percent)} of the requests are copied`, candidate?.version && [" to ", name(candidate.version)], ". What the shadow costs changes with it; what clients get does not."]),
      });
    } }, field, "%", h("button", { type: "submit", disabled: !candidate }, "Set…")));
}

/** @param {() => Promise<void>} after */
function reloadRow(after) {
  const file = live.overview.configuration.file;
  return row("Configuration", file ? ["Reads ", name(file), " again. A bad file leaves the present one in force."] : ["Started without a file: there is nothing to read again."],
    h("button", { type: "button", disabled: !file, onclick: () => confirm({
      title: "Read the configuration again?", verb: "Read it", act: async () => { await post("/api/v1/reload"); await after(); },
      what: h("p", {}, "What the file says now is put in force without dropping a request, if it has no problems."),
    }) }, "Reload…"));
}

/** @param {string} title @param {any} text @param {...any} act */
function row(title, text, ...act) {
  return h("div", {}, h("strong", {}, title), h("p", {}, text), h("div", { class: "act" }, act));
}
