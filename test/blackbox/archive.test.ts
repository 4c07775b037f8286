/**
 * The archive of the service as it is deployed, with its own alarms: a finished stream leaves its object after
 * `SSE_SNAPSHOT_TTL_SEC`, nothing of it is left there, and readers are answered as before.
 */
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

import { decodeArchive } from "../../durable-objects/stream/archive-file.ts";
import { fewAtATime } from "../fixtures/folded-stream.ts";
import { startLakeService, type LakeService } from "../fixtures/lake-service.ts";
import { sendSpaced } from "../fixtures/live-source.ts";
import { problemOf } from "../fixtures/problems.ts";
import { objectsWithTables } from "../fixtures/process-storage.ts";
import { S3Objects } from "../fixtures/s3-objects.ts";
import { parseObject, readByEventSource, readStream, resumeStream } from "../fixtures/sse-reading.ts";
import { API_TRANSCRIPTS } from "../fixtures/transcripts/index.ts";
import { startUpstream, type Upstream } from "../fixtures/upstream.ts";

const WAIT = { timeout: 30_000, interval: 50 };
const LARGE_MB = 6;
const EVENT_BYTES = 1000;
/** What an archived stream says of itself beside its events: settings, and what the route folds. */
const RECORD_MAX_BYTES = 4500;

let folder: string;
let upstream: Upstream;
let service: LakeService;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "spillway-archive-"));
  upstream = await startUpstream();
  const route = { upstream: upstream.origin, method: "GET", allowGet: true };
  service = await startLakeService({
    persistTo: folder,
    vars: {
      ROUTES: [
        ...[...new Set(API_TRANSCRIPTS.map(({ preset }) => preset))].map((fold) => ({ ...route, name: fold, fold })),
        { name: "demo", upstream: "builtin:demo", allowGet: true },
      ],
      SSE_ARCHIVE: true,
      SSE_SNAPSHOT_TTL_SEC: 3,
      SSE_RESUME_TTL_SEC: 3600,
      SSE_BUFFER_MAX_EVENTS: 10_000,
      SSE_BUFFER_MAX_SIZE_MB: 8,
    },
  });
});

afterAll(async () => {
  await service.kill();
  await upstream.stop();
  rmSync(folder, { recursive: true, force: true });
});

function told(event: string, requestId: string): Record<string, unknown>[] {
  return service.lines
    .filter((line) => line.startsWith(`{"event":"${event}"`))
    .map(parseObject)
    .filter((line) => line["request_id"] === requestId);
}

async function untilArchived(requestId: string): Promise<Record<string, unknown>> {
  await expect.poll(() => told("SseArchived", requestId).length, WAIT).toBe(1);
  return told("SseArchived", requestId)[0] ?? {};
}

async function untilNothingIsStored(): Promise<void> {
  await expect.poll(() => objectsWithTables(folder).length, WAIT).toBe(0);
}

function digest(texts: readonly string[]): string {
  return createHash("sha256").update(texts.join("\n")).digest("hex");
}

/** What each way of coming back is answered, without the tokens, which are new each time, and counts of resumes. */
async function readAll(route: string, token: string, lastSeq: number): Promise<string[]> {
  const positions = ["0-0", "1-1", `1-${Math.floor(lastSeq / 3)}`, `1-${lastSeq - 1}`, `1-${lastSeq}`, "1-99999"];
  const calls = [
    ...positions.map((position) => ({ position, query: "" })),
    { position: "0-0", query: "?mode=replay" },
    { position: "1-5", query: "?mode=snapshot" },
  ];
  return Promise.all(
    calls.map(async ({ position, query }) => {
      const headers = { "X-Resume-Token": token, "Last-Event-ID": position };
      const response = await fetch(`${service.origin}/${route}/resume${query}`, { headers });
      const text = `${response.status} ${await response.text()}`;
      return text
        .replaceAll(/"token":"[^"]+","expires_at":"[^"]+"/g, "…")
        .replaceAll(/"(resumes|recovered_events)":\d+/g, "…");
    }),
  );
}

