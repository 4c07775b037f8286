/**
 * A Worker that publishes to, and streams from, oRPC's Durable Object publisher as its documentation shows: events
 * go over a WebSocket from the object to the Worker, and from there to each reader as server-sent events. The packages come as
 * parameters, since they are installed for the comparison alone.
 *
 * `POST /publish/<stream>` and `GET /events/<stream>`, which begins after `Last-Event-ID`. oRPC's own way of calling is not
 * used: it would only add to both.
 */

interface Publisher {
  publish(event: string, payload: { readonly text: string }): Promise<void>;
  subscribe(
    event: string,
    options: { readonly lastEventId: string | undefined; readonly signal: AbortSignal },
  ): AsyncIterator<unknown>;
  /** What `subscribe` calls, before it returns. */
  subscribeListener(...args: readonly unknown[]): Promise<unknown>;
}

interface Env {
  readonly REQUEST_STREAM: unknown;
  readonly MAX_EVENTS: number;
}

export interface OrpcPackages {
  readonly DurablePublisher: new (namespace: unknown, options: { readonly maxBufferedEvents: number }) => Publisher;
  /** What oRPC's handlers turn an iterator into a body with. */
  readonly toEventStream: (iterator: AsyncIterator<unknown>) => ReadableStream<Uint8Array>;
}

export function orpcWorker({ DurablePublisher, toEventStream }: OrpcPackages): object {
  let opening: Promise<unknown> | undefined;
  class Noted extends DurablePublisher {
    override subscribeListener(...args: readonly unknown[]): Promise<unknown> {
      opening = super.subscribeListener(...args);
      return opening;
    }
  }
  let publisher: Noted | undefined;
  return {
    async fetch(request: Request, env: Env): Promise<Response> {
      const [, action = "", stream = ""] = new URL(request.url).pathname.split("/");
      if (action === "health") return new Response("ok");
      publisher ??= new Noted(env.REQUEST_STREAM, { maxBufferedEvents: env.MAX_EVENTS });
      if (action === "publish") {
        await publisher.publish(stream, { text: await request.text() });
        return new Response(null, { status: 204 });
      }
      const lastEventId = request.headers.get("last-event-id") ?? undefined;
      const events = publisher.subscribe(stream, { lastEventId, signal: request.signal });
      // Answered once nothing can be missed any more.
      await opening;
      return new Response(toEventStream(events), { headers: { "content-type": "text/event-stream" } });
    },
  };
}
