/**
 * What lies in storage once a buffer has given way, and who can still read it: rows say how they are
 * packed, so that a service started again under other settings, also after kill -9, serves the same.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inflateRawSync } from "node:zlib";

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";

import { endService } from "../fixtures/end-service.ts";
import { statusOf } from "../fixtures/folded-stream.ts";
import { noise, play, playOn, range, replayOf, SMALL_BUFFER, SMALL_BUFFER_BYTES } from "../fixtures/pressed-stream.ts";
import { storedSegments, type StoredSegment } from "../fixtures/process-storage.ts";
import { entriesOf, reduceText, snapshotsIn } from "../fixtures/snapshot-reading.ts";
import { readStream, seqsOf } from "../fixtures/sse-reading.ts";
import { startUpstream, type Upstream } from "../fixtures/upstream.ts";
import { startService, type Service } from "../fixtures/workerd-service.ts";

const OFF = { SSE_BUFFER_COMPRESS: false, SSE_BUFFER_FOLD: false, SSE_BUFFER_TRIM_PAYLOADS: false };
const ON = { SSE_BUFFER_COMPRESS: true, SSE_BUFFER_FOLD: true, SSE_BUFFER_TRIM_PAYLOADS: true };

let upstream: Upstream;
let persistTo: string;
let service: Service;

beforeAll(async () => {
  upstream = await startUpstream();
});

beforeEach(() => {
  persistTo = mkdtempSync(join(tmpdir(), "spillway-relief-"));
});

afterEach(async () => {
  await endService(service);
  rmSync(persistTo, { recursive: true, force: true });
});

afterAll(async () => {
  await upstream.stop();
});

/** The same storage under these settings; what served it before is killed. */
async function serve(switches: Readonly<Record<string, boolean>>, port?: number): Promise<void> {
  const common = { upstream: upstream.origin, method: "GET", allowGet: true };
  const ROUTES = [
    { ...common, name: "plain" },
    { ...common, name: "folding", fold: "text" },
    { ...common, name: "verbose", trim: ["$.debug"] },
  ];
  const vars = { ROUTES, ...SMALL_BUFFER, ...switches };
  service = await startService({ vars, persistTo, ...(port === undefined ? {} : { port }) });
}

async function killAndServe(switches: Readonly<Record<string, boolean>>): Promise<void> {
  const port = Number(new URL(service.origin).port);
  await service.kill();
  await serve(switches, port);
}

/** Repetitive, as JSON of a model's deltas is: packed it takes a tenth. */
function chatter(n: number, event?: string): string {
  const data = JSON.stringify({
    n,
    model: "chat-model-2026",
    object: "chat.completion.chunk",
    pad: ["-"].concat(Array(40).fill(n)),
  });
  return `${event === undefined ? "" : `event: ${event}\n`}data: ${data}\n\n`;
}

/** `done` is critical, and critical events are written at once, with all that came before. */
const DONE = "event: done\ndata: over\n\n";

/** Waits until storage holds everything through `seq`. */
async function untilStored(seq: number): Promise<readonly StoredSegment[]> {
  await expect.poll(() => storedSegments(persistTo).at(-1)?.lastSeq, { timeout: 10_000 }).toBe(seq);
  return storedSegments(persistTo);
}

function encodingsOf(segments: readonly StoredSegment[]): string[] {
  return [...new Set(segments.map(({ encoding }) => encoding))].sort();
}

describe("packed segments", () => {
  test("are deflated in their rows, a fraction of the size, and replayed as they went out", async () => {
    await serve(ON);
    const frames = range(900).map((n) => chatter(n));
    const played = await play({ service, upstream }, "plain", [...frames, DONE]);
    const { status } = played;
    expect(status).toMatchObject({ events: 901, trimmed_events: 0, retained_events: 901, trimmed_payloads: 0 });
    expect(played.diagnostics).toMatchObject({ compressed_segments: status["compressed_segments"] });

    const segments = await untilStored(901);
    const packed = segments.filter(({ encoding }) => encoding === "deflate");
    expect(packed).toHaveLength(Number(status["compressed_segments"]));
    expect(packed.length).toBeGreaterThan(2);
    for (const { payload, wireBytes, firstSeq } of packed) {
      const wire = inflateRawSync(payload);
      expect(wire.byteLength).toBe(wireBytes);
      expect(payload.byteLength).toBeLessThan(wireBytes / 4);
      expect(wire.toString("utf8").split("\n")[0]).toBe(`id: 1-${firstSeq}`);
    }
    const storedBytes = segments.reduce((sum, { payload }) => sum + payload.byteLength, 0);
    expect(storedBytes).toBeLessThanOrEqual(SMALL_BUFFER_BYTES);
    expect(segments.reduce((sum, { wireBytes }) => sum + wireBytes, 0)).toBeGreaterThan(SMALL_BUFFER_BYTES);
    for (const position of ["0-0", "1-1", "1-37", "1-450", "1-900"]) {
      const { content } = await replayOf(played, position);
      expect(content).toEqual(played.live.content.slice(Number(position.slice(2))));
    }
    const lines = service.telemetry("SseBufferCompressed");
    expect(lines.reduce((sum, line) => sum + Number(line["segments"]), 0)).toBe(packed.length);
    for (const line of lines) {
      expect(line).toMatchObject({ message: "Applied event compression", request_id: played.live.requestId });
      expect(Number(line["saved_bytes"])).toBeGreaterThan(0);
    }
  });

  test("what packing does not make smaller stays plain", async () => {
    await serve(ON);
    const bytes = range(200).map((n) => `data: ${noise(n)}\n\n`);
    const played = await play({ service, upstream }, "plain", bytes);
    const segments = storedSegments(persistTo);
    const plain = segments.filter(({ encoding }) => encoding === "plain");
    for (const { payload, wireBytes } of plain) expect(payload.byteLength).toBe(wireBytes);
    for (const { payload, wireBytes } of segments.filter(({ encoding }) => encoding === "deflate")) {
      expect(payload.byteLength).toBeLessThanOrEqual(wireBytes * 0.9);
    }
    const kept = (await replayOf(played)).content;
    expect(kept).toEqual(played.live.content.slice(-kept.length));
  });

  test("with the switch off all rows are plain", async () => {
    await serve({ ...ON, SSE_BUFFER_COMPRESS: false });
    const { status } = await play(
      { service, upstream },
      "plain",
      range(900).map((n) => chatter(n)),
    );
    expect(encodingsOf(storedSegments(persistTo))).toEqual(["plain"]);
    expect(status).toMatchObject({ compressed_segments: 0 });
  });
});

