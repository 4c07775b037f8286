/**
 * Calls to the Worker inside workerd, and reading its streams with the field's own parser.
 */
import { exports } from "cloudflare:workers";
import { EventSourceParserStream } from "eventsource-parser/stream";

export interface ReadEvent {
  readonly id: string | undefined;
  readonly event: string | undefined;
  readonly data: string;
}

export function call(path: string, init?: RequestInit): Promise<Response> {
  return exports.default.fetch(new Request(`https://spillway.test${path}`, init));
}

/** A reader of one response; reads on demand, and can be cut. */
export class StreamReader {
  readonly response: Response;
  readonly seen: ReadEvent[] = [];
  private readonly events;

  constructor(response: Response) {
    this.response = response;
    if (response.body === null) throw new Error(`no body, status ${response.status}`);
    this.events = response.body
      .pipeThrough(new TextDecoderStream())
      .pipeThrough(new EventSourceParserStream())
      .getReader();
  }

  get token(): string {
    return this.response.headers.get("x-resume-token") ?? "";
  }

  get requestId(): string {
    return this.response.headers.get("x-request-id") ?? "";
  }

  /** Reads until an event satisfies, and returns it; fails at the end of the stream. */
  async until(satisfies: (event: ReadEvent) => boolean): Promise<ReadEvent> {
    for (;;) {
      const { done, value } = await this.events.read();
      if (done) throw new Error(`the stream ended after ${JSON.stringify(this.seen.at(-1))}`);
      const event = { id: value.id, event: value.event, data: value.data };
      this.seen.push(event);
      if (satisfies(event)) return event;
    }
  }

  async toEnd(): Promise<ReadEvent[]> {
    for (;;) {
      const { done, value } = await this.events.read();
      if (done) return this.seen;
      this.seen.push({ id: value.id, event: value.event, data: value.data });
    }
  }

  async cut(): Promise<void> {
    await this.events.cancel();
  }
}

export async function start(query: string, init?: RequestInit): Promise<StreamReader> {
  return new StreamReader(await call(`/demo/stream?${query}`, init));
}

export async function resume(token: string, lastEventId?: string, query = ""): Promise<StreamReader> {
  const headers = { "X-Resume-Token": token, ...(lastEventId === undefined ? {} : { "Last-Event-ID": lastEventId }) };
  return new StreamReader(await call(`/demo/resume?${query}`, { headers }));
}

/** Events of the source alone: what is ours in band has names of its own. */
export function sourceEvents(events: readonly ReadEvent[]): ReadEvent[] {
  return events.filter(({ event }) => event === "token" || event === "done" || event === "stage");
}

export function endOf(events: readonly ReadEvent[]): Record<string, unknown> {
  const end = events.find(({ event }) => event === "end");
  if (end === undefined) throw new Error("no end event");
  return JSON.parse(end.data) as Record<string, unknown>;
}
