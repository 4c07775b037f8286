/**
 * `recovered_events`: what readers who came back were really sent of what was there when they came.
 */
import { expect, test } from "vitest";

import { RecoveryNotes } from "../../durable-objects/stream/recovery-notes.ts";
import { Reader, type ReaderPort } from "../../durable-objects/stream/reader.ts";
import { SnapshotFeed } from "../../durable-objects/stream/snapshot-feed.ts";
import type { StreamTelemetry } from "../../protocol/telemetry.ts";
import { add, event, makeBuffer } from "../simulation/buffer-harness.ts";

const PORT: ReaderPort = {
  roomBytes: () => 1,
  queuedBytes: () => 0,
  send: () => undefined,
  close: () => undefined,
  breakOff: () => undefined,
  abort: () => undefined,
};

/** A stream of `events` events, and a reader who has those through `position`. */
function returnTo(events: number, position: number) {
  const { buffer, record } = makeBuffer({ maxEvents: 10_000 });
  add(
    buffer,
    Array.from({ length: events }, (_, at) => event(`${at}`)),
  );
  const told: StreamTelemetry[] = [];
  const notes = new RecoveryNotes({ record, buffer, emit: (one) => told.push(one) });
  const reader = new Reader({
    port: PORT,
    hasControlEvents: true,
    isFollowing: true,
    isResumed: true,
    acceptsGap: false,
    snapshot: undefined,
    nextSeq: position + 1,
    replayThroughSeq: buffer.lastSeq,
    nowMs: 0,
  });
  notes.noteResume(buffer.idOf(position), reader, false);
  return { buffer, record, notes, reader, told };
}

test("all that was there and is sent", () => {
  const { record, reader, notes } = returnTo(50, 20);
  reader.nextSeq = 51;
  notes.noteLeft(reader);
  expect(record.recoveredEvents).toBe(30);
});

test("not what a gap took, as far as it was there when the reader came", () => {
  const { buffer, record, reader, notes } = returnTo(50, 0);
  reader.nextSeq = 17;
  add(
    buffer,
    Array.from({ length: 400 }, (_, at) => event(`${at}`)),
  );
  const missing = 334;
  reader.nextSeq += missing;
  notes.noteGap(reader, missing);
  notes.noteLeft(reader);
  expect(record.recoveredEvents).toBe(16);
});

test("not what was still to be sent when the reader left", () => {
  const { record, reader, notes } = returnTo(50, 10);
  reader.nextSeq = 31;
  notes.noteLeft(reader);
  expect(record.recoveredEvents).toBe(20);
});

test("not what a snapshot could not hold, and never less than nothing", () => {
  const { buffer, record, reader, notes } = returnTo(50, 0);
  const feed = new SnapshotFeed(50);
  feed.missingEvents = 334;
  feed.missingOfReplay = 34;
  add(
    buffer,
    Array.from({ length: 350 }, (_, at) => event(`${at}`)),
  );
  reader.nextSeq = 385;
  notes.noteSnapshot(reader, feed);
  notes.noteLeft(reader);
  expect(record.recoveredEvents).toBe(16);
});