test("every API's stream: archived at its end, gone from its object, and read again as before", async () => {
  const streams: { route: string; token: string; requestId: string; lastSeq: number; before: string[] }[] = [];
  for (const transcript of API_TRANSCRIPTS) {
    upstream.handle(sendSpaced(fewAtATime(transcript.events), 0));
    const live = await readStream(`${service.origin}/${transcript.preset}/stream`);
    await live.toEnd();
    const { token, requestId } = live;
    const { bytes } = await untilArchived(requestId);
    const lastSeq = transcript.events.length;
    const before = await readAll(transcript.preset, token, lastSeq);
    expect(before.map((text) => Number(text.slice(0, 3)))).toEqual([200, 200, 200, 200, 204, 400, 200, 200]);
    expect(bytes).toBeLessThan(RECORD_MAX_BYTES + live.byteCount / 4);
    streams.push({ route: transcript.preset, token, requestId, lastSeq, before });
  }
  await untilNothingIsStored();
  const objects = await new S3Objects(service.s3Origin, service.archiveBucket).list("streams/");
  const keys = objects.objects.map(({ key }) => key);
  expect(keys).toEqual(expect.arrayContaining(streams.map(({ requestId }) => `streams/${requestId}`)));
  for (const { route, token, requestId, lastSeq, before } of streams) {
    expect(await readAll(route, token, lastSeq)).toEqual(before);
    expect(told("SseArchiveRead", requestId)).toHaveLength(1);
    expect(told("SseArchived", requestId)).toHaveLength(1);
  }
  await untilNothingIsStored();
});

test("the npm package eventsource reads from the archive, and is told to stop when it has all", async () => {
  const live = await readStream(`${service.origin}/demo/stream?events=30&rate=0`);
  await live.toEnd();
  await untilArchived(live.requestId);
  await untilNothingIsStored();
  const url = `${service.origin}/demo/resume?token=${live.token}&last_event_id=`;
  const events = await readByEventSource(`${url}1-10`, ["token", "done"]);
  expect(events.filter(({ event }) => event === "token" || event === "done").map(({ id }) => id)).toEqual(
    live.content.slice(10).map(({ id }) => id),
  );
  expect((await fetch(`${url}1-30`)).status).toBe(204);
  const status = await fetch(`${service.origin}/demo/status`, { headers: { "X-Resume-Token": live.token } });
  expect(await status.json()).toMatchObject({ state: "completed", events: 30, last_id: "1-30" });
});

test(`a stream of ${LARGE_MB} MB: whole in the archive, and whole when it comes back`, async () => {
  const count = (LARGE_MB * 1_000_000) / EVENT_BYTES;
  const live = await readStream(`${service.origin}/demo/stream?events=${count}&bytes=${EVENT_BYTES}&rate=0`);
  await live.toEnd();
  expect(live.data).toHaveLength(count);
  await untilArchived(live.requestId);
  await untilNothingIsStored();
  const file = await new S3Objects(service.s3Origin, service.archiveBucket).get(`streams/${live.requestId}`);
  const { rows } = decodeArchive(file ?? new Uint8Array());
  expect(rows.reduce((sum, { wireBytes }) => sum + wireBytes, 0)).toBeGreaterThan(LARGE_MB * 1_000_000);
  const back = await resumeStream(`${service.origin}/demo/resume`, live.token, "0-0");
  expect(await back.toEnd()).toBe("closed");
  expect(back.control("gap")).toEqual([]);
  expect(digest(back.data)).toBe(digest(live.data));
});

test("SSE_ARCHIVE without the bucket: the service says so and takes no request", async () => {
  const faulty = await startLakeService({ vars: { SSE_ARCHIVE: true }, hasArchive: false });
  try {
    const ready = await fetch(`${faulty.origin}/ready`);
    expect(ready.status).toBe(503);
    expect(await ready.json()).toMatchObject({
      status: "misconfigured",
      faults: [{ variable: "ARCHIVE_BUCKET", found: "nothing" }],
    });
    expect(await problemOf(await fetch(`${faulty.origin}/demo/stream`))).toMatchObject({ code: "misconfigured" });
  } finally {
    await faulty.stop();
  }
});

test("without the bucket and without SSE_ARCHIVE everything is as ever", async () => {
  const plain = await startLakeService({ hasArchive: false });
  try {
    const live = await readStream(`${plain.origin}/demo/stream?events=5&rate=0`);
    await live.toEnd();
    const again = await resumeStream(`${plain.origin}/demo/resume`, live.token, "1-2");
    await again.toEnd();
    expect(again.content).toHaveLength(3);
    expect((await fetch(`${plain.origin}/ready`)).status).toBe(200);
  } finally {
    await plain.stop();
  }
});
