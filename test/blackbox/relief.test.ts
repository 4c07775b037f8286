/**
 * How a filling buffer gives way before it evicts, as readers, status and the log tell of it: what folds
 * is folded, verbose fields are taken out, low-priority events are sampled.
 *
 * Not for what then lies in storage: relief-storage.test.ts.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { frameOf, statusOf } from "../fixtures/folded-stream.ts";
import { untilLogged } from "../fixtures/log-lines.ts";
import {
  linesOf,
  noise,
  play,
  range,
  replayOf,
  SMALL_BUFFER,
  SMALL_BUFFER_BYTES,
  sumOf,
} from "../fixtures/pressed-stream.ts";
import { startServiceWithUpstream, type ServiceWithUpstream } from "../fixtures/service-with-upstream.ts";
import { reduceText } from "../fixtures/snapshot-reading.ts";
import { readStream, seqsOf } from "../fixtures/sse-reading.ts";
import { ANTHROPIC } from "../fixtures/transcripts/anthropic.ts";
import { Random } from "../simulation/random.ts";
import { sendChunks } from "../fixtures/upstream.ts";
import { readWire } from "../fixtures/wire-reading.ts";

const COUNTS = { folded_events: 0, trimmed_payloads: 0, compressed_segments: 0, sampled_events: 0 };
const PRIORITY = [
  { event: "chatter", priority: "low" },
  { event: "answer", priority: "high" },
];

function named(event: string | undefined, data: string): string {
  return `${event === undefined ? "" : `event: ${event}\n`}data: ${data}\n\n`;
}

function verbose(n: number, event?: string): string {
  return named(event, JSON.stringify({ n, debug: { text: noise(n) }, tail: "kept" }));
}

/** Over several lines. */
function pretty(n: number): string {
  return JSON.stringify({ n, debug: { text: noise(n) }, list: [{ a: 1 }, "é\u2028"] }, null, 2);
}

function dataLines(data: string): string {
  return data
    .split("\n")
    .map((line) => `data: ${line}`)
    .join("\n");
}

function seqOf(id: unknown): number {
  return Number(String(id).split("-")[1]);
}

function trimmed(data: string): string {
  return data.replace(/"debug":\{[^}]*\}/, '"debug":null');
}

describe("trimmed payloads", () => {
  let scene: ServiceWithUpstream;
  beforeAll(async () => {
    scene = await startServiceWithUpstream([{ name: "verbose", trim: ["$.debug"], priority: PRIORITY }], SMALL_BUFFER);
  });
  afterAll(async () => {
    await scene.end();
  });

  test("verbose fields of low and normal events become null, and nothing else of them changes", async () => {
    const names = [undefined, "chatter"];
    const frames = range(90).map((n) => verbose(n, n % 9 === 0 ? "answer" : names[n % 2]));
    const played = await play(scene, "verbose", frames);
    expect(played.status).toMatchObject({ events: 90, retained_events: 90, trimmed_events: 0 });
    expect(Number(played.status["retained_bytes"])).toBeLessThanOrEqual(SMALL_BUFFER_BYTES);
    // Who was there saw all of it.
    expect(played.live.content.map(({ event, data }) => named(event === "message" ? undefined : event, data))).toEqual(
      frames,
    );

    const { text } = await readWire(`${played.origin}/verbose/resume`, { "X-Resume-Token": played.token });
    const replayed = text.match(/^id: 1-\d+\n(?:(?!event: end)[^\n]+\n)+\n/gm) ?? [];
    const isTrimmed = replayed.map((frame) => frame.includes(": payload trimmed\n"));
    expect(replayed).toEqual(
      frames.map((frame, at) => {
        const id = `id: 1-${at + 1}\n`;
        return isTrimmed[at] === true ? `${id}: payload trimmed\n${trimmed(frame)}` : id + frame;
      }),
    );
    expect(frames.filter((frame, at) => isTrimmed[at] === true && frame.startsWith("event: answer"))).toEqual([]);
    const count = isTrimmed.filter(Boolean).length;
    expect(count).toBeGreaterThan(20);
    expect(played.status).toMatchObject({ ...COUNTS, trimmed_payloads: count });
    expect(played.diagnostics).toMatchObject({ ...COUNTS, trims: 0, trimmed_payloads: count });
    await untilLogged(scene.service, "SseStreamEnded", { request_id: played.live.requestId });
    const lines = linesOf(scene.service, played, "SsePayloadTrimmed");
    expect(sumOf(lines, "events")).toBe(count);
    expect(sumOf(lines, "saved_bytes")).toBeGreaterThan(count * 1_900);
    for (const line of lines) expect(line["message"]).toBe("Applied payload trimming");
    const snapshot = await readStream(`${played.origin}/verbose/resume?mode=snapshot&token=${played.token}`);
    await snapshot.toEnd();
    const [whole] = snapshot.control("snapshot");
    const entries: readonly Record<string, unknown>[] = Object(whole)["events"];
    expect(entries.map((entry) => entry["trimmed"] === true)).toEqual(isTrimmed);
  });

  test("several lines of data, a name and a retry stay what they are", async () => {
    const frames = range(90).map((n) => `event: pretty\nretry: ${n + 100}\n${dataLines(pretty(n))}\n\n`);
    const { origin, token, status } = await play(scene, "verbose", frames);
    expect(status["trimmed_payloads"]).toBeGreaterThan(10);
    const { text: replayed } = await readWire(`${origin}/verbose/resume`, { "X-Resume-Token": token });
    const bare = pretty(1).replace(/"debug": \{[^}]*\}/, '"debug": null');
    expect(replayed).toContain(`id: 1-1\n: payload trimmed\nevent: pretty\nretry: 101\n${dataLines(bare)}\n\n`);
  });

  test("only where bytes press, not events", async () => {
    const frames = range(1_010).map((n) => named(undefined, JSON.stringify({ n, debug: { text: "x" } })));
    const { status, diagnostics } = await play(scene, "verbose", frames);
    expect(status).toMatchObject({ ...COUNTS, retained_events: 1_000, trimmed_events: 10 });
    expect(diagnostics).toMatchObject({ ...COUNTS, trims: 10 });
  });

  test("what is no JSON, or has no such field, stays as it is", async () => {
    const frames = range(90).map((n) =>
      named(undefined, n % 2 === 0 ? noise(n) : JSON.stringify({ n, other: noise(n) })),
    );
    const played = await play(scene, "verbose", frames);
    expect(played.status).toMatchObject(COUNTS);
    const kept = (await replayOf(played)).content;
    expect(kept.length).toBeGreaterThan(40);
    expect(kept).toEqual(played.live.content.slice(-kept.length));
  });
});

