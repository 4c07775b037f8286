/**
 * Faults put into what a full buffer does on purpose: see deliberate-faults.ts.
 */
import type { Folder, StoredFrame } from "../../durable-objects/stream/fold/folding.ts";
import { readSteps, writeSteps } from "../../durable-objects/stream/fold/steps-text.ts";
import { createTrimmer } from "../../durable-objects/stream/fold/payload-trim.ts";
import { PressureRelief, type ReliefDeps } from "../../durable-objects/stream/pressure-relief.ts";
import type { ReaderPort } from "../../durable-objects/stream/reader.ts";
import { Sampling } from "../../durable-objects/stream/sampling.ts";
import { SegmentIndex, type Eviction, type Segment } from "../../durable-objects/stream/segment-index.ts";
import { SegmentReading } from "../../durable-objects/stream/segment-reading.ts";
import { SegmentWrites } from "../../durable-objects/stream/segment-writes.ts";
import { SnapshotFeed } from "../../durable-objects/stream/snapshot-feed.ts";
import { StreamBuffer } from "../../durable-objects/stream/stream-buffer.ts";
import { StreamStore } from "../../durable-objects/stream/stream-store.ts";
import { TelemetryGathering } from "../../durable-objects/stream/telemetry-gathering.ts";
import { replaceMethod } from "./method-patch.ts";
import { portThat, type DeliberateFault } from "./fault-tools.ts";

type Commit = Parameters<StreamStore["commit"]>[0];

/** Forgets to delete what others took the place of. */
class HoardingStore extends StreamStore {
  override commit(change: Commit): void {
    super.commit({ ...change, drop: [] });
  }
}

/** Deletes in a transaction of its own, before what takes the place is written. */
class HastyStore extends StreamStore {
  override commit(change: Commit): void {
    if (change.drop.length > 0) super.commit({ write: [], drop: change.drop, record: undefined });
    super.commit({ ...change, drop: [] });
  }
}

/** Says of deflated rows that they are plain. */
class FlatStore extends StreamStore {
  override commit(change: Commit): void {
    const write = change.write.map((row) => ({
      ...row,
      encoding: row.encoding === "deflate" ? ("plain" as const) : row.encoding,
    }));
    super.commit({ ...change, write });
  }
}

/** Tells of the first two events of a fold that all was the second one's. */
class MisjudgingStore extends StreamStore {
  override readFolds(firstSeq: number): string | undefined {
    const folds = JSON.parse(super.readFolds(firstSeq) ?? "null") as [number, number, number, string][] | null;
    if (folds === null) return undefined;
    const moved = folds.map(([first, last, width, text]) => {
      const [one = 0, other = 0, ...rest] = readSteps({ width, text });
      if (typeof one !== "number" || typeof other !== "number") return [first, last, width, text];
      return [first, last, width, writeSteps([0, one + other, ...rest]).text];
    });
    return JSON.stringify(moved);
  }
}

/** Has another method in the place of the folder's own, in every buffer that is made. */
function folderThat(change: (folder: Folder) => Partial<Folder>): () => () => void {
  return () => {
    const changed = new WeakSet<object>();
    return replaceMethod(StreamBuffer.prototype, "append", (self, original) => (...args) => {
      const { folder } = self as StreamBuffer;
      if (folder !== undefined && !changed.has(folder)) {
        changed.add(folder);
        Object.assign(folder, change({ ...folder }));
      }
      return original(...args);
    });
  };
}

function lastOf(frames: readonly StoredFrame[]): StoredFrame | undefined {
  return frames.at(-1);
}

/** The frame under the id of the event before its last. */
function underEarlierId(frame: StoredFrame): StoredFrame {
  if (frame.firstSeq === frame.lastSeq) return frame;
  return { ...frame, text: frame.text.replace(`-${frame.lastSeq}\n`, `-${frame.lastSeq - 1}\n`) };
}

function joined(one: StoredFrame, other: StoredFrame): StoredFrame {
  const steps = [...(one.steps ?? [0]), ...(other.steps ?? [0])];
  return { firstSeq: one.firstSeq, lastSeq: other.lastSeq, text: other.text, steps };
}

