/**
 * mode=snapshot: all that a stream holds as one event, then live, with nothing between the two.
 */
import { EventSource } from "eventsource";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";

import { startBreakingProxy, type BreakingProxy } from "../fixtures/breaking-proxy.ts";
import { statusOf } from "../fixtures/folded-stream.ts";
import { liveSource, type LiveSource } from "../fixtures/live-source.ts";
import { untilLogged } from "../fixtures/log-lines.ts";
import { problemOf } from "../fixtures/problems.ts";
import { startServiceWithUpstream, type ServiceWithUpstream } from "../fixtures/service-with-upstream.ts";
import { entriesOf, isGap, reduceText, snapshotsIn, type Snapshot } from "../fixtures/snapshot-reading.ts";
import { readStream, seqsOf, type SseReading } from "../fixtures/sse-reading.ts";
import { readWire } from "../fixtures/wire-reading.ts";

const MAX_EVENTS = 32;
const RETRY_MS = 20;

let scene: ServiceWithUpstream;
let proxy: BreakingProxy;

beforeAll(async () => {
  const vars = { SSE_BUFFER_MAX_EVENTS: MAX_EVENTS, SSE_RETRY_MS: RETRY_MS };
  scene = await startServiceWithUpstream(
    [
      { name: "folding", fold: "text" },
      { name: "told" },
      { name: "plain", control: false },
      { name: "staged", priority: [{ event: "stage", priority: "critical" }] },
    ],
    vars,
  );
  proxy = await startBreakingProxy(scene.service.origin);
});

afterEach(() => proxy.cutAfter(0));

afterAll(async () => {
  await proxy.stop();
  await scene.end();
});

interface Running {
  readonly source: LiveSource;
  readonly live: SseReading;
  readonly route: string;
}

async function start(route: string): Promise<Running> {
  const source = liveSource();
  scene.upstream.handle(source.handler);
  const answer = readStream(`${scene.service.origin}/${route}/stream`);
  await source.open();
  return { source, live: await answer, route };
}

/** Sends events one by one, each read before the next, so that no turn brings more than one. */
async function send({ source, live }: Running, frames: readonly string[]): Promise<void> {
  for (const frame of frames) {
    const before = live.content.length;
    source.send(frame);
    await live.untilContent(before + 1);
  }
}

const words = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, at) => `data: ${from + at} \n\n`);
const steps = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, at) => `event: step-${(from + at) % 2}\ndata: ${from + at}\n\n`);

function snapshotUrl({ live, route }: Running, origin = scene.service.origin): string {
  return `${origin}/${route}/resume?mode=snapshot&token=${live.token}`;
}

async function readSnapshot(running: Running, headers: Record<string, string> = {}) {
  const reading = await readStream(snapshotUrl(running), { headers });
  await reading.until(() => snapshotsIn(reading).length > 0, "the snapshot");
  return { reading, snapshot: onlySnapshot(reading) };
}

function onlySnapshot(reading: SseReading): Snapshot {
  const [snapshot, ...more] = snapshotsIn(reading);
  if (snapshot === undefined || more.length > 0) throw new Error(`${more.length} snapshots too many, or none`);
  return snapshot;
}

/** What the snapshot says is missing, as a list of gaps. */
function gapsOf({ events }: Snapshot) {
  return events.filter(isGap).map(({ gap }) => gap);
}

