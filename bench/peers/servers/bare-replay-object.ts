/**
 * The least that replays and fans out in a Durable Object: it reads the source once, keeps every chunk in an array, and
 * enqueues each into one default stream per reader. No ids, no storage, no limits, and queues without end.
 *
 * `POST /<stream>?<source's query>` starts; `GET /<stream>` reads from the beginning, with `?from=now` what comes;
 * `GET /<stream>?bytes` tells what it holds.
 */

interface Env {
  readonly REQUEST_STREAM: { getByName(name: string): { fetch(request: Request): Promise<Response> } };
  readonly SOURCE: string;
}

interface Context {
  waitUntil(work: Promise<unknown>): void;
}

const HEADERS = { "content-type": "text/event-stream" };

export class BareReplay {
  private readonly chunks: Uint8Array[] = [];
  private readonly readers = new Set<ReadableStreamDefaultController<Uint8Array>>();
  private hasEnded = false;

  private readonly context: Context;
  private readonly env: Env;

  constructor(context: Context, env: Env) {
    this.context = context;
    this.env = env;
  }

  async fetch(request: Request): Promise<Response> {
    const { search, searchParams: query } = new URL(request.url);
    if (request.method === "POST") return this.start(search);
    if (query.has("bytes")) return new Response(String(this.chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0)));
    return new Response(this.read(query.get("from") !== "now"), { headers: HEADERS });
  }

  private async start(search: string): Promise<Response> {
    const { body } = await fetch(this.env.SOURCE + search);
    if (body !== null) this.context.waitUntil(this.fanOut(body.getReader()));
    return new Response(null, { status: 202 });
  }

  private read(isFromStart: boolean): ReadableStream<Uint8Array> {
    let reader: ReadableStreamDefaultController<Uint8Array>;
    return new ReadableStream<Uint8Array>({
      start: (controller) => {
        reader = controller;
        if (isFromStart) for (const chunk of this.chunks) controller.enqueue(chunk);
        if (this.hasEnded) controller.close();
        else this.readers.add(controller);
      },
      cancel: () => void this.readers.delete(reader),
    });
  }

  private async fanOut(source: ReadableStreamDefaultReader<Uint8Array>): Promise<void> {
    for (let read = await source.read(); !read.done; read = await source.read()) {
      this.chunks.push(read.value);
      for (const reader of this.readers) reader.enqueue(read.value);
    }
    this.hasEnded = true;
    for (const reader of this.readers) reader.close();
  }
}

export default {
  fetch(request: Request, env: Env): Response | Promise<Response> {
    const { pathname } = new URL(request.url);
    if (pathname === "/health") return new Response("ok");
    return env.REQUEST_STREAM.getByName(pathname).fetch(request);
  },
};