describe("sampling", () => {
  const MAX_EVENTS = 16;
  const PRESSED_FROM = 12;
  let scene: ServiceWithUpstream;
  beforeAll(async () => {
    const route = { priority: PRIORITY };
    const routes = [
      { ...route, name: "quarter", sample: 0.25 },
      { ...route, name: "none", sample: 0 },
      { ...route, name: "every", sample: 1 },
    ];
    scene = await startServiceWithUpstream(routes, { SSE_BUFFER_MAX_EVENTS: MAX_EVENTS });
  });
  afterAll(async () => {
    await scene.end();
  });

  test.each([
    ["quarter", 22],
    ["none", 0],
    ["every", 88],
  ])("%s of the low-priority events under pressure are kept, evenly spread", async (route, kept) => {
    const count = 100;
    const played = await play(
      scene,
      route,
      range(count).map((n) => named("chatter", String(n))),
    );
    const sampled = count - PRESSED_FROM - kept;
    const retained = Math.min(MAX_EVENTS, PRESSED_FROM + kept);
    const counts = { ...COUNTS, sampled_events: sampled };
    expect(played.status).toMatchObject({ ...counts, retained_events: retained, trimmed_events: count - retained });
    expect(played.diagnostics).toMatchObject({ ...counts, trims: count - retained });
    expect(played.live.data).toEqual(range(count).map(String));

    const replayed = await replayOf(played);
    const seqs = seqsOf(replayed.content);
    expect(seqs).toHaveLength(retained);
    const step = { quarter: 4, none: 1, every: 1 }[route] ?? 0;
    expect(seqs.slice(1).map((seq, at) => seq - (seqs[at] ?? 0))).toEqual(seqs.slice(1).map(() => step));
    const missing = sumOf(replayed.control("gap"), "dropped");
    expect(missing).toBe(count - retained);

    await untilLogged(scene.service, "SseStreamEnded", { request_id: played.live.requestId });
    const lines = linesOf(scene.service, played, "SseBufferTrimmed");
    const ofSampling = lines.filter(({ reason }) => reason === "sampled");
    expect(sumOf(ofSampling, "events")).toBe(sampled);
    expect(sumOf(lines, "events")).toBe(count - retained);
    for (const line of lines) expect(line).toMatchObject({ message: "buffer_trimmed", priority: "low" });
    // The first at once, all others together at the end.
    expect(ofSampling.map(({ events }) => events)).toEqual(sampled === 0 ? [] : [1, sampled - 1]);
  });

  test("events of other priorities are all kept, and evicted when their time comes", async () => {
    const played = await play(
      scene,
      "none",
      range(40).map((n) => named(n % 2 === 0 ? "chatter" : undefined, String(n))),
    );
    expect(played.status).toMatchObject({ retained_events: MAX_EVENTS, trimmed_events: 24 });
    const kept = seqsOf((await replayOf(played)).content);
    expect(kept).toEqual(
      range(40)
        .filter((n) => n % 2 === 1)
        .slice(-MAX_EVENTS),
    );
  });
});

