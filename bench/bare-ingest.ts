/**
 * The least that a Worker can do with a batch of events, in the place of the service: `/parse` parses the
 * JSON and answers 202; `/put` puts the body into the bucket before that, as one object. No checks, no
 * duplicates found, no table.
 */

interface Env {
  readonly LAKE_BUCKET: { put(key: string, value: ArrayBuffer): Promise<unknown> };
}

/** The host binds the service's objects to whatever it runs; nobody calls these. */
class NoObject {
  fetch(): Response {
    return new Response(null, { status: 501 });
  }
}
export { NoObject as RequestStream, NoObject as EventBuffer, NoObject as IcebergTable };

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    const body = await request.arrayBuffer();
    // What the benchmark sends.
    const events = JSON.parse(new TextDecoder().decode(body)) as readonly unknown[];
    if (new URL(request.url).pathname === "/put") await env.LAKE_BUCKET.put(`${crypto.randomUUID()}.json`, body);
    return Response.json({ accepted: events.length }, { status: 202 });
  },
};
