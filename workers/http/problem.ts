/**
 * The one place where an expected failure becomes a response: RFC 9457 problem details.
 */
import { describeProblem, problemType, type SpillwayError } from "../../protocol/errors.ts";

export function problemResponse(error: SpillwayError, requestId: string): Response {
  const { status, title, detail, headers, extensions } = describeProblem(error);
  const body = { type: problemType(error.code), title, status, code: error.code, detail, request_id: requestId };
  return new Response(JSON.stringify({ ...body, ...extensions }), {
    status,
    headers: {
      ...headers,
      "Content-Type": "application/problem+json",
      "Cache-Control": "no-store",
      "X-Request-Id": requestId,
    },
  });
}
