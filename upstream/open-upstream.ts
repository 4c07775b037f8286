/**
 * Opens a source: one upstream call up to its response head.
 *
 * Used by the stream object, and by the Worker where the object cannot be reached. A redirect is
 * passed on as the upstream's answer, never followed: only configuration says who is called.
 */
import type { SpillwayError } from "../protocol/errors.ts";
import type { UpstreamCall } from "../protocol/stream-call.ts";
import { DEMO_UPSTREAM, openDemoSource } from "./demo-source.ts";

export type Opened =
  | { readonly kind: "stream"; readonly body: ReadableStream<Uint8Array> }
  /** Not an event stream: the upstream's own answer, for the caller as it is. */
  | { readonly kind: "other"; readonly response: Response }
  | { readonly kind: "failed"; readonly error: SpillwayError };

export interface OpenOptions {
  readonly body: Uint8Array | undefined;
  readonly fetch: typeof fetch;
  /** Gives the call up, also later, while its body is read. */
  readonly abort: AbortController;
}

export async function openUpstream(call: UpstreamCall, options: OpenOptions): Promise<Opened> {
  if (call.url.startsWith(DEMO_UPSTREAM)) return classify(openDemoSource(call.url));
  let hasTimedOut = false;
  const timer = setTimeout(() => {
    hasTimedOut = true;
    options.abort.abort();
  }, call.connectTimeoutMs);
  try {
    const response = await options.fetch(call.url, {
      method: call.method,
      headers: call.headers,
      redirect: "manual",
      signal: options.abort.signal,
      ...(options.body === undefined ? {} : { body: options.body }),
    });
    return classify(response);
  } catch {
    // The platform names no causes: refused, unresolved and reset connections look alike.
    return hasTimedOut
      ? { kind: "failed", error: { code: "upstream_timeout", timeoutMs: call.connectTimeoutMs } }
      : { kind: "failed", error: { code: "upstream_unreachable" } };
  } finally {
    clearTimeout(timer);
  }
}

const LAST_STATUS = 599;

function classify(response: Response): Opened {
  // RFC 9110, 15: anything beyond is no status, and no answer that could be passed on.
  if (response.status > LAST_STATUS) return { kind: "failed", error: { code: "upstream_unreachable" } };
  const mediaType = response.headers.get("content-type")?.split(";")[0]?.trim().toLowerCase();
  const isStream = response.status === 200 && mediaType === "text/event-stream" && response.body !== null;
  return isStream ? { kind: "stream", body: response.body } : { kind: "other", response };
}

/** Hop-by-hop fields (RFC 9110, 7.6.1), lengths that no longer hold, and what is ours or private. */
const NOT_PASSED_ON = new Set([
  "connection",
  "content-encoding",
  "content-length",
  "keep-alive",
  "proxy-authenticate",
  "proxy-connection",
  "set-cookie",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "x-resume-token",
  "x-request-id",
]);

/** An upstream's answer as the caller may see it: status, body and end-to-end headers. */
export function passThrough(response: Response, extraHeaders: Readonly<Record<string, string>>): Response {
  const headers = new Headers();
  for (const [name, value] of response.headers) {
    const isOurs = name.startsWith("x-spillway-") || name.startsWith("access-control-");
    if (!NOT_PASSED_ON.has(name) && !isOurs) headers.append(name, value);
  }
  for (const [name, value] of Object.entries(extraHeaders)) headers.set(name, value);
  return new Response(response.body, { status: response.status, headers });
}