describe("folding", () => {
  let scene: ServiceWithUpstream;
  beforeAll(async () => {
    const routes = [
      { name: "text", fold: "text" },
      { name: "messages", fold: "anthropic" },
      { name: "own", fold: { paths: ["$.out.text"], latest: ["$.n"] } },
    ];
    scene = await startServiceWithUpstream(routes, { SSE_BUFFER_MAX_EVENTS: 40 });
  });
  afterAll(async () => {
    await scene.end();
  });

  test("its log line and its counts: every event of the source is in a fold, an event, or a gap", async () => {
    const played = await play(
      scene,
      "text",
      range(400).map((n) => named(undefined, `${n} `)),
    );
    const { status } = played;
    const folded = 400 - Number(status["retained_events"]);
    expect(status).toMatchObject({ ...COUNTS, events: 400, trimmed_events: 0, folded_events: folded });
    expect(played.diagnostics).toMatchObject({ ...COUNTS, trims: 0, folded_events: folded });
    await untilLogged(scene.service, "SseStreamEnded", { request_id: played.live.requestId });
    const lines = linesOf(scene.service, played, "SseBufferFolded");
    expect(lines).toHaveLength(2);
    expect(sumOf(lines, "folded")).toBe(folded);
    for (const line of lines) expect(line["message"]).toBe("Applied event folding");
    expect(linesOf(scene.service, played, "SseBufferTrimmed")).toEqual([]);
    expect(reduceText((await replayOf(played)).content)).toEqual(reduceText(played.live.content));
  });

  test("by paths of the route's own", async () => {
    const frames = range(400).map((n) => named("out", JSON.stringify({ n, out: { text: `${n}é🎉\n` }, same: [1] })));
    const played = await play(scene, "own", frames);
    expect(played.status).toMatchObject({ trimmed_events: 0 });
    expect(played.status["folded_events"]).toBeGreaterThan(350);
    for (const position of ["0-0", "1-1", "1-57", "1-399"]) {
      const rest = (await replayOf(played, position)).content.map(({ data }) => Object(JSON.parse(data)));
      const from = Number(position.slice(2));
      const text = range(400)
        .slice(from)
        .map((n) => `${n}é🎉\n`);
      expect(rest.map(({ out }) => Object(out)["text"]).join("")).toBe(text.join(""));
      expect(rest.at(-1)).toMatchObject({ n: 400, same: [1] });
    }
  });

  test.each(ANTHROPIC)("$name in a burst: what folds is folded before anything is evicted", async ({ events }) => {
    scene.upstream.handle(sendChunks([events.map(frameOf).join("")]));
    const live = await readStream(`${scene.service.origin}/messages/stream`);
    await live.toEnd();
    expect(live.content).toHaveLength(events.length);
    expect(live.control("end")).toMatchObject([{ diagnostics: { trims: 0 } }]);
    const replayed = await replayOf({ origin: scene.service.origin, route: "messages", token: live.token });
    expect(replayed.control("gap")).toEqual([]);
    expect(replayed.content.length).toBeLessThan(events.length);
  });
});

