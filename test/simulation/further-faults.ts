/**
 * More faults put into the stream on purpose, beside deliberate-faults.ts: these are run by the nightly
 * alone, so that the unit tests stay short.
 */
import { Alarms } from "../../durable-objects/alarms.ts";
import { Delivery } from "../../durable-objects/stream/delivery.ts";
import type { StoredFrame } from "../../durable-objects/stream/fold/folding.ts";
import type { ReaderPort } from "../../durable-objects/stream/reader.ts";
import {
  SegmentIndex,
  type BufferLimits,
  type Eviction,
  type Segment,
} from "../../durable-objects/stream/segment-index.ts";
import { SegmentReading } from "../../durable-objects/stream/segment-reading.ts";
import { isFinished } from "../../durable-objects/stream/state-machine.ts";
import { StreamSession } from "../../durable-objects/stream/stream-session.ts";
import { StreamStore, type StreamRecord } from "../../durable-objects/stream/stream-store.ts";
import { HEARTBEAT_FRAME } from "../../protocol/sse-frame.ts";
import { portThat, type DeliberateFault } from "./fault-tools.ts";
import { replaceMethod } from "./method-patch.ts";

type Commit = Parameters<StreamStore["commit"]>[0];

/** B8 broken: the outcome waits for the commit after its tail's. */
class LateOutcomeStore extends StreamStore {
  private held: StreamRecord | undefined;

  override commit(change: Commit): void {
    const { record } = change;
    const isOutcome = record !== undefined && isFinished(record.state);
    const { held } = this;
    this.held = isOutcome ? record : undefined;
    super.commit({ ...change, record: isOutcome ? held : record });
  }
}

/** B8 broken: the outcome is there, its tail is not. */
class TaillessStore extends StreamStore {
  override commit(change: Commit): void {
    const isOutcome = change.record !== undefined && isFinished(change.record.state);
    super.commit(isOutcome ? { ...change, write: [] } : change);
  }
}

/** What is sent in a gap's frame. */
function gapThat(change: (frame: string) => string): (port: ReaderPort) => Partial<ReaderPort> {
  return (port) => ({
    send(chunk) {
      const text = Buffer.from(chunk).toString("latin1");
      const frames = text.split("\n\n").map((frame) => (frame.includes("event: gap\n") ? change(frame) : frame));
      port.send(Buffer.from(frames.join("\n\n"), "latin1"));
    },
  });
}

function earlier(text: string): string {
  return text.replace(/-(\d+)/, (_, seq: string) => `-${Number(seq) - 1}`);
}

/** One seq less, in every id that a frame names as its own or as where the gap ends. */
function endingEarlier(frame: string): string {
  return frame.replace(/^id: .*$/m, earlier).replace(/"to":"[^"]*"/, earlier);
}

export const FURTHER_FAULTS: readonly DeliberateFault[] = [
  { name: "a gap ends an event too early", hooks: portThat(gapThat(endingEarlier)) },
  {
    name: "a gap counts an event too many",
    hooks: portThat(
      gapThat((frame) => frame.replace(/"dropped":(\d+)/, (_, count: string) => `"dropped":${Number(count) + 1}`)),
    ),
  },
  {
    name: "a replay begins with the event its reader has",
    install: () =>
      replaceMethod(SegmentReading.prototype, "from", (_, original) => (segment, seq) => {
        const { floorSeq } = segment as Segment;
        return original(segment, Math.max(floorSeq, Number(seq) - 1));
      }),
  },
  {
    name: "the rest of a fold is skipped",
    install: () =>
      replaceMethod(SegmentReading.prototype, "restOf", (_, original) => (frames, seq) => {
        const later = (frames as readonly StoredFrame[]).filter(({ firstSeq }) => firstSeq >= Number(seq));
        return original(later, seq);
      }),
  },
  {
    name: "one eviction is taken for enough",
    install: () =>
      replaceMethod(SegmentIndex.prototype, "enforce", (self) => (limits) => enforceOnce(self, limits as BufferLimits)),
  },
  {
    name: "the newest of the lowest priority gives way first",
    install: () =>
      replaceMethod(SegmentIndex.prototype, "victim", (self) => () => {
        const ordered = (Reflect.get(self, "ordered") as readonly Segment[]).filter(({ isEvicted }) => !isEvicted);
        const lowest = Math.min(...ordered.map(({ priority }) => priority));
        return ordered.findLast(({ priority }) => priority === lowest);
      }),
  },
  {
    name: "a finished stream is never deleted",
    install: () =>
      replaceMethod(StreamSession.prototype, "wake", (_, original) => (nowMs) => {
        const verdict = original(nowMs);
        return verdict === "expired" ? "alive" : verdict;
      }),
  },
  {
    name: "an abandoned stream goes on",
    install: () =>
      replaceMethod(StreamSession.prototype, "deadlines", (_, original) => () => ({
        ...(original() as object),
        abandon: undefined,
      })),
  },
  {
    name: "an alarm that has gone off is not set again",
    install: () => replaceMethod(Alarms.prototype, "noteFired", () => () => undefined),
  },
  {
    name: "the outcome is stored with the commit after its tail's",
    hooks: { makeStore: (sql) => new LateOutcomeStore(sql) },
  },
  { name: "the outcome is stored without its tail", hooks: { makeStore: (sql) => new TaillessStore(sql) } },
  {
    name: "a heartbeat comes in the middle of an event",
    install: () =>
      replaceMethod(Delivery.prototype, "heartbeat", (self, original) => (nowMs) => {
        original(nowMs);
        for (const reader of (self as Delivery).readers) {
          if (reader.isMidEvent && reader.hasRoom)
            reader.send(new TextEncoder().encode(HEARTBEAT_FRAME), Number(nowMs));
        }
      }),
  },
  {
    name: "who waits for a turn of its own waits for ever",
    install: () => replaceMethod(Delivery.prototype, "feedPaused", () => () => undefined),
  },
];

function enforceOnce(self: object, { maxBytes, maxEvents }: BufferLimits): Eviction[] {
  const index = self as SegmentIndex;
  const isOverBytes = index.retainedBytes > maxBytes;
  const excess = index.retainedEvents - maxEvents;
  const victim = Reflect.apply(Reflect.get(self, "victim") as () => Segment | undefined, self, []);
  if (victim === undefined || (!isOverBytes && excess <= 0)) return [];
  if (isOverBytes) return [index.evict(victim, "max_bytes")];
  const evictOldestEvents = Reflect.get(self, "evictOldestEvents") as (segment: Segment, events: number) => Eviction;
  return [Reflect.apply(evictOldestEvents, self, [victim, excess])];
}