describe("a running stream", () => {
  test("before its first event: nothing, then everything live", async () => {
    const running = await start("told");
    const { reading, snapshot } = await readSnapshot(running);
    expect(snapshot).toEqual({ events: [], through: "0-0", missing: 0 });
    await send(running, words(1, 3));
    await reading.until(() => reading.events.length >= 5, "three live events");
    expect(seqsOf(reading.events.slice(2))).toEqual([1, 2, 3]);
    running.source.end();
    await reading.toEnd();
    expect(reading.control("end")).toMatchObject([{ status: "complete", last_id: "1-3" }]);
  });

  test("what it holds, to the byte, and its id last", async () => {
    const running = await start("folding");
    await send(running, ["event: stage\ndata: one\ndata: two\n\n", ...words(2, 5), 'data: "quoted\\ 🎉\n\n']);
    running.source.end();
    await running.live.toEnd();
    const { text } = await readWire(snapshotUrl(running));
    expect(text.slice(text.indexOf("event: snapshot"), text.indexOf("id: 1-6\nevent: end"))).toBe(
      `event: snapshot
data: {"events":[
data: {"id":"1-1","event":"stage","data":"one\\ntwo"}
data: ,{"id":"1-6","data":"2 3 4 5 \\"quoted\\\\ 🎉"}
data: ],"through":"1-6","missing":0}
id: 1-6

`,
    );
  });

  test("live events follow without a hole, from its position on", async () => {
    const running = await start("folding");
    await send(running, [...words(1, 9), ...steps(10, 12), ...words(13, 20)]);
    const { reading, snapshot } = await readSnapshot(running);
    expect(snapshot.through).toBe("1-20");
    expect(reading.lastEventId).toBe("1-20");
    await send(running, words(21, 25));
    running.source.end();
    await reading.toEnd();
    const later = reading.content.filter(({ event }) => event !== "snapshot");
    expect(seqsOf(later)).toEqual([21, 22, 23, 24, 25]);
    expect(reduceText([...entriesOf(snapshot), ...later])).toEqual(reduceText(running.live.content));
    expect(reading.control("gap")).toEqual([]);
  });

  test("what comes while a long one is sent follows it, each event once", async () => {
    const running = await start("told");
    const filler = "x".repeat(40_000);
    await send(
      running,
      steps(1, 20).map((frame) => frame.replace("data: ", `data: ${filler} `)),
    );
    const readings = await Promise.all(Array.from({ length: 6 }, () => readStream(snapshotUrl(running))));
    await send(running, steps(21, 30));
    running.source.end();
    for (const reading of readings) {
      await reading.toEnd();
      const snapshot = onlySnapshot(reading);
      const later = reading.content.filter(({ event }) => event !== "snapshot");
      const seqs = seqsOf([...entriesOf(snapshot), ...later]);
      expect(seqs).toEqual(Array.from({ length: 30 }, (_, at) => at + 1));
      expect([...entriesOf(snapshot), ...later].map(({ data }) => data)).toEqual(running.live.data);
    }
  });
});

describe("a stream that is over", () => {
  const endings: readonly [string, (running: Running) => Promise<unknown> | void, string][] = [
    ["finished", ({ source }) => source.end(), "complete"],
    ["failed", ({ source }) => source.reset(), "error"],
    [
      "cancelled",
      ({ live }) =>
        fetch(`${scene.service.origin}/folding/stream`, {
          method: "DELETE",
          headers: { "X-Resume-Token": live.token },
        }),
      "cancelled",
    ],
  ];
  test.each(endings)("%s: what it holds, then its end", async (_, end, status) => {
    const running = await start("folding");
    await send(running, [...words(1, 9), ...steps(10, 12)]);
    await end(running);
    await running.live.toEnd();
    for (const position of [undefined, "1-11"]) {
      const { reading, snapshot } = await readSnapshot(
        running,
        position === undefined ? {} : { "Last-Event-ID": position },
      );
      expect(await reading.toEnd()).toBe("closed");
      expect(snapshot).toMatchObject({ through: "1-12", missing: 0 });
      expect(reduceText(entriesOf(snapshot))).toEqual(reduceText(running.live.content));
      expect(reading.events.map(({ event }) => event)).toEqual(["resume", "snapshot", "end"]);
      expect(reading.control("end")).toMatchObject([{ status, last_id: "1-12" }]);
      expect(reading.control("resume")).toMatchObject([{ mode: "snapshot" }]);
    }
  });
});

