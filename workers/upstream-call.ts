/**
 * From a route and a request to the upstream call. Pure.
 */
import type { UpstreamCall } from "../protocol/stream-call.ts";
import type { RouteConfig } from "./route-config.ts";

/** Query members that are ours and not the upstream's. */
const OWN_QUERY = new Set(["idempotency_key", "last_event_id", "accept_gap", "token", "mode"]);

/** The caller's query as the upstream sees it. */
export function forwardedQuery(requestUrl: string): URLSearchParams {
  const query = new URLSearchParams();
  for (const [name, value] of new URL(requestUrl).searchParams) {
    if (!OWN_QUERY.has(name)) query.append(name, value);
  }
  return query;
}

export function buildUpstreamCall(route: RouteConfig, request: Request, query: URLSearchParams): UpstreamCall {
  const url = new URL(route.upstream);
  // What the configuration fixes, a caller cannot change.
  const fixed = new Set(url.searchParams.keys());
  for (const [name, value] of query) if (!fixed.has(name)) url.searchParams.append(name, value);

  const headers: Record<string, string> = { accept: request.headers.get("accept") ?? "text/event-stream" };
  for (const name of ["content-type", ...route.forwardHeaders]) {
    const value = request.headers.get(name);
    if (value !== null) headers[name.toLowerCase()] = value;
  }
  for (const [name, value] of Object.entries(route.headers)) headers[name.toLowerCase()] = value;
  const { method, connectTimeoutMs, idleTimeoutMs } = route;
  return { url: url.href, method, headers, connectTimeoutMs, idleTimeoutMs };
}
