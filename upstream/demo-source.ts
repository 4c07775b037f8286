/**
 * `builtin:demo`: a deterministic event stream to try the service with, where no upstream is at hand.
 *
 * The same query gives the same events, byte for byte. Query members:
 * - `events`: how many (default 60, at most 100,000)
 * - `rate`: events a second (default 12; 0 is as fast as they are read)
 * - `bytes`: size of each event's data (default 0: as it comes)
 * - `fail_at`: break the connection after so many events
 * - `seed`: of the text (default 1)
 * - `stages`: spread so many `stage` events over the stream (default 0)
 *
 * Events are `token` with `{"n", "text"}`; the last is `done` with `{"events", "checksum"}`, an FNV-1a
 * over all texts, so that a reader can prove that it got everything.
 */

export const DEMO_UPSTREAM = "builtin:demo";

interface DemoOptions {
  readonly events: number;
  readonly rate: number;
  readonly bytes: number;
  readonly failAt: number | undefined;
  readonly seed: number;
  readonly stages: number;
}

interface Bounds {
  readonly fallback: number;
  readonly min: number;
  readonly max: number;
}

const BOUNDS = {
  events: { fallback: 60, min: 1, max: 100_000 },
  rate: { fallback: 12, min: 0, max: 10_000 },
  bytes: { fallback: 0, min: 0, max: 1_000_000 },
  fail_at: { fallback: 0, min: 0, max: 100_000 },
  seed: { fallback: 1, min: 0, max: 2 ** 31 },
  stages: { fallback: 0, min: 0, max: 100 },
} as const satisfies Record<string, Bounds>;

const WORDS = (
  "water rises behind the wall until it finds the crest and then it goes over in a long smooth sheet " +
  "no gate no hand no alarm just the level that was chosen when the wall was built what spills is " +
  "measured what stays is kept and the river below never learns how high the flood has been"
).split(" ");

/** Answers as an upstream would: an event stream, or 400 that names the query member at fault. */
export function openDemoSource(url: string): Response {
  const options = readOptions(new URL(url).searchParams);
  if (typeof options === "string") return Response.json({ error: options }, { status: 400 });
  return new Response(demoStream(options), { headers: { "content-type": "text/event-stream" } });
}

function readOptions(query: URLSearchParams): DemoOptions | string {
  const values: Record<string, number> = {};
  for (const [name, { fallback, min, max }] of Object.entries(BOUNDS)) {
    const text = query.get(name);
    const value = text === null || text === "" ? fallback : Number(text);
    if (!Number.isInteger(value) || value < min || value > max) {
      return `${name}: found ${JSON.stringify(text)}, allowed is a whole number from ${min} to ${max}`;
    }
    values[name] = value;
  }
  const { events = 1, rate = 0, bytes = 0, fail_at: failAt = 0, seed = 1, stages = 0 } = values;
  return { events, rate, bytes, failAt: failAt === 0 ? undefined : failAt, seed, stages };
}

/** Longest wait between two looks at the clock; events due by then go out as one chunk. */
const TICK_MS = 10;
/** Unthrottled, so many events make one chunk. */
const BURST_EVENTS = 32;

function demoStream(options: DemoOptions): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  const script = demoScript(options);
  const startedAtMs = Date.now();
  let sent = 0;
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const due = options.rate === 0 ? sent + BURST_EVENTS : await nextDue(sent, startedAtMs, options.rate);
      let chunk = "";
      while (sent < due) {
        if (sent === options.failAt) break;
        const { value, done } = script.next();
        if (done === true) break;
        chunk += value;
        sent++;
      }
      if (chunk !== "") return controller.enqueue(encoder.encode(chunk));
      if (sent === options.failAt) controller.error(new Error("the demo source broke off, as asked by fail_at"));
      else controller.close();
    },
  });
}

/** Waits until the next event is due; how many should have been sent by then. */
async function nextDue(sent: number, startedAtMs: number, rate: number): Promise<number> {
  for (;;) {
    const elapsedMs = Date.now() - startedAtMs;
    const due = Math.floor((elapsedMs * rate) / 1000) + 1;
    if (due > sent) return due;
    const waitMs = (sent * 1000) / rate - elapsedMs;
    await new Promise((resolve) => setTimeout(resolve, Math.max(waitMs, TICK_MS)));
  }
}

/** The events of a demo stream, framed. The last one is `done`. */
export function* demoScript(options: Omit<DemoOptions, "rate">): Generator<string, undefined> {
  const random = xorshift(options.seed);
  const stageEvery = Math.ceil(options.events / options.stages);
  let checksum = 0x811c9dc5;
  for (let n = 1; n < options.events; n++) {
    if (options.stages > 0 && (n - 1) % stageEvery === 0) {
      yield frame("stage", { n, stage: (n - 1) / stageEvery + 1, of: options.stages });
      continue;
    }
    const text = sentence(random, options.bytes, n);
    checksum = fnv1a(checksum, text);
    yield frame("token", { n, text });
  }
  yield frame("done", { events: options.events, checksum: (checksum >>> 0).toString(16).padStart(8, "0") });
}

function frame(event: string, data: object): string {
  return `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
}

function sentence(random: () => number, bytes: number, n: number): string {
  const overhead = JSON.stringify({ n, text: "" }).length;
  const word = () => `${WORDS[random() % WORDS.length] ?? ""} `;
  if (bytes === 0) return word();
  let text = "";
  while (text.length < bytes - overhead) text += word();
  return text.slice(0, Math.max(0, bytes - overhead));
}

function fnv1a(hash: number, text: string): number {
  let next = hash;
  for (let at = 0; at < text.length; at++) next = Math.imul(next ^ text.charCodeAt(at), 0x01000193);
  return next;
}

function xorshift(seed: number): () => number {
  let state = (seed * 2654435761 + 1) | 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}
