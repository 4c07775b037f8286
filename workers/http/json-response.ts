/**
 * An answer of JSON that nobody may keep: what it says is true now.
 */
export function json(status: number, body: object): Response {
  return Response.json(body, { status, headers: { "Cache-Control": "no-store" } });
}
