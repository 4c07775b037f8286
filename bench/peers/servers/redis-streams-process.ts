/**
 * SSE over Redis streams as one writes it by hand, and does it well: `POST /<stream>` is XADD (which the client
 * library pipelines), readers catch up with XRANGE and are then served by one blocking XREAD for each
 * stream, whatever their number. Ids are Redis's, so that readers come back with Last-Event-ID.
 *
 * `GET /<stream>?from=now` reads what comes, otherwise all there is first. `GET /<stream>?bytes` tells what is stored.
 */
import type { IncomingMessage, ServerResponse } from "node:http";

import { connected, type RedisClient, type RedisPackage, type StreamEntry } from "./redis-client.ts";
import { loadPackage, readSettings, readText, serve, SSE_HEAD } from "./serving.ts";

interface Settings {
  readonly npmFolder: string;
  readonly redisUrl: string;
  readonly maxEvents: number;
}

const PAGE_EVENTS = 1000;
const BEGINNING = "0-0";
const LINE_BREAK = /\r\n|\r|\n/;
/** A reader that leaves so much behind is cut, and comes back by its last id. */
const MAX_QUEUED_BYTES = 4 * 1024 * 1024;

const { npmFolder, redisUrl, maxEvents } = readSettings() as Settings;
const client = await connected((loadPackage(npmFolder, "redis") as RedisPackage).createClient({ url: redisUrl }));
const TRIM = { strategy: "MAXLEN", strategyModifier: "~", threshold: maxEvents } as const;

class Reader {
  private lastId: string;
  /** What came while the reader was catching up. */
  private waiting: StreamEntry[] | undefined = [];
  private readonly response: ServerResponse;

  constructor(response: ServerResponse, lastId: string) {
    this.response = response;
    this.lastId = lastId;
  }

  /** From the stream's one XREAD, with the frames made once for all readers. */
  takeLive(entries: readonly StreamEntry[], frames: string): void {
    if (this.waiting !== undefined) this.waiting.push(...entries);
    else this.write(frames);
  }

  takePast(entries: readonly StreamEntry[]): void {
    this.write(framesOf(entries));
    this.lastId = entries.at(-1)?.id ?? this.lastId;
  }

  goLive(): void {
    const missed = this.waiting?.filter(({ id }) => isAfter(id, this.lastId)) ?? [];
    this.waiting = undefined;
    if (missed.length > 0) this.takePast(missed);
  }

  private write(frames: string): void {
    this.response.write(frames);
    if (this.response.writableLength > MAX_QUEUED_BYTES) this.response.destroy();
  }
}

/** One stream's readers in this process, and the connection that waits for its entries. */
class Hub {
  private readonly readers = new Set<Reader>();
  private readonly key: string;
  private readonly reading: RedisClient;
  private lastId: string;

  private constructor(key: string, reading: RedisClient, lastId: string) {
    this.key = key;
    this.reading = reading;
    this.lastId = lastId;
  }

  static async open(key: string): Promise<Hub> {
    const [reading, lastId] = await Promise.all([connected(client.duplicate()), lastIdOf(key)]);
    const hub = new Hub(key, reading, lastId);
    // Ends with its connection, when the last reader has gone.
    void hub.run().catch((error: unknown) => (hub.readers.size > 0 ? console.error(error) : undefined));
    return hub;
  }

  add(reader: Reader): void {
    this.readers.add(reader);
  }

  remove(reader: Reader): void {
    this.readers.delete(reader);
    if (this.readers.size > 0) return;
    hubs.delete(this.key);
    this.reading.destroy();
  }

  private async run(): Promise<void> {
    for (;;) {
      const read = await this.reading.xRead({ key: this.key, id: this.lastId }, { BLOCK: 0 });
      const entries = read?.[0]?.messages ?? [];
      if (entries.length === 0) continue;
      this.lastId = entries.at(-1)?.id ?? this.lastId;
      const frames = framesOf(entries);
      for (const reader of this.readers) reader.takeLive(entries, frames);
    }
  }
}

const hubs = new Map<string, Promise<Hub>>();

serve(async (request, response) => {
  const { pathname: key, searchParams: query } = new URL(request.url ?? "/", "http://server");
  if (request.method === "POST") await append(key, request, response);
  else if (query.has("bytes")) response.end(String((await client.memoryUsage(key, { SAMPLES: 0 })) ?? 0));
  else await follow(key, query.get("from") === "now" ? undefined : lastEventId(request), response);
});

async function append(key: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const id = await client.xAdd(key, "*", { data: await readText(request) }, { TRIM });
  response.writeHead(201, { "x-event-id": id });
  response.end();
}

/** @param position the last entry the reader has; none: it wants what comes from now on */
async function follow(key: string, position: string | undefined, response: ServerResponse): Promise<void> {
  const opened = hubs.get(key) ?? Hub.open(key);
  hubs.set(key, opened);
  const hub = await opened;
  const reader = new Reader(response, position ?? (await lastIdOf(key)));
  // First, so that nothing is missed between catching up and going live.
  hub.add(reader);
  response.on("close", () => hub.remove(reader));
  response.writeHead(200, SSE_HEAD);
  response.flushHeaders();
  let after = position;
  while (after !== undefined && !response.destroyed) {
    const page = await client.xRange(key, `(${after}`, "+", { COUNT: PAGE_EVENTS });
    if (page.length > 0) reader.takePast(page);
    after = page.length < PAGE_EVENTS ? undefined : page.at(-1)?.id;
  }
  reader.goLive();
}

function lastEventId({ headers }: IncomingMessage): string {
  const id = headers["last-event-id"];
  return typeof id === "string" && id !== "" ? id : BEGINNING;
}

async function lastIdOf(key: string): Promise<string> {
  const [last] = await client.xRevRange(key, "+", "-", { COUNT: 1 });
  return last?.id ?? BEGINNING;
}

function framesOf(entries: readonly StreamEntry[]): string {
  let frames = "";
  for (const { id, message } of entries) {
    frames += `id: ${id}\n`;
    for (const line of (message["data"] ?? "").split(LINE_BREAK)) frames += `data: ${line}\n`;
    frames += "\n";
  }
  return frames;
}

/** Redis's ids are two numbers, of which the first is a time in ms. */
function isAfter(id: string, other: string): boolean {
  const [time = 0, count = 0] = id.split("-").map(Number);
  const [otherTime = 0, otherCount = 0] = other.split("-").map(Number);
  return time === otherTime ? count > otherCount : time > otherTime;
}
