/**
 * Faults put into the code under test on purpose: a checker that does not find them sees nothing.
 *
 * Each is installed for one run and taken out again.
 */
import { Delivery } from "../../durable-objects/stream/delivery.ts";
import { Reader } from "../../durable-objects/stream/reader.ts";
import { ReaderRegistry } from "../../durable-objects/stream/reader-registry.ts";
import { SegmentIndex, type BufferLimits, type Segment } from "../../durable-objects/stream/segment-index.ts";
import { StreamBuffer } from "../../durable-objects/stream/stream-buffer.ts";
import { StreamSession } from "../../durable-objects/stream/stream-session.ts";
import { StreamStore, type StoredStream } from "../../durable-objects/stream/stream-store.ts";
import { portThat, type DeliberateFault } from "./fault-tools.ts";
import { replaceMethod, type Method } from "./method-patch.ts";
import { RELIEF_FAULTS } from "./relief-faults.ts";
import { NO_HOOKS, type SimHooks } from "./sim-object.ts";

const nothing = () => undefined;

class ForgetfulStore extends StreamStore {
  override commit(change: Parameters<StreamStore["commit"]>[0]): void {
    super.commit({ ...change, write: change.write.slice(0, -1) });
  }
}

class SlipperyStore extends StreamStore {
  override readSlice(firstSeq: number, offset: number, length: number): Uint8Array {
    return super.readSlice(firstSeq, Math.max(0, offset - 1), length);
  }
}

class MuteStore extends StreamStore {
  override commit(change: Parameters<StreamStore["commit"]>[0]): void {
    super.commit({ ...change, record: undefined });
  }
}

/** Keeps the epochs as they were stored, whatever the restart makes of them. */
class TimelessStore extends StreamStore {
  override load(): StoredStream | undefined {
    const stored = super.load();
    const epochs = stored?.record.epochs;
    if (stored !== undefined) Object.defineProperty(stored.record, "epochs", { get: () => epochs, set: nothing });
    return stored;
  }
}

function loosened(limits: unknown): BufferLimits {
  const { maxEvents, maxBytes } = limits as BufferLimits;
  return { maxEvents: maxEvents + 1, maxBytes };
}

export const DELIBERATE_FAULTS: readonly DeliberateFault[] = [
  ...RELIEF_FAULTS,
  { name: "a store forgets the last segment of a commit", hooks: { makeStore: (sql) => new ForgetfulStore(sql) } },
  { name: "a store reads slices from a byte too early", hooks: { makeStore: (sql) => new SlipperyStore(sql) } },
  { name: "a store never updates the record", hooks: { makeStore: (sql) => new MuteStore(sql) } },
  { name: "a restart opens no new epoch", hooks: { makeStore: (sql) => new TimelessStore(sql) } },
  {
    name: "a transaction that fails half way keeps its first half",
    hooks: {
      makeStore: (sql) => new StreamStore({ exec: (...call) => sql.exec(...call), transaction: (work) => work() }),
    },
  },
  { name: "a port always reports room", hooks: portThat(() => ({ roomBytes: () => 1 })) },
  {
    name: "a gap is not announced",
    hooks: portThat((port) => ({
      send: (chunk) => (new TextDecoder().decode(chunk).includes("event: gap\n") ? undefined : port.send(chunk)),
    })),
  },
  {
    name: "the buffer holds one event more than its limit",
    install: () =>
      replaceMethod(SegmentIndex.prototype, "enforce", (_, original) => (limits) => original(loosened(limits))),
  },
  {
    name: "the highest priority gives way first",
    install: () =>
      replaceMethod(SegmentIndex.prototype, "victim", (self) => () => {
        const lanes = Reflect.get(self, "lanes") as readonly { oldest(): Segment | undefined }[];
        return lanes
          .toReversed()
          .find((lane) => lane.oldest() !== undefined)
          ?.oldest();
      }),
  },
  {
    name: "a segment grows over evicted events",
    install: () => replaceMethod(SegmentIndex.prototype, "newest", newestWithItsEndMoved),
  },
  {
    name: "evicting reads what is evicted",
    install: () =>
      replaceMethod(StreamBuffer.prototype, "noteEviction", (self, original) => (eviction) => {
        const { segment } = eviction as { segment: Segment };
        const { store } = Reflect.get(self, "deps") as { store: StreamStore };
        if (segment.isStored) store.readPayload(segment.firstSeq);
        return original(eviction);
      }),
  },
  {
    name: "memory for what storage refuses has no end",
    install: () => replaceMethod(StreamBuffer.prototype, "trimHotTail", () => nothing),
  },
  {
    name: "what died with the object counts as here",
    install: () =>
      replaceMethod(StreamBuffer.prototype, "locate", (_, original) => (position) => {
        const located = original(position) as { kind: string };
        return located.kind === "rewound" ? { ...located, kind: "here" } : located;
      }),
  },
  {
    name: "nothing is committed at the interval",
    install: () => replaceMethod(StreamSession.prototype, "tick", () => nothing),
  },
  {
    name: "the end is told before it is durable",
    install: () =>
      replaceMethod(StreamSession.prototype, "finish", (self, original) => (move, reason, nowMs) => {
        original(move, reason, nowMs);
        (self as StreamSession).announceEnd(Number(nowMs));
      }),
  },
  {
    name: "who comes between the outcome and its announcement is not told the end",
    install: () =>
      replaceMethod(Delivery.prototype, "announceEnd", (self, original) => (nowMs) => {
        if ((self as Delivery).readers.size === 0) original(nowMs);
      }),
  },
  { name: "nobody is swept", install: () => replaceMethod(Delivery.prototype, "sweep", () => nothing) },
  { name: "there is no heartbeat", install: () => replaceMethod(Delivery.prototype, "heartbeat", () => nothing) },
  {
    name: "the limit of readers is none",
    install: () => replaceMethod(ReaderRegistry.prototype, "admit", () => () => ({ kind: "admit" })),
  },
  {
    name: "a reader counts as stalled too early",
    install: () =>
      replaceMethod(
        Reader.prototype,
        "isStalled",
        (_, original) => (nowMs, stallMs) => original(nowMs, Number(stallMs) / 2),
      ),
  },
  {
    name: "a chunk is sent twice",
    install: () =>
      replaceMethod(Reader.prototype, "send", (_, original) => (chunk, nowMs) => {
        original(chunk, nowMs);
        if ((chunk as Uint8Array).byteLength === 77) original(chunk, nowMs);
      }),
  },
];

/** As `newest`, but telling of the last stored-in-memory segment that it ends where the stream does. */
function newestWithItsEndMoved(self: object, original: Method): Method {
  return () => {
    const newest = original() as Segment | undefined;
    const ordered = Reflect.get(self, "ordered") as readonly Segment[];
    if (newest?.isEvicted !== true) return newest;
    const older = ordered.findLast((segment) => !segment.isEvicted && !segment.isStored);
    if (older !== undefined) older.lastSeq = newest.lastSeq;
    return older ?? newest;
  };
}

/** Runs something with a fault in place. */
export function withFault<T>(fault: DeliberateFault, run: (hooks: SimHooks) => T): T {
  const remove = fault.install?.() ?? nothing;
  try {
    return run({ ...NO_HOOKS, ...fault.hooks });
  } finally {
    remove();
  }
}
