/**
 * What Spillway is compared with: the least a Worker and a Durable Object can do with an event
 * stream. No ids, no storage, no resume, no limits.
 *
 * `/one`: the object hands its caller the source's body. `/fan/<name>`: the object reads the source
 * once and enqueues each chunk into one default stream per reader.
 */

interface Env {
  readonly REQUEST_STREAM: {
    newUniqueId(): unknown;
    get(id: unknown): Stub;
    getByName(name: string): Stub;
  };
  readonly SOURCE: string;
}

interface Context {
  waitUntil(work: Promise<unknown>): void;
}

interface Stub {
  fetch(request: Request): Promise<Response>;
}

const HEADERS = { "content-type": "text/event-stream" };

export class PassThrough {
  private readonly readers: ReadableStreamDefaultController<Uint8Array>[] = [];
  private source: Promise<ReadableStream<Uint8Array> | null> | undefined;

  private readonly context: Context;
  private readonly env: Env;

  constructor(context: Context, env: Env) {
    this.context = context;
    this.env = env;
  }

  async fetch(request: Request): Promise<Response> {
    const { pathname, search } = new URL(request.url);
    const open = async () => (await fetch(this.env.SOURCE + search)).body;
    if (pathname === "/one") return new Response(await open(), { headers: HEADERS });

    const body = new ReadableStream<Uint8Array>({ start: (controller) => void this.readers.push(controller) });
    if (this.source === undefined) {
      this.source = open();
      this.context.waitUntil(this.source.then((source) => this.fanOut(source)));
    }
    await this.source;
    return new Response(body, { headers: HEADERS });
  }

  private async fanOut(source: ReadableStream<Uint8Array> | null): Promise<void> {
    if (source === null) return;
    const reader = source.getReader();
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      for (const controller of this.readers) controller.enqueue(read.value);
    }
    for (const controller of this.readers) controller.close();
  }
}

export default {
  fetch(request: Request, env: Env): Response | Promise<Response> {
    const { pathname } = new URL(request.url);
    const { REQUEST_STREAM: objects } = env;
    if (pathname === "/one") return objects.get(objects.newUniqueId()).fetch(request);
    if (pathname.startsWith("/fan/")) return objects.getByName(pathname).fetch(request);
    return new Response("ok");
  },
};
