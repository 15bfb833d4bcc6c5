// Calls of the admin API. The token lives in this tab's session and nowhere else.

const KEY = "driftline-token";

/** How long a call may take, milliseconds. */
const PATIENCE = 15_000;

/** A call that was refused, in the server's words. */
export class ApiError extends Error {
  /** @param {number} status @param {string} code @param {string} message */
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

export function token() {
  return sessionStorage.getItem(KEY) ?? "";
}

/** @param {string} value empty forgets it */
export function keepToken(value) {
  if (value) sessionStorage.setItem(KEY, value);
  else sessionStorage.removeItem(KEY);
  dispatchEvent(new Event("token"));
}

/** @param {string} model @param {string} what */
export function ofModel(model, what) {
  return `/api/v1/models/${encodeURIComponent(model)}/${what}`;
}

/**
 * @param {string} path @param {Record<string, any>} [params] empty ones are left out
 * @param {AbortSignal} [signal]
 * @returns {Promise<any>}
 */
export async function get(path, params = {}, signal) {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(params)) {
    if (value !== undefined && value !== null && value !== "") query.set(key, String(value));
  }
  const text = query.toString();
  return answer(await call(text ? `${path}?${text}` : path, { signal }));
}

/** @param {string} path @param {any} [body] @param {string} [as] a token that is only tried @returns {Promise<any>} */
export async function post(path, body = {}, as = token()) {
  /** @type {Record<string, string>} */
  const headers = { "content-type": "application/json" };
  if (as) headers.authorization = `Bearer ${as}`;
  return answer(await call(path, { method: "POST", headers, body: JSON.stringify(body) }));
}

/** @param {string} path @param {RequestInit} options */
async function call(path, options) {
  const signals = [AbortSignal.timeout(PATIENCE)];
  if (options.signal) signals.push(options.signal);
  try {
    return await fetch(path, { ...options, signal: AbortSignal.any(signals) });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    const late = error instanceof DOMException && error.name === "TimeoutError";
    throw new ApiError(0, "unreachable", late ? "The instance did not answer in 15 s." : "The instance cannot be reached.");
  }
}

/** @param {Response} response */
async function answer(response) {
  const body = await response.json().catch(() => null);
  if (response.ok && body !== null) return body;
  const error = body?.error;
  throw new ApiError(response.status, error?.code ?? "unexpected", error?.message ?? `The answer has status ${response.status}.`);
}
