/**
 * Moves a shard's events to their sink: seal, deliver, and only then let go. One flush runs at a time;
 * whoever asks for one meanwhile waits for it and for one more, which covers what they saw buffered. Operators'
 * work on the buffer takes its turn here, too: nothing is delivered while it goes on.
 *
 * Failures back off with jitter and leave the batch as it was; the shard's alarm tries again.
 */
import type { ShardFlushReport } from "../../protocol/lake-call.ts";
import type { LakeRow } from "../../protocol/lake-event.ts";
import type { LakeTelemetry } from "../../protocol/telemetry.ts";
import { backoffMs } from "../backoff.ts";
import { decodePayload, ingestTimeUs } from "./append-payload.ts";
import type { BatchSink, PoisonRow } from "./batch-sink.ts";
import { spillDeadLetters } from "./dead-letters.ts";
import type { ShardBuffer } from "./shard-buffer.ts";
import type { DeadLetter } from "./dead-letter-store.ts";
import type { SealedBatch, ShardStore } from "./shard-store.ts";
import type { ObjectStore } from "../iceberg/object-store.ts";

export interface FlushDeps {
  readonly buffer: ShardBuffer;
  readonly store: ShardStore;
  readonly sink: Pick<BatchSink, "deliver">;
  /** Where dead letters go that the queue has no room for. */
  readonly objects: ObjectStore;
  readonly deadLetterMax: number;
  readonly clock: () => number;
  /** 0 to 1. */
  readonly random: () => number;
  readonly telemetry: (event: LakeTelemetry) => void;
}

const BACKOFF = { firstMs: 1000, maxMs: 300_000 };
const REASON_MAX_CHARS = 300;

interface Tally {
  events: number;
  files: number;
  bytes: number;
}

export class ShardFlush {
  private readonly deps: FlushDeps;
  /** Settles when it is over, whatever came of it. */
  private running: Promise<void> | undefined;
  private next: Promise<ShardFlushReport> | undefined;

  constructor(deps: FlushDeps) {
    this.deps = deps;
  }

  /** Flushes everything that is buffered now, whatever the backoff says. Never throws. */
  flush(): Promise<ShardFlushReport> {
    if (this.next !== undefined) return this.next;
    if (this.running === undefined) return this.exclusively(() => this.run());
    this.next = this.exclusively(() => {
      this.next = undefined;
      return this.run();
    });
    return this.next;
  }

  get isRunning(): boolean {
    return this.running !== undefined;
  }

  /** Does work that no flush may come between, after the one that is running. */
  async exclusively<T>(work: () => Promise<T>): Promise<T> {
    // Looked at again after every wait: somebody else may have come first.
    while (this.running !== undefined) await this.running;
    const run = work();
    const end = () => {
      this.running = undefined;
    };
    this.running = run.then(end, end);
    return run;
  }

  /** Delivers the first batch, within a turn of {@link exclusively}. @throws where it may succeed later */
  async deliverHead(batch: SealedBatch): Promise<void> {
    await this.deliver(batch, { events: 0, files: 0, bytes: 0 });
  }

  private async run(): Promise<ShardFlushReport> {
    const { buffer, clock, telemetry } = this.deps;
    const { name } = buffer.record;
    const uptoSeq = buffer.lastSeq;
    const startedAtMs = clock();
    const tally: Tally = { events: 0, files: 0, bytes: 0 };
    const report = (error: string | null) => ({ shard: name, ...tally, remaining: buffer.bufferedEvents, error });
    let batch: SealedBatch | undefined;
    try {
      batch = buffer.nextBatch(uptoSeq);
      if (batch !== undefined) telemetry({ event: "BufferFlushStarted", shard: name, events: buffer.bufferedEvents });
      while (batch !== undefined) {
        await this.deliver(batch, tally);
        batch = buffer.nextBatch(uptoSeq);
      }
      await this.spill();
    } catch (error) {
      return report(this.noteFailure(error, batch));
    }
    if (tally.events > 0) {
      telemetry({ event: "BufferFlushSucceeded", shard: name, ...tally, duration_ms: clock() - startedAtMs });
    }
    return report(null);
  }

  private async deliver(batch: SealedBatch, tally: Tally): Promise<void> {
    const { buffer, sink, clock, telemetry } = this.deps;
    const { index, name, attempts } = buffer.record;
    const { rows, unreadable } = this.readRows(batch);
    const delivery = await sink.deliver({ shardIndex: index, shard: name, batch: batch.batch, rows });
    // A reset that did not come to its end gave its number up: under another one it goes on.
    if (delivery === "withdrawn") return buffer.renumber();
    const { files, bytes, poison } = delivery;
    const nowMs = clock();
    const letters = [...unreadable, ...poison.map(toLetter)].map((letter) => ({
      ...letter,
      attempts: attempts + 1,
      atMs: nowMs,
    }));
    buffer.finish(batch, letters, nowMs);
    tally.events += batch.eventCount;
    tally.files += files;
    tally.bytes += bytes;
    const [first] = letters;
    if (first !== undefined) {
      telemetry({ event: "DeadLettered", shard: name, events: letters.length, reason: first.reason });
    }
  }

  private readRows(batch: SealedBatch): { rows: LakeRow[]; unreadable: Pick<DeadLetter, "event" | "reason">[] } {
    const rows: LakeRow[] = [];
    const unreadable: Pick<DeadLetter, "event" | "reason">[] = [];
    const shard = this.deps.buffer.record.name;
    for (const { firstSeq, appendedAtMs, payload } of this.deps.store.readPayloads(batch)) {
      try {
        const origin = { firstSeq, shard, ingestTimeUs: ingestTimeUs(appendedAtMs) };
        // Not spread into the call: a row holds up to 10,000 events.
        for (const row of decodePayload(payload, origin)) rows.push(row);
      } catch {
        // A damaged row must not hold up every event behind it; it is kept whole for whoever looks.
        unreadable.push({ event: new TextDecoder().decode(payload), reason: "unreadable append row" });
      }
    }
    return { rows, unreadable };
  }

  private async spill(): Promise<void> {
    const { buffer, store, objects, deadLetterMax } = this.deps;
    await spillDeadLetters({ buffer, store, objects, max: deadLetterMax });
  }

  private noteFailure(error: unknown, batch: SealedBatch | undefined): string {
    const { buffer, clock, random, telemetry } = this.deps;
    const reason = describeFailure(error);
    const retryMs = backoffMs(buffer.record.attempts + 1, random(), BACKOFF);
    try {
      buffer.noteFailure(reason, clock() + retryMs);
    } catch {
      // The buffer knows of it all the same; a restart without it only tries sooner.
    }
    telemetry({
      event: "BufferFlushFailed",
      shard: buffer.record.name,
      batch: batch?.batch ?? 0,
      attempts: buffer.record.attempts,
      reason,
      retry_ms: retryMs,
    });
    return reason;
  }
}

function toLetter({ row, reason }: PoisonRow): Pick<DeadLetter, "event" | "reason"> {
  return { event: JSON.stringify(row), reason };
}

/** Messages of storage and network, which hold neither payload nor secret, cut to one line. */
export function describeFailure(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.replaceAll(/\s+/g, " ").slice(0, REASON_MAX_CHARS);
}
