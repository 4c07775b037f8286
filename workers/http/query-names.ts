/**
 * Names in a query that a route does not know, or knows once: a slip of the pen must not widen what an operator's
 * call does. Pure.
 */
import type { SpillwayError } from "../../protocol/errors.ts";

/** @returns the first name at fault */
export function queryFault(search: URLSearchParams, known: readonly string[]): SpillwayError | undefined {
  const seen = new Set<string>();
  for (const name of search.keys()) {
    const field = known.includes(name) ? name : "query";
    const allowed = known.length === 0 ? "this call takes none" : `this call takes ${known.join(", ")}`;
    if (field === "query")
      return { code: "invalid_request", field, detail: `has a member that is not known; ${allowed}` };
    if (seen.has(name)) return { code: "invalid_request", field, detail: "is given twice" };
    seen.add(name);
  }
  return undefined;
}