describe("what is missing is said in its place", () => {
  test("the beginning, and holes between events that were kept", async () => {
    const running = await start("staged");
    const frames = steps(1, 60);
    frames[4] = "event: stage\ndata: 5\n\n";
    frames[5] = "event: stage\ndata: 6\n\n";
    await send(running, frames);
    const { reading, snapshot } = await readSnapshot(running);
    reading.cut();
    const kept = entriesOf(snapshot);
    expect(kept).toHaveLength(MAX_EVENTS);
    expect(kept).toEqual(running.live.content.filter(({ id }) => kept.some((entry) => entry.id === id)));
    const reason = "buffer_trimmed";
    expect(gapsOf(snapshot)).toEqual([
      { from: "1-1", to: "1-4", dropped: 4, reason },
      { from: "1-7", to: "1-30", dropped: 24, reason },
    ]);
    expect(snapshot.events.map((entry) => (isGap(entry) ? "gap" : entry.id)).slice(0, 5)).toEqual([
      "gap",
      "1-5",
      "1-6",
      "gap",
      "1-31",
    ]);
    expect(snapshot).toMatchObject({ through: "1-60", missing: 28 });
    const about = { request_id: running.live.requestId, position: "1-60", entries: 36, missing_events: 28 };
    const [line] = await untilLogged(scene.service, "SseSnapshotCreated", { ...about, entries: kept.length + 2 });
    expect(line?.["bytes"]).toBeGreaterThan(0);
  });

  test("after folding nothing is: more events than the buffer holds, in a few", async () => {
    const running = await start("folding");
    await send(running, [...steps(1, 4), ...words(5, 120), ...steps(121, 122)]);
    const status = await statusOf({ origin: scene.service.origin, route: "folding", token: running.live.token });
    expect(status["folded_events"]).toBeGreaterThan(80);
    const { reading, snapshot } = await readSnapshot(running);
    reading.cut();
    expect(snapshot).toMatchObject({ through: "1-122", missing: 0 });
    expect(reduceText(entriesOf(snapshot))).toEqual(reduceText(running.live.content));
    // Also what storage holds in several runs, or has not folded yet.
    expect(snapshot.events.map((entry) => (isGap(entry) ? "gap" : entry.id))).toEqual(
      [1, 2, 3, 4, 120, 121, 122].map((seq) => `1-${seq}`),
    );
  });
});

test("an event of 1 MB is in it whole, however its lines and characters fall", async () => {
  const running = await start("told");
  const lines = Array.from({ length: 9_000 }, (_, at) => `${'é🎉\\"x'.repeat(at % 23)}${at % 7 === 0 ? "" : "data: "}`);
  const large = lines.join("\n");
  const frame = lines.map((line) => `data: ${line}\n`).join("");
  expect(Buffer.byteLength(frame)).toBeGreaterThan(900_000);
  expect(Buffer.byteLength(frame)).toBeLessThan(1_048_576);
  await send(running, [...words(1, 3), `event: large\n${frame}\n`, ...words(5, 6)]);
  const { reading, snapshot } = await readSnapshot(running);
  await send(running, words(7, 8));
  running.source.end();
  await reading.toEnd();
  const entries = entriesOf(snapshot);
  expect(entries.map(({ id }) => id)).toEqual(["1-1", "1-2", "1-3", "1-4", "1-5", "1-6"]);
  expect(entries[3]).toEqual({ id: "1-4", event: "large", data: large });
  expect(seqsOf(reading.content.filter(({ event }) => event !== "snapshot"))).toEqual([7, 8]);
});

describe("the position of its reader", () => {
  test.each(["0-0", "1-2", "1-5", "1-999", "7-7"])("%s makes no difference", async (position) => {
    const running = await start("told");
    await send(running, words(1, 5));
    const { reading, snapshot } = await readSnapshot(running, { "Last-Event-ID": position });
    reading.cut();
    expect(entriesOf(snapshot)).toEqual(running.live.content);
  });

  test("by header: X-Resume-Mode", async () => {
    const running = await start("told");
    await send(running, words(1, 5));
    const headers = { "X-Resume-Token": running.live.token, "X-Resume-Mode": "snapshot" };
    const reading = await readStream(`${scene.service.origin}/told/resume`, { headers });
    await reading.until(() => snapshotsIn(reading).length > 0, "the snapshot");
    reading.cut();
    expect(entriesOf(onlySnapshot(reading))).toEqual(running.live.content);
  });
});

