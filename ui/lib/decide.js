// What waits for a person: a rollback to approve or turn down, one that is advised, a hold to end.

import { ofModel, post } from "./api.js";
import { askToken, confirm, locked } from "./confirm.js";
import { h, name, plain, sentence } from "./dom.js";
import { moment, rate, span } from "./format.js";
import { live, serverNow } from "./live.js";

/** @typedef {(what: string, body: any) => (reason: string) => Promise<void>} Call */

/** Makes calls that change a model, and says so afterwards. @param {any} m @param {() => Promise<void>} [after] @returns {Call} */
export function caller(m, after) {
  return (what, body) => async (reason) => {
    await post(ofModel(m.model, what), "reason" in body ? { ...body, reason } : body);
    await after?.();
    dispatchEvent(new Event("changed"));
  };
}

/** Requests per second of a model's clients. @param {any} m */
export function clients(m) {
  return m.lanes.filter((/** @type {any} */ l) => l.lane === "prod").reduce((/** @type {number} */ sum, /** @type {any} */ l) => sum + l.per_second, 0);
}

/** The model as it is now, not as it was when a button was drawn. @param {any} m */
function newest(m) {
  return live.overview?.models.find((/** @type {any} */ one) => one.model === m.model) ?? m;
}

/** Asks for the token first where one is needed. @param {() => void} then */
async function unlocked(then) {
  if (!locked() || (await askToken())) then();
}

/** What a rollback does, in words. @param {any} m @param {string} from @param {string} to */
function moves(m, from, to) {
  return h("p", {}, "All traffic (", rate(clients(newest(m))), ") goes from ", name(from), " to ", name(to), " with the next request. Requests under way end where they are; none is lost.");
}

/** @param {any} m @param {Call} call */
export function askRollback(m, call) {
  return confirm({
    title: `Roll back ${plain(m.model, 60)}?`, verb: `Roll back to ${plain(m.stable, 40)}`, danger: true, reason: true, act: call("rollback", { reason: "" }),
    what: [moves(m, m.active, m.stable), h("p", { class: "muted" }, "Automatic rollback pauses for the cool-down. Promote undoes this.")],
  });
}

/** @param {any} m @param {Call} call */
function askApproval(m, call) {
  const p = m.proposal;
  return confirm({
    title: `Roll back ${plain(m.model, 60)}?`, verb: `Approve: roll back to ${plain(p.to, 40)}`, danger: true, reason: true, act: call("approve", { proposal: p.id, reason: "" }),
    what: [moves(m, p.from, p.to), h("p", { class: "muted" }, "Automatic rollback pauses for the cool-down. Promote undoes this.")],
  });
}

/** @param {any} m @param {Call} call */
function askRefusal(m, call) {
  const p = m.proposal;
  return confirm({
    title: `Leave ${plain(m.model, 60)} on ${plain(p.from, 40)}?`, verb: "Turn it down", reason: true, act: call("reject", { proposal: p.id, reason: "" }),
    what: [h("p", {}, "Clients go on getting ", name(p.from), ". The alerts that fire now do not ask again; new ones do."), h("p", { class: "muted" }, "A rollback by hand stays possible.")],
  });
}

/** @param {any} m @param {Call} call */
function askRelease(m, call) {
  return confirm({
    title: `Let ${plain(m.model, 60)} go?`, verb: "Release", reason: true, act: call("release", { reason: "" }),
    what: h("p", {}, m.mode === "automatic" && m.auto_rollback ? ["Critical alerts move its traffic again. One that fires already counts as well: it may roll back to ", name(m.stable), " at once."] : "Critical alerts count again, in the way its mode says."),
  });
}

/** What waits for a person, as a box; nothing where nothing does. @param {any} m @param {() => Promise<void>} [after] */
export function waiting(m, after) {
  const call = caller(m, after);
  return [m.hold && held(m, call), m.proposal ? proposal(m, call) : m.blocked === "recommended" && advised(m, call)];
}

/** Whether anything waits for a person. @param {any} m */
export function waits(m) {
  return Boolean(m.proposal) || m.blocked === "recommended";
}

/** @param {any} m @param {Call} call */
function proposal(m, call) {
  const p = m.proposal;
  const left = (Date.parse(p.expires_at) - serverNow()) / 1000;
  return box(["Roll back from ", name(p.from), " to ", name(p.to), "?"], "waits for approval", [
    h("p", {}, sentence(p.reason)),
    h("p", { class: "muted" }, `Proposed ${span((serverNow() - Date.parse(p.at)) / 1000)} ago. `, left > 0 ? `It can be approved for ${span(left)}, until ${moment(p.expires_at)}; without an answer clients go on getting ` : "Its time is up: clients go on getting ", name(p.from), "."),
  ], [
    h("button", { type: "button", onclick: () => unlocked(() => askRefusal(m, call)) }, "Turn down…"),
    h("button", { type: "button", class: "primary danger", disabled: Boolean(m.pending_decision) || Boolean(m.hold), title: m.hold ? "Somebody holds this model: release it first." : null, onclick: () => unlocked(() => askApproval(m, call)) }, "Approve…"),
  ]);
}

/** @param {any} m @param {Call} call */
function advised(m, call) {
  return box(["Roll back from ", name(m.active), " to ", name(m.stable), "?"], "advised", [
    h("p", {}, sentence(m.health.text)),
    h("p", { class: "muted" }, "The mode is recommend: nothing moves by itself."),
  ], [h("button", { type: "button", class: "primary danger", disabled: Boolean(m.pending_decision), onclick: () => unlocked(() => askRollback(m, call)) }, "Roll back…")]);
}

/** @param {any} m @param {Call} call */
function held(m, call) {
  return box([name(m.hold.by), " holds it on ", name(m.active)], "held", [
    h("p", {}, name(m.hold.reason, "long")),
    h("p", { class: "muted" }, `Since ${moment(m.hold.since)}`, m.hold.until ? `, until ${moment(m.hold.until)}` : ", until somebody releases it", ". No alert moves its traffic; people may."),
  ], [h("button", { type: "button", onclick: () => unlocked(() => askRelease(m, call)) }, "Release…")]);
}

/** @param {any} title @param {string} tag @param {any} text @param {any[]} buttons */
function box(title, tag, text, buttons) {
  return h("section", { class: "panel ask" }, h("div", {}, h("h2", {}, title, " ", h("span", { class: "tag new" }, tag)), text), h("div", { class: "buttons" }, buttons));
}
