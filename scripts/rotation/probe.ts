/**
 * Whether the running service verifies tokens of a secret: asked with tokens of a stream that cannot exist.
 *
 * `GET /{route}/status` says 401 `token_invalid` for a token that it does not verify, and that there is no such
 * stream for one that it does. Nothing is written by it, and no telemetry counts it as a failed resume.
 */
import { START_POSITION } from "../../protocol/event-id.ts";
import { createKeyRing, issueToken } from "../../protocol/resume-token.ts";

/** No request id has this form. One object answers for all probes. */
const NO_STREAM = "rotation-probe";
const PROBE_LIFE_MS = 60_000;
const PROBE_TIMEOUT_MS = 10_000;

export type Verdict =
  | { readonly kind: "verified" }
  | { readonly kind: "refused" }
  /** The service could not say: overloaded, unreachable, restarting. */
  | { readonly kind: "unknown"; readonly why: string }
  /** What answers there is not the service, or has no such route. */
  | { readonly kind: "wrong_place"; readonly why: string };

export interface ProbeTarget {
  readonly origin: string;
  readonly route: string;
  readonly fetch: typeof fetch;
  readonly nowMs: () => number;
  readonly signal: AbortSignal;
}

export async function probe(secret: string, target: ProbeTarget): Promise<Verdict> {
  const { origin, route, fetch, nowMs, signal } = target;
  const claims = { requestId: NO_STREAM, route, tenant: "default", position: START_POSITION };
  const { token } = await issueToken(await createKeyRing(secret), claims, { nowMs: nowMs(), ttlMs: PROBE_LIFE_MS });
  try {
    const response = await fetch(`${origin}/${route}/status`, {
      // Each on a connection of its own: on the same one the same isolate would answer again.
      headers: { "X-Resume-Token": token, Connection: "close" },
      redirect: "manual",
      signal: AbortSignal.any([signal, AbortSignal.timeout(PROBE_TIMEOUT_MS)]),
    });
    return verdictOf(response.status, codeOf(await response.text()));
  } catch (error) {
    signal.throwIfAborted();
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    const { code, name } = cause as { code?: unknown; name?: unknown };
    return { kind: "unknown", why: `no answer (${String(code ?? name)})` };
  }
}

/** Pure: what an answer to a probe means. */
export function verdictOf(status: number, code: string | undefined): Verdict {
  switch (code) {
    case "stream_expired":
    case "stream_not_found":
    // Told only once the signature holds (protocol/resume-token.ts): the clocks here and there differ.
    case "token_expired":
    case "token_wrong_route":
      return { kind: "verified" };
    case "token_invalid":
      return { kind: "refused" };
    case "not_found":
      return { kind: "wrong_place", why: "the service has no such route" };
    case undefined:
    default:
      return unexpected(status, code);
  }
}

function unexpected(status: number, code: string | undefined): Verdict {
  const isPassing = status === 429 || status >= 500;
  const why = code === undefined ? `status ${status}` : `${status} ${code}`;
  return isPassing ? { kind: "unknown", why } : { kind: "wrong_place", why: `it answers ${why}` };
}

function codeOf(body: string): string | undefined {
  try {
    const { code } = JSON.parse(body) as { code?: unknown };
    return typeof code === "string" ? code : undefined;
  } catch {
    // Not ours.
    return undefined;
  }
}