describe("killed in mid-life and started with everything switched off", () => {
  test("packed rows are read as before, and new streams are not packed", async () => {
    await serve(ON);
    const frames = [...range(900).map((n) => chatter(n)), DONE];
    const played = await playOn({ service, upstream }, "plain", frames);
    const before = await untilStored(901);
    expect(encodingsOf(before)).toContain("deflate");
    await killAndServe(OFF);
    for (const position of ["0-0", "1-1", "1-333", "1-900"]) {
      const reading = await replayOf(played, position);
      expect(reading.content).toEqual(played.live.content.slice(Number(position.slice(2))));
      expect(reading.control("gap")).toEqual([]);
      expect(reading.control("end")).toMatchObject([{ status: "interrupted", last_id: "1-901" }]);
    }
    const other = await play(
      { service, upstream },
      "plain",
      range(900).map((n) => chatter(n)),
    );
    expect(other.status).toMatchObject({ compressed_segments: 0, folded_events: 0 });
  });

  test("folds are, also from inside, with what they were packed in", async () => {
    await serve(ON);
    const frames = [...range(600).map((n) => chatter(n, n % 50 === 0 ? "turn" : undefined)), DONE];
    const played = await playOn({ service, upstream }, "folding", frames);
    const before = await untilStored(601);
    expect(encodingsOf(before)).toContain("folded+deflate");
    const { events, retained_events, trimmed_events, folded_events } = await statusOf(played);
    await killAndServe(OFF);
    expect(await statusOf(played)).toMatchObject({ events, retained_events, trimmed_events, folded_events });
    const whole = reduceText(played.live.content);
    for (const seq of [0, 1, 2, 24, 49, 50, 51, 75, 299, 555, 600]) {
      const reading = await replayOf(played, seq === 0 ? "0-0" : `1-${seq}`);
      const read = reduceText([...played.live.content.slice(0, seq), ...reading.content]);
      expect(read, `after ${seq}`).toEqual(whole);
      expect(reading.control("gap")).toEqual([]);
    }
    const folded = (await replayOf(played)).content;
    expect(folded.length).toBeLessThan(300);
    expect(seqsOf(folded).at(-1)).toBe(601);
  });

  test("a snapshot holds what survived, whatever its reader has", async () => {
    await serve(ON);
    const frames = [...range(300).map((n) => chatter(n)), DONE];
    const played = await playOn({ service, upstream }, "folding", frames);
    await untilStored(301);
    played.source.send(chatter(302));
    await played.live.untilContent(302);
    await killAndServe(OFF);
    const url = `${played.origin}/folding/resume?mode=snapshot&token=${played.token}&last_event_id=1-302`;
    const reading = await readStream(url);
    await reading.toEnd();
    const [snapshot] = snapshotsIn(reading);
    expect(snapshot).toMatchObject({ through: "1-301", missing: 0 });
    const entries = snapshot === undefined ? [] : entriesOf(snapshot);
    expect(reduceText(entries)).toEqual(reduceText(played.live.content.slice(0, 301)));
    expect(reading.control("end")).toMatchObject([{ status: "interrupted", last_id: "1-301" }]);
  });

  test("trimmed payloads stay what they are", async () => {
    await serve(ON);
    const frames = range(90).map((n) => `data: ${JSON.stringify({ n, debug: noise(n) })}\n\n`);
    const played = await playOn({ service, upstream }, "verbose", [...frames, DONE]);
    await untilStored(91);
    const before = await statusOf(played);
    expect(before["trimmed_payloads"]).toBeGreaterThan(10);
    await killAndServe(OFF);
    const { data } = await replayOf(played);
    expect(data).toHaveLength(91);
    expect(data.filter((text) => text.includes('"debug":null'))).toHaveLength(Number(before["trimmed_payloads"]));
  });
});

test("started plain, and killed and started with everything switched on: read as before", async () => {
  await serve(OFF);
  const played = await playOn({ service, upstream }, "folding", [...range(200).map((n) => chatter(n)), DONE]);
  expect(encodingsOf(await untilStored(201))).toEqual(["plain"]);
  await killAndServe(ON);
  for (const position of ["0-0", "1-77"]) {
    const { content } = await replayOf(played, position);
    expect(content).toEqual(played.live.content.slice(Number(position.slice(2))));
  }
  expect(encodingsOf(storedSegments(persistTo))).toEqual(["plain"]);
});