function unmarking(port: ReaderPort): Partial<ReaderPort> {
  return {
    send(chunk) {
      const text = Buffer.from(chunk).toString("latin1");
      port.send(Buffer.from(text.replaceAll("\n: payload trimmed\n", "\n"), "latin1"));
    },
  };
}

/** As if every gap of several events were one fold. */
function undercounting(port: ReaderPort): Partial<ReaderPort> {
  return {
    send(chunk) {
      const text = Buffer.from(chunk).toString("latin1");
      port.send(Buffer.from(text.replaceAll(/(?<head>event: gap\n.*"dropped":)\d+/g, "$<head>1"), "latin1"));
    },
  };
}

/** How wide a gap the fault below reaches across. */
const MAX_GAP = 40;

export const RELIEF_FAULTS: readonly DeliberateFault[] = [
  {
    name: "the rest of a fold begins an event too late",
    install: folderThat((folder) => ({
      remainder: (frame, seq) => folder.remainder(frame, Math.min(seq + 1, frame.lastSeq - 1)),
    })),
  },
  {
    name: "the rest of a fold begins an event too early",
    install: folderThat((folder) => ({
      remainder: (frame, seq) => (seq > frame.firstSeq ? folder.remainder(frame, seq - 1) : frame.text),
    })),
  },
  {
    name: "a fold loses what its last event appends",
    install: folderThat((folder) => ({
      fold(frames) {
        const last = lastOf(frames);
        const folded = folder.fold(frames.slice(0, -1));
        const end = lastOf(folded);
        if (last === undefined || end?.steps === undefined) return folder.fold(frames);
        const text = end.text.replace(/^id: .*$/m, last.text.split("\n", 1).join(""));
        return [...folded.slice(0, -1), { ...end, text, lastSeq: last.lastSeq, steps: [...end.steps, 0] }];
      },
    })),
  },
  {
    name: "a fold keeps the id of the event before its last",
    install: folderThat((folder) => ({ fold: (frames) => folder.fold(frames).map(underEarlierId) })),
  },
  {
    name: "a fold swallows an event that does more than append",
    install: folderThat((folder) => ({
      fold(frames) {
        const folded = folder.fold(frames);
        const at = folded.findIndex((frame, n) => frame.steps !== undefined && folded[n + 1]?.steps === undefined);
        const [one, other] = [folded[at], folded[at + 1]];
        if (one === undefined || other === undefined) return folded;
        return [...folded.slice(0, at), { ...joined(one, other), text: one.text }, ...folded.slice(at + 2)];
      },
    })),
  },
  {
    name: "a fold goes across a gap",
    install: () =>
      replaceMethod(PressureRelief.prototype, "foldBefore", (self, original) => (group, maxBytes) => {
        const before = original(group, maxBytes);
        const [first] = group as readonly Segment[];
        if (before !== undefined || first === undefined) return before;
        const { index } = Reflect.get(self, "deps") as ReliefDeps;
        for (let seq = first.firstSeq - 2; seq > 0 && seq > first.firstSeq - MAX_GAP; seq--) {
          const fold = index.from(seq);
          const isBefore = fold?.frameEnds !== undefined && fold.lastSeq < first.firstSeq;
          if (isBefore && fold.priority === first.priority) return fold;
        }
        return undefined;
      }),
  },
  { name: "rows of what was folded stay", hooks: { makeStore: (sql) => new HoardingStore(sql) } },
  { name: "rows of what was folded go first", hooks: { makeStore: (sql) => new HastyStore(sql) } },
  {
    name: "rows that storage refuses count as written where others go for them",
    install: () =>
      replaceMethod(SegmentWrites.prototype, "commit", (_, original) => (write, drop, recordThroughSeq) => {
        const isDone = original(write, drop, recordThroughSeq) === true;
        return isDone || (drop as Commit["drop"]).length > 0;
      }),
  },
  {
    name: "an event that was sampled out is promised",
    install: () =>
      replaceMethod(StreamBuffer.prototype, "noteSampledOut", (self, original) => (piece) => {
        original(piece);
        const newest = (Reflect.get(self, "index") as SegmentIndex).newest();
        const { firstSeq, lastSeq } = piece as Segment;
        if (newest?.isStored === false && newest.lastSeq + 1 === firstSeq) newest.lastSeq = lastSeq;
      }),
  },
  {
    name: "sampling keeps every other event, whatever its share",
    install: () =>
      replaceMethod(Sampling.prototype, "keepsNext", (self, original) => () => {
        const isKept = original() === true;
        return isKept || Number(Reflect.get(self, "seen")) % 2 === 0;
      }),
  },
  { name: "a trimmed event is not marked", hooks: portThat(unmarking) },
  {
    name: "trimming takes more than is named",
    install: () =>
      replaceMethod(PressureRelief.prototype, "nextTrim", (self, original) => () => {
        const { trimPaths } = (Reflect.get(self, "deps") as ReliefDeps).policy;
        if (trimPaths.length > 0) Reflect.set(self, "trim", createTrimmer([...trimPaths, "$.keep"]));
        return original();
      }),
  },
  { name: "a deflated row counts as plain", hooks: { makeStore: (sql) => new FlatStore(sql) } },
  {
    name: "the first event of a fold counts as part of the second",
    hooks: { makeStore: (sql) => new MisjudgingStore(sql) },
  },
  {
    name: "a snapshot has no word of its gap",
    install: () =>
      replaceMethod(SnapshotFeed.prototype, "passGap", (_, original) => (gap, startSeq) => {
        original(gap, startSeq);
        return "";
      }),
  },
  {
    name: "a snapshot counts its missing events as frames",
    install: () =>
      replaceMethod(
        SnapshotFeed.prototype,
        "passGap",
        (_, original) => (gap, startSeq) => original({ ...(gap as object), dropped: 1 }, startSeq),
      ),
  },
  {
    name: "a snapshot says a fold whole that has overtaken it",
    install: () => replaceMethod(SnapshotFeed.prototype, "restOf", () => (frame) => frame),
  },
  {
    name: "evicted frames are counted, not what was folded into them",
    install: () =>
      replaceMethod(SegmentIndex.prototype, "evict", (_, original) => (...args) => {
        const eviction = original(...args) as Eviction;
        return { ...eviction, events: eviction.segment.eventCount - eviction.segment.goneEvents };
      }),
  },
  { name: "a gap counts frames, not what was folded into them", hooks: portThat(undercounting) },
  {
    name: "part of a fold gives way",
    install: () =>
      replaceMethod(SegmentIndex.prototype, "evictOldestEvents", (_, original) => (segment, events) => {
        const eviction = original(segment, events) as Eviction;
        const { floorSeq, frameEnds } = eviction.segment;
        if (eviction.segment.isEvicted || frameEnds === undefined) return eviction;
        eviction.segment.floorSeq = Math.min(floorSeq, eviction.segment.firstSeq + Number(events));
        return eviction;
      }),
  },
  {
    name: "the hot tail gives up the highest priority first",
    install: () =>
      replaceMethod(SegmentIndex.prototype, "unstored", (_, original) => () => {
        const unstored = original() as Segment[];
        return Object.assign(unstored, { sort: () => unstored.toSorted((a, b) => b.priority - a.priority) });
      }),
  },
  {
    name: "the buffer evicts before it folds",
    install: () =>
      replaceMethod(StreamBuffer.prototype, "settle", (self, original) => (nowMs) => {
        Reflect.apply(Reflect.get(self, "enforce") as () => void, self, []);
        original(nowMs);
      }),
  },
  {
    name: "the buffer compresses before it trims",
    install: () =>
      replaceMethod(
        PressureRelief.prototype,
        "nextTrim",
        (self, original) => () =>
          Reflect.apply(Reflect.get(self, "nextCompression") as () => unknown, self, []) ?? original(),
      ),
  },
  {
    name: "the buffer gives way from the first event on",
    install: () =>
      replaceMethod(StreamBuffer.prototype, "settle", (self, original) => (nowMs) => {
        (self as StreamBuffer).relieve(Number(nowMs));
        original(nowMs);
      }),
  },
  {
    name: "a fold's rest is read from the row's beginning",
    install: () =>
      replaceMethod(SegmentReading.prototype, "restOf", (_, original) => (frames) => {
        const [first] = frames as readonly StoredFrame[];
        return first === undefined ? original(frames, 0) : original(frames, first.firstSeq);
      }),
  },
  {
    name: "telemetry keeps what it has gathered",
    install: () => replaceMethod(TelemetryGathering.prototype, "tellAll", () => () => undefined),
  },
];
