// Nothing moves without a word about what will happen, and a second click.

import { ApiError, keepToken, post, token } from "./api.js";
import { h } from "./dom.js";
import { live } from "./live.js";

/**
 * Asks, then does it. What goes wrong is shown where it was asked.
 * @param {object} ask
 * @param {string} ask.title
 * @param {any} ask.what what will happen, as elements or text
 * @param {string} ask.verb on the button
 * @param {boolean} [ask.danger]
 * @param {boolean} [ask.reason] whether a reason is asked for
 * @param {(reason: string) => Promise<any>} ask.act
 * @param {Element | null} [ask.extra] further fields
 * @returns {Promise<boolean>} whether it was done
 */
export function confirm({ title, what, verb, danger = false, reason = false, act, extra = null }) {
  return new Promise((resolve) => {
    const why = h("input", { id: "why", maxlength: 500, autocomplete: "off", placeholder: "for the audit trail" });
    const wrong = h("p", { class: "wrong", role: "alert" });
    const yes = h("button", { type: "submit", class: danger ? "primary danger" : "primary" }, verb);
    const no = h("button", { type: "button", onclick: () => dialog.close() }, "Cancel");
    let done = false;
    const form = h("form", {
      onsubmit: async (/** @type {Event} */ event) => {
        event.preventDefault();
        yes.disabled = true;
        wrong.textContent = "";
        try {
          await act(why.value.trim());
          done = true;
          dialog.close();
        } catch (error) {
          wrong.textContent = said(error);
          yes.disabled = false;
        }
      },
    }, h("h2", { id: "asked" }, title), h("div", { class: "what" }, what), extra,
      reason && [h("label", { for: "why" }, "Reason"), why], wrong, h("div", { class: "buttons" }, no, yes));
    const dialog = h("dialog", { "aria-labelledby": "asked", onclose: () => { dialog.remove(); resolve(done); } }, form);
    document.body.append(dialog);
    dialog.showModal();
    (reason ? why : no).focus();
  });
}

/** What went wrong, for people. @param {any} error */
export function said(error) {
  if (error instanceof ApiError && error.status === 401) return "This needs the token of the configuration (`auth.token`). Enter it under “Token”.";
  return error instanceof Error ? error.message : String(error);
}

/** Whether changes would be refused for want of a token. */
export function locked() {
  return Boolean(live.overview?.token_required) && !token();
}

/** Asks for the token and tries it. */
export function askToken() {
  const field = h("input", { id: "token", type: "password", autocomplete: "off", required: true, spellcheck: "false" });
  const asked = confirm({
    title: token() ? "Change the token" : "Token",
    what: "Changes need the token of the configuration (auth.token). It is kept in this tab until it is closed.",
    verb: "Use it",
    extra: h("div", {}, h("label", { for: "token" }, "Token"), field),
    act: async () => {
      try {
        await post("/api/v1/token", {}, field.value.trim());
      } catch (error) {
        if (error instanceof ApiError && error.status === 401) throw new Error("That is not the configured token.");
        throw error;
      }
      keepToken(field.value.trim());
    },
  });
  field.focus();
  return asked;
}
