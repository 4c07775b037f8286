/**
 * One catalog's HTTP: a request, its time limit, and what came of it. Knows no path and no table.
 *
 * Nothing here, and so nothing in a message, holds the token or a body; of an error answer only the
 * catalog's own `type` and `message`, cut short.
 *
 * Source: Iceberg REST Catalog OpenAPI, `IcebergErrorResponse`; RFC 9110 §10.2.3 (Retry-After).
 */
import { backoffMs, type BackoffSettings } from "../backoff.ts";
import { parseLossless, stringifyLossless } from "./lossless-json.ts";

/** What of the catalog's own words goes into ours. */
const ERROR_TEXT_MAX = 200;
const READ_ATTEMPTS = 3;
const READ_BACKOFF: BackoffSettings = { firstMs: 200, maxMs: 2000 };
/** A longer wait is left to whoever plans the next try: a request must not sleep for minutes. */
const RETRY_AFTER_MAX_MS = 5000;

export interface RestRequestOptions {
  readonly token?: string;
  readonly fetch: typeof fetch;
  /** Wall clock, ms. */
  readonly clock: () => number;
  /** 0 to 1. */
  readonly random: () => number;
  readonly sleep: (ms: number) => Promise<void>;
  /** For one request, its answer's body included. */
  readonly timeoutMs: number;
}

export type RestAnswer =
  | {
      readonly kind: "answer";
      readonly status: number;
      /** Parsed losslessly; `undefined` where it is no JSON. */
      readonly body: unknown;
      readonly retryAfterMs: number | undefined;
      /** The status, and what the catalog says of it. */
      readonly reason: string;
    }
  /** Whether the catalog has carried the request out is unknown. */
  | { readonly kind: "none"; readonly reason: string };

export interface RestPost {
  readonly body: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

export class RestRequests {
  private readonly options: RestRequestOptions;

  constructor(options: RestRequestOptions) {
    this.options = options;
  }

  /** Tries again, a few times, while the catalog fails or cannot be reached. Never throws. */
  async get(url: string): Promise<RestAnswer> {
    for (let attempt = 1; ; attempt++) {
      const answer = await this.send(url, { method: "GET" });
      if (attempt === READ_ATTEMPTS || !isPassing(answer)) return answer;
      const askedMs = answer.kind === "answer" ? (answer.retryAfterMs ?? 0) : 0;
      if (askedMs > RETRY_AFTER_MAX_MS) return answer;
      await this.options.sleep(Math.max(askedMs, backoffMs(attempt, this.options.random(), READ_BACKOFF)));
    }
  }

  /** Sent once: it may have been carried out without an answer. Never throws. */
  post(url: string, { body, headers = {} }: RestPost): Promise<RestAnswer> {
    return this.send(url, {
      method: "POST",
      body: stringifyLossless(body),
      headers: { "content-type": "application/json", ...headers },
    });
  }

  private async send(url: string, init: { method: string; body?: string; headers?: object }): Promise<RestAnswer> {
    const { token, timeoutMs, fetch } = this.options;
    try {
      const response = await fetch(url, {
        ...init,
        headers: {
          ...init.headers,
          accept: "application/json",
          ...(token !== undefined && { authorization: `Bearer ${token}` }),
        },
        // A redirect followed would carry the token to wherever it points.
        redirect: "manual",
        signal: AbortSignal.timeout(timeoutMs),
      });
      const body = parseBody(await response.text());
      const { status } = response;
      const retryAfterMs = parseRetryAfter(response.headers.get("retry-after"), this.options.clock());
      return { kind: "answer", status, body, retryAfterMs, reason: this.describe(status, body) };
    } catch (error) {
      // The platform's message may quote the URL or a header: its name says enough.
      const isTimeout = error instanceof Error && (error.name === "TimeoutError" || error.name === "AbortError");
      return { kind: "none", reason: isTimeout ? `no answer within ${timeoutMs} ms` : "the connection failed" };
    }
  }

  private describe(status: number, body: unknown): string {
    const error = isRecord(body) && isRecord(body["error"]) ? body["error"] : {};
    const words = [error["type"], error["message"]].filter((word) => typeof word === "string" && word !== "");
    const { token } = this.options;
    const text = words.join(": ");
    // A catalog may quote what it refuses.
    const safe = token === undefined || token === "" ? text : text.replaceAll(token, "[token]");
    const printable = safe.replace(/\p{Cc}+/gu, " ").slice(0, ERROR_TEXT_MAX);
    return printable === "" ? `status ${status}` : `status ${status}, ${printable}`;
  }
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Whether the same request may fare better soon. */
function isPassing(answer: RestAnswer): boolean {
  return answer.kind === "none" || answer.status === 408 || answer.status === 429 || answer.status >= 500;
}

function parseBody(text: string): unknown {
  try {
    return parseLossless(text);
  } catch {
    // A proxy's page, or an empty body: the status tells what it means.
    return undefined;
  }
}

/** Seconds, or a date. */
function parseRetryAfter(header: string | null, nowMs: number): number | undefined {
  if (header === null) return undefined;
  if (/^\d+$/.test(header)) return Number(header) * 1000;
  const atMs = Date.parse(header);
  return Number.isNaN(atMs) ? undefined : Math.max(0, atMs - nowMs);
}
