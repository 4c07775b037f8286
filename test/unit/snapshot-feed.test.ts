import { expect, test } from "vitest";

import { SnapshotFeed } from "../../durable-objects/stream/snapshot-feed.ts";
import type { StreamBuffer } from "../../durable-objects/stream/stream-buffer.ts";
import { formatEventId } from "../../protocol/event-id.ts";
import { add, event, makeBuffer } from "../simulation/buffer-harness.ts";

const textDecoder = new TextDecoder();

interface Entry {
  readonly id?: string;
  readonly data?: string;
  readonly gap?: { readonly dropped: number };
}

/** Drives a feed as a reader does, and takes the event apart as the grammar says. */
function readSnapshot(buffer: StreamBuffer, feed: SnapshotFeed, text = "") {
  let frame = text;
  while (!feed.isDone || feed.unsent.byteLength > 0) frame += stepOnce(buffer, feed);
  const lines = frame.split("\n");
  const data = lines.filter((line) => line.startsWith("data: ")).map((line) => line.slice("data: ".length));
  const id = lines.find((line) => line.startsWith("id: "))?.slice("id: ".length);
  // Made by the code under test; its members are what is checked.
  const parsed = JSON.parse(data.join("\n")) as { events: Entry[]; through: string; missing: number };
  return { ...parsed, id };
}

function stepOnce(buffer: StreamBuffer, feed: SnapshotFeed): string {
  if (feed.unsent.byteLength > 0) return textDecoder.decode(feed.takeUnsent(16 * 1024));
  const isWhole = feed.step(buffer, (nextSeq, startSeq) => ({
    from: formatEventId(buffer.idOf(nextSeq)),
    to: formatEventId(buffer.idOf(startSeq - 1)),
    dropped: startSeq - nextSeq,
    reason: "buffer_trimmed",
  }));
  expect(isWhole).toBe(true);
  return "";
}

function wordsFrom(first: number, count: number): ReturnType<typeof event>[] {
  return Array.from({ length: count }, (_, at) => event(`${first + at}:${"x".repeat(396)} `));
}

const textOf = (entries: readonly Entry[]) => entries.map(({ data }) => data ?? "").join("");

test("what folding overtakes is in the snapshot once", () => {
  const { buffer, changes } = makeBuffer({ maxEvents: 300, relief: { fold: "text" } });
  add(buffer, wordsFrom(0, 200));
  buffer.flush(1000);
  const feed = new SnapshotFeed(buffer.lastSeq);
  let begun = "";
  for (let steps = 0; steps < 6; steps++) begun += stepOnce(buffer, feed);
  expect(feed.nextSeq).toBeGreaterThan(1);
  expect(feed.nextSeq).toBeLessThan(200);

  add(buffer, wordsFrom(200, 60));
  while (buffer.relieve(1000));
  expect(changes.filter(({ kind }) => kind === "folded").length).toBeGreaterThan(0);
  const segment = buffer.segmentAt(feed.nextSeq);
  expect(segment?.encoding, "a fold lies across the snapshot's place").toBe("folded");

  const { events, through, id, missing } = readSnapshot(buffer, feed, begun);
  const last = Number(through.split("-")[1]);
  expect(last).toBeGreaterThanOrEqual(200);
  expect(textOf(events)).toBe(
    wordsFrom(0, last)
      .map(({ data }) => data)
      .join(""),
  );
  expect(id).toBe(through);
  expect(missing).toBe(0);
});

test("B2: what is not committed is not folded, so that no crash parts what was given as one", () => {
  const { buffer } = makeBuffer({ relief: { fold: "text" } });
  add(buffer, wordsFrom(0, 3));
  buffer.flush(1000);
  add(buffer, wordsFrom(3, 2));
  const { events } = readSnapshot(buffer, new SnapshotFeed(buffer.lastSeq));
  expect(events.map(({ id }) => id)).toEqual(["1-3", "1-4", "1-5"]);
});

test("before the first event it is empty, and says so", () => {
  const { buffer } = makeBuffer();
  expect(readSnapshot(buffer, new SnapshotFeed(0))).toEqual({ events: [], through: "0-0", missing: 0, id: "0-0" });
});

test("a hole is named where it is, and counted", () => {
  const { buffer } = makeBuffer({ maxEvents: 2 });
  add(buffer, [event("a", "stage"), event("b", "debug"), event("c", "debug"), event("d", "stage")]);
  const { events, missing } = readSnapshot(buffer, new SnapshotFeed(4));
  expect(events.map(({ id, gap }) => id ?? gap?.dropped)).toEqual(["1-1", 2, "1-4"]);
  expect(missing).toBe(2);
});

test("an event of several lines and beyond a segment is one entry, byte for byte", () => {
  const { buffer } = makeBuffer();
  const large = Array.from({ length: 9000 }, (_, at) => `line ${at} "ü😀"`).join("\n");
  add(buffer, [event("before"), event(large, "token"), event("after")]);
  const { events } = readSnapshot(buffer, new SnapshotFeed(3));
  expect(events).toEqual([
    { id: "1-1", data: "before" },
    { id: "1-2", event: "token", data: large },
    { id: "1-3", data: "after" },
  ]);
});

test("B6: what was taken of a snapshot is held no longer", () => {
  const { buffer } = makeBuffer({ maxEvents: 300 });
  add(buffer, wordsFrom(0, 10));
  buffer.flush(1000);
  const feed = new SnapshotFeed(buffer.lastSeq);
  stepOnce(buffer, feed);
  expect(feed.unsent.buffer.byteLength).toBeGreaterThan(3000);
  // The last part may be as long as what is asked for.
  feed.takeUnsent(feed.unsent.byteLength - 1);
  feed.takeUnsent(1);
  expect(feed.unsent.byteLength).toBe(0);
  expect(feed.unsent.buffer.byteLength).toBe(0);
});
