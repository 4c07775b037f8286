// @ts-check
/**
 * Calls of the admin API. The session's cookie goes along by itself; the token is seen by `signIn` alone,
 * and kept nowhere.
 */

/** @import { Session } from "./contract.d.ts" */

const TIMEOUT_MS = 30_000;

/** An answer that is not a success, or none: then `status` is 0 and `code` is `unreachable`. */
export class ApiProblem extends Error {
  /** @param {number} status @param {Readonly<Record<string, unknown>>} body @param {number | undefined} retryAfterSec */
  constructor(status, body, retryAfterSec) {
    const code = typeof body["code"] === "string" ? body["code"] : `http_${status}`;
    const detail = [body["detail"], body["reason"], body["title"]].find((part) => typeof part === "string") ?? code;
    super(detail);
    this.status = status;
    this.code = code;
    this.body = body;
    this.retryAfterSec = retryAfterSec;
  }
}

/** @typedef {{ query?: Readonly<Record<string, string | undefined>>, json?: unknown, body?: BodyInit, signal?: AbortSignal, timeoutMs?: number }} CallOptions */

export class AdminApi {
  /** Called when an answer says that the session is over. */
  onSignedOut = () => {};
  /** What has to be added to this machine's clock to have the service's, as far as answers tell; whole seconds. */
  clockOffsetMs = 0;

  /** @param {string} path @param {CallOptions} [options] @returns {Promise<any>} */
  get(path, options) {
    return this.#call("GET", path, options);
  }

  /** @param {string} path @param {CallOptions} [options] @returns {Promise<any>} */
  post(path, options) {
    return this.#call("POST", path, options);
  }

  /** @param {string} path @param {CallOptions} [options] @returns {Promise<any>} */
  delete(path, options) {
    return this.#call("DELETE", path, options);
  }

  /** For answers that are read as they come. @param {string} path @param {CallOptions} [options] */
  async open(path, options = {}) {
    const response = await this.#fetch("GET", path, { ...options, timeoutMs: 0 });
    if (!response.ok) throw await this.#refusal(response);
    return response;
  }

  /** @returns {Promise<Session | undefined>} who is signed in */
  async session() {
    const response = await this.#fetch("GET", "session");
    if (response.status === 401) return undefined;
    if (!response.ok) throw await readProblem(response);
    return response.json();
  }

  async signIn(/** @type {string} */ token) {
    const response = await this.#fetch("POST", "session", {}, { Authorization: `Bearer ${token}` });
    if (!response.ok) throw await readProblem(response);
  }

  async signOut() {
    const response = await this.#fetch("DELETE", "session");
    if (!response.ok && response.status !== 401) throw await readProblem(response);
  }

  /** @param {string} method @param {string} path @param {CallOptions} [options] */
  async #call(method, path, options) {
    const response = await this.#fetch(method, path, options);
    if (!response.ok) throw await this.#refusal(response);
    return response.json();
  }

  async #refusal(/** @type {Response} */ response) {
    if (response.status === 401) this.onSignedOut();
    return readProblem(response);
  }

  /** @param {string} method @param {string} path @param {CallOptions} [options] @param {Record<string, string>} [extra] */
  async #fetch(method, path, { query = {}, json, body, signal, timeoutMs = TIMEOUT_MS } = {}, extra = {}) {
    const url = new URL(`/admin/${path}`, location.origin);
    for (const [name, value] of Object.entries(query)) if (value !== undefined) url.searchParams.set(name, value);
    const headers = {
      ...(method === "GET" ? {} : { "X-Spillway-Action": "1" }),
      ...(json === undefined ? {} : { "Content-Type": "application/json" }),
      ...extra,
    };
    const limits = [signal, timeoutMs === 0 ? undefined : AbortSignal.timeout(timeoutMs)];
    const init = {
      method,
      headers,
      body: json === undefined ? (body ?? null) : JSON.stringify(json),
      signal: AbortSignal.any(limits.filter((limit) => limit !== undefined)),
    };
    try {
      const response = await fetch(url, { ...init, credentials: "same-origin", cache: "no-store", redirect: "error" });
      const servedAtMs = Date.parse(response.headers.get("Date") ?? "");
      if (!Number.isNaN(servedAtMs)) this.clockOffsetMs = offsetOf(servedAtMs - Date.now());
      return response;
    } catch (error) {
      if (signal?.aborted === true) throw error;
      const detail = init.signal.aborted ? "The service did not answer in time." : "The service cannot be reached.";
      throw new ApiProblem(0, { code: "unreachable", detail }, undefined);
    }
  }
}

/** An answer's date is cut to seconds, and the answer takes its time: less than that is no difference. */
function offsetOf(/** @type {number} */ differenceMs) {
  return Math.abs(differenceMs) < 3000 ? 0 : differenceMs;
}

/** @param {Response} response @returns {Promise<ApiProblem>} */
async function readProblem(response) {
  const retryAfterSec = Number(response.headers.get("Retry-After") ?? Number.NaN);
  const hasJson = response.headers.get("Content-Type")?.includes("json") === true;
  // A body that breaks off: the status alone says enough.
  const body = hasJson ? await response.json().catch(() => ({})) : {};
  return new ApiProblem(response.status, body, Number.isNaN(retryAfterSec) ? undefined : retryAfterSec);
}