describe("everything at once, in bursts", () => {
  const EVENTS = 600;
  const STRIDE = 20;
  let scene: ServiceWithUpstream;
  beforeAll(async () => {
    const vars = { ...SMALL_BUFFER, SSE_BUFFER_COMPRESS: true };
    scene = await startServiceWithUpstream([{ name: "all", fold: "text", sample: 0.5 }], vars);
  });
  afterAll(async () => {
    await scene.end();
  });

  /** Mostly text, with other events now and then; `rarity` of 4 is often. */
  function burstsOf(seed: number, rarity: number): string[] {
    const random = new Random(seed);
    const frames = range(EVENTS).map((n) => {
      const others = ["turn", "debug", "result"];
      if (random.chance(1 / rarity)) return named(random.pick(others), String(n));
      const lines = `${n}:${"ab🎉\n".repeat(random.int(0, 80))}|`;
      return `${dataLines(lines)}\n\n`;
    });
    const bursts: string[] = [];
    for (let at = 0; at < frames.length;) {
      const count = random.int(1, 90);
      bursts.push(frames.slice(at, at + count).join(""));
      at += count;
    }
    return bursts;
  }

  test.each([
    [1, 4],
    [2, 60],
    [3, 4],
    [4, 60],
  ])("seed %i, one in %i another event: a replay from anywhere holds all but its gaps", async (seed, rarity) => {
    scene.upstream.handle(sendChunks(burstsOf(seed, rarity)));
    const live = await readStream(`${scene.service.origin}/all/stream`);
    await live.toEnd();
    expect(live.content).toHaveLength(EVENTS);
    const address = { origin: scene.service.origin, route: "all", token: live.token };
    for (let seq = 0; seq < EVENTS; seq += STRIDE) {
      const reading = await replayOf(address, seq === 0 ? "0-0" : `1-${seq}`);
      const gaps = reading.control("gap").map(({ from, to }) => [seqOf(from), seqOf(to)] as const);
      const isMissing = (n: number) => gaps.some(([from, to]) => from <= n && n <= to);
      const expected = live.content.filter((_, at) => at >= seq && !isMissing(at + 1));
      expect(reduceText(reading.content), `after ${seq}`).toEqual(reduceText(expected));
    }
    expect((await statusOf(address))["folded_events"]).toBeGreaterThan(100);
  });
});

describe("in its order", () => {
  const frames = [
    ...range(60).map((n) =>
      named("delta", JSON.stringify({ delta: `${n} `, debug: { text: "" }, pad: "p".repeat(400) })),
    ),
    ...range(120).map((n) => verbose(n)),
  ];
  const lasting = range(200).map((n) => named("lasting", `${n} ${noise(n)}`));
  const route = { name: "all", fold: { paths: ["$.delta"] }, trim: ["$.debug"] };

  test("folded, then trimmed, then packed, and evicted last", async () => {
    const scene = await startServiceWithUpstream([route], { ...SMALL_BUFFER, SSE_BUFFER_COMPRESS: true });
    try {
      const played = await play(scene, "all", [...frames, ...lasting]);
      const { status } = played;
      for (const name of ["folded_events", "trimmed_payloads", "compressed_segments", "trimmed_events"]) {
        expect({ name, count: status[name] }).toEqual({ name, count: expect.any(Number) });
        expect(Number(status[name]), name).toBeGreaterThan(0);
      }
      await untilLogged(scene.service, "SseStreamEnded", { request_id: played.live.requestId });
      const order = linesOf(scene.service, played).map(({ event }) => event);
      const firsts = ["SseBufferFolded", "SsePayloadTrimmed", "SseBufferCompressed", "SseBufferTrimmed"];
      expect([...new Set(order)].filter((event) => firsts.includes(String(event)))).toEqual(firsts);
    } finally {
      await scene.end();
    }
  });

  test.each([
    ["SSE_BUFFER_FOLD", { folded_events: 0 }],
    ["SSE_BUFFER_TRIM_PAYLOADS", { trimmed_payloads: 0 }],
    ["SSE_BUFFER_COMPRESS", { compressed_segments: 0 }],
  ])("%s=false: none of it, and the others as ever", async (name, none) => {
    const vars = { ...SMALL_BUFFER, SSE_BUFFER_COMPRESS: true, [name]: false };
    const scene = await startServiceWithUpstream([route], vars);
    try {
      const { status, diagnostics } = await play(scene, "all", [...frames, ...lasting]);
      const counts = Object.entries(COUNTS).filter(([count]) => count !== "sampled_events" && !(count in none));
      for (const [count] of counts) expect(Number(status[count]), count).toBeGreaterThan(0);
      expect(status).toMatchObject(none);
      expect(diagnostics).toMatchObject(none);
    } finally {
      await scene.end();
    }
  });

  test("by default nothing is packed, and a route that names nothing gives up nothing but whole events", async () => {
    const scene = await startServiceWithUpstream([{ name: "bare" }], SMALL_BUFFER);
    try {
      const { status } = await play(scene, "bare", frames);
      expect(status).toMatchObject(COUNTS);
      expect(status["trimmed_events"]).toBeGreaterThan(0);
    } finally {
      await scene.end();
    }
  });
});
