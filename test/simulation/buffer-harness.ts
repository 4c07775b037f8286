/**
 * A stream's buffer over real SQLite in memory, for tests: storage that refuses when told to, restarts,
 * and reading everything the way a reader does.
 */
import { createClassifier } from "../../durable-objects/stream/classify.ts";
import type { ReliefChange } from "../../durable-objects/stream/relief-change.ts";
import type { Segment } from "../../durable-objects/stream/segment-index.ts";
import { StreamBuffer, type Trim } from "../../durable-objects/stream/stream-buffer.ts";
import { StreamStore, type StreamRecord } from "../../durable-objects/stream/stream-store.ts";
import { SEGMENT_MAX_BYTES } from "../../protocol/limits.ts";
import type { SourceEvent } from "../../protocol/sse-frame.ts";
import { streamRecord, type BufferShape } from "../fixtures/stream-record.ts";
import { SimStorage } from "./sim-storage.ts";

const textDecoder = new TextDecoder();
export const NOW_MS = 1000;

export function makeBuffer(limits: Partial<BufferShape> = {}) {
  const storage = new SimStorage();
  const store = new StreamStore(storage.port);
  const evictions: Trim[] = [];
  const changes: ReliefChange[] = [];
  const degraded: boolean[] = [];
  const open = (record: StreamRecord, stored: ConstructorParameters<typeof StreamBuffer>[1]) =>
    new StreamBuffer(
      {
        store,
        record,
        classify: createClassifier([]),
        onTrim: (trim) => evictions.push(trim),
        onRelief: (change) => changes.push(change),
        onDegraded: (isDegraded) => degraded.push(isDegraded),
      },
      stored,
    );
  const record = streamRecord({ maxEvents: 10_000, maxBytes: 4_000_000, ...limits });
  return {
    buffer: open(record, undefined),
    record,
    storage,
    evictions,
    changes,
    degraded,
    /** A new object over the same storage. */
    restart: () => {
      const stored = store.load();
      if (stored === undefined) throw new Error("nothing is stored");
      return open(stored.record, stored.segments);
    },
    refuse: (kind: "read" | "write" | undefined) => (storage.shouldFail = (asked) => asked === kind),
  };
}

export function event(data: string, name?: string): SourceEvent {
  return { event: name, data, retryMs: undefined };
}

export function add(buffer: StreamBuffer, events: readonly SourceEvent[]) {
  const pieces = buffer.append(events, NOW_MS);
  buffer.settle(NOW_MS);
  return pieces;
}

/** Everything a reader would be given from `seq` on, as text, by the way a reader goes. */
export function readFrom(buffer: StreamBuffer, seq: number): string {
  let text = "";
  let next = seq;
  while (next <= buffer.lastSeq) {
    const segment = buffer.segmentAt(next);
    if (segment === undefined) return text;
    next = Math.max(next, segment.floorSeq);
    if (segment.wireBytes > SEGMENT_MAX_BYTES) {
      text += textDecoder.decode(readSlices(buffer, segment));
      next = segment.lastSeq + 1;
      continue;
    }
    const found = buffer.reading.from(segment, next);
    if (found === undefined) continue;
    requireSmall(found.bytes);
    text += textDecoder.decode(found.bytes);
    next = found.lastSeq + 1;
  }
  return text;
}

function readSlices(buffer: StreamBuffer, segment: Segment): Uint8Array {
  const parts: Uint8Array[] = [];
  for (let offset = 0; offset < segment.wireBytes;) {
    const slice = buffer.reading.slice(segment, offset);
    if (slice === undefined) break;
    requireSmall(slice);
    parts.push(slice);
    offset += slice.byteLength;
  }
  return Buffer.concat(parts);
}

/** B6: nobody is handed more than a segment at once. */
function requireSmall(bytes: Uint8Array): void {
  if (bytes.byteLength > SEGMENT_MAX_BYTES) throw new Error(`${bytes.byteLength} bytes at once`);
}