test("without control events there is none: 400", async () => {
  const running = await start("plain");
  await send(running, words(1, 5));
  const problem = await problemOf(await fetch(snapshotUrl(running)));
  expect(problem).toMatchObject({ status: 400, code: "invalid_request", field: "mode" });
});

describe("EventSource", () => {
  test("dispatches it as one event under its last id, then the live ones", async () => {
    const running = await start("folding");
    await send(running, words(1, 40));
    const source = new EventSource(snapshotUrl(running));
    const got: { type: string; id: string; data: string }[] = [];
    const take = ({ type, lastEventId: id, data }: MessageEvent) => got.push({ type, id, data: String(data) });
    for (const name of ["message", "snapshot", "end"]) source.addEventListener(name, take);
    source.addEventListener("end", () => source.close());
    await expect.poll(() => got.length, { timeout: 10_000 }).toBe(1);
    await send(running, words(41, 42));
    running.source.end();
    await expect.poll(() => got.at(-1)?.type, { timeout: 10_000 }).toBe("end");
    expect(got.map(({ type, id }) => `${type} ${id}`)).toEqual([
      "snapshot 1-40",
      "message 1-41",
      "message 1-42",
      "end 1-42",
    ]);
    expect(JSON.parse(got[0]?.data ?? "")).toEqual({
      events: [{ id: "1-40", data: running.live.data.slice(0, 40).join("") }],
      through: "1-40",
      missing: 0,
    });
  });

  test("is told to stop once it has all of a finished stream: 204", async () => {
    const running = await start("folding");
    await send(running, words(1, 9));
    running.source.end();
    await running.live.toEnd();
    const source = new EventSource(snapshotUrl(running));
    const got: string[] = [];
    for (const name of ["snapshot", "end"]) source.addEventListener(name, ({ type }) => got.push(type));
    await expect.poll(() => source.readyState, { timeout: 10_000 }).toBe(EventSource.CLOSED);
    expect(got).toEqual(["snapshot", "end"]);
  });

  test("cut in the middle of one dispatches nothing of it, and gets it whole when it comes back", async () => {
    const running = await start("told");
    const filler = "y".repeat(30_000);
    await send(
      running,
      steps(1, 20).map((frame) => frame.replace("data: ", `data: ${filler} `)),
    );
    proxy.cutAfter(200_000);
    const connectionsBefore = proxy.connections;
    const source = new EventSource(snapshotUrl(running, proxy.origin));
    const got: { id: string; data: string }[] = [];
    source.addEventListener("snapshot", ({ lastEventId: id, data }) => got.push({ id, data: String(data) }));
    await expect.poll(() => proxy.connections - connectionsBefore, { timeout: 10_000 }).toBeGreaterThan(2);
    expect(got).toEqual([]);
    proxy.cutAfter(0);
    await expect.poll(() => got.length, { timeout: 10_000 }).toBe(1);
    source.close();
    expect(got[0]?.id).toBe("1-20");
    const whole: Snapshot = JSON.parse(got[0]?.data ?? "null");
    expect(entriesOf(whole)).toEqual(running.live.content);
  });

  test("cut in the middle of one, a reader that goes on by mode=live gets all of it event by event", async () => {
    const running = await start("told");
    const filler = "z".repeat(30_000);
    await send(
      running,
      steps(1, 20).map((frame) => frame.replace("data: ", `data: ${filler} `)),
    );
    proxy.cutAfter(200_000);
    const cut = await readStream(snapshotUrl(running, proxy.origin));
    expect(await cut.toEnd()).toBe("broken");
    expect(cut.lastEventId).toBe("0-0");
    proxy.cutAfter(0);
    running.source.end();
    const url = `${scene.service.origin}/told/resume?token=${running.live.token}&last_event_id=${cut.lastEventId}`;
    const rest = await readStream(url);
    await rest.toEnd();
    expect(rest.content).toEqual(running.live.content);
  });
});
