// Elements from data. Text is only ever text: nothing in the dashboard reads markup.

/** What stands where something is still to come. */
export const LOADING = "Loading…";

/** Characters of a name from outside that are put into the page. */
const NAME_CHARS = 160;

/** Characters that would turn the direction of what stands beside them, or show nothing at all. */
// eslint-disable-next-line no-control-regex
const HIDDEN = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g;

/**
 * Makes an element. `on…` are listeners, `vars` custom properties, `false`, `null` and `undefined` leave an attribute out.
 * @param {string} tag
 * @param {Record<string, any>} [attributes]
 * @param {...any} children elements, text, numbers, lists of those; null, undefined and false are nothing
 * @returns {any}
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) /** @type {any} */ (element)[name] = value;
    else if (name === "vars") for (const [key, v] of Object.entries(value)) element.style.setProperty(key, String(v));
    else if (name in PROPERTIES) /** @type {any} */ (element)[name] = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  put(element, children);
  return element;
}

/** Listeners that elements of ours may have. Properties, so that one takes the place of another. */
const LISTENERS = ["onclick", "onchange", "oninput", "onsubmit", "onclose", "ontoggle"];

/** Attributes that only work as properties. */
const PROPERTIES = { value: 1, checked: 1, disabled: 1, selected: 1 };

/** @param {Node} parent @param {any} child */
function put(parent, child) {
  if (child === undefined || child === null || child === false) return;
  if (Array.isArray(child)) for (const one of child) put(parent, one);
  else parent.appendChild(child instanceof Node ? child : document.createTextNode(String(child)));
}

/**
 * Shows these children and no others.
 * @param {Element} parent @param {...any} children
 */
export function fill(parent, ...children) {
  parent.replaceChildren();
  put(parent, children);
}

/**
 * The same, but what is there already is changed instead of replaced: what is focused, selected or scrolled stays so. For
 * whatever is shown again and again; not for fields, whose content belongs to whoever types, nor for charts.
 * @param {Element} parent @param {...any} children
 */
export function patch(parent, ...children) {
  const next = document.createDocumentFragment();
  put(next, children);
  become(parent, next);
}

/** @param {Node} old @param {Node} next whose children are used up */
function become(old, next) {
  let at = old.firstChild;
  let from = next.firstChild;
  while (from) {
    const following = from.nextSibling;
    if (!at) old.appendChild(from);
    else {
      const after = at.nextSibling;
      if (!alike(at, from)) old.replaceChild(from, at);
      at = after;
    }
    from = following;
  }
  while (at) {
    const after = at.nextSibling;
    at.remove();
    at = after;
  }
}

/** Makes one node like another, if it can be. @param {any} old @param {any} next */
function alike(old, next) {
  if (old.nodeType !== next.nodeType || old.nodeName !== next.nodeName) return false;
  if (!(old instanceof HTMLElement)) {
    if (old.data !== next.data) old.data = next.data;
    return true;
  }
  for (const { name } of [...old.attributes]) if (!next.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of next.attributes) {
    if (old.getAttribute(name) === value) continue;
    // The policy of the page allows no style as an attribute.
    if (name === "style") old.style.cssText = next.style.cssText;
    else old.setAttribute(name, value);
  }
  for (const listener of LISTENERS) /** @type {any} */ (old)[listener] = next[listener];
  become(old, next);
  return true;
}

/**
 * A name from outside as plain, short text: what would hide or turn text is shown by its code.
 * @param {any} text @param {number} [chars]
 */
export function plain(text, chars = NAME_CHARS) {
  const whole = String(text ?? "");
  const cut = whole.length > chars ? whole.slice(0, chars) + "…" : whole;
  return cut.replace(HIDDEN, (c) => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));
}

/** A sentence of the server: what stands between backticks in it are names. @param {any} text */
export function sentence(text) {
  const parts = plain(text, 600).split(/`([^`]*)`/);
  return h("span", { class: "name long" }, parts.map((part, i) => (i % 2 ? h("bdi", { class: "quoted" }, part) : part)));
}

/** A name from outside, kept apart from the text around it. @param {any} text @param {string} [kind] */
export function name(text, kind = "") {
  return h("bdi", { class: "name " + kind, title: plain(text, 500) }, plain(text));
}
