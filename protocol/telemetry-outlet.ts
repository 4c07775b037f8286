/**
 * Hands telemetry to the lake in batches, without ever holding up or failing what it tells about: a
 * bounded queue, one hand-off at a time, and a count of what was dropped.
 */
import type { LakeEvent } from "./lake-event.ts";
import type { TelemetryRecord, TelemetrySink } from "./telemetry.ts";
import { toLakeEvent } from "./telemetry-event.ts";

/** Events that wait in one object at most: about 300 KB. */
export const QUEUE_MAX_EVENTS = 1000;
/** Collected for so long before they are handed over. */
const GATHER_MS = 1000;
/** Events of one hand-off. */
const BATCH_MAX_EVENTS = 500;
const ATTEMPTS_MAX = 4;

export interface OutletDeps {
  /** Idempotent by the events' ids. Throws, or answers `false`, where they were not taken. */
  readonly send: (events: readonly LakeEvent[]) => Promise<boolean>;
  /** Keeps the process alive for a hand-off that is under way. */
  readonly waitUntil: (work: Promise<unknown>) => void;
  readonly sleep: (ms: number) => Promise<void>;
  readonly clock: () => number;
  readonly randomId: () => string;
  /** Told of what was dropped: a log line, for it may be the lake that is at fault. */
  readonly onDropped: TelemetrySink;
}

export class TelemetryOutlet {
  private readonly deps: OutletDeps;
  private queue: LakeEvent[] = [];
  private isRunning = false;
  private overflow = 0;
  /** Given up, and not told to the lake yet. */
  private undelivered = 0;
  /** The latest hand-off, under way or through. */
  private latest: Promise<void> = Promise.resolve();
  /** Events that were taken since it was made. */
  deliveredEvents = 0;

  constructor(deps: OutletDeps) {
    this.deps = deps;
  }

  readonly sink: TelemetrySink = (record) => {
    if (this.queue.length >= QUEUE_MAX_EVENTS) {
      this.overflow++;
      return;
    }
    this.queue.push(toLakeEvent(record, this.deps.randomId()));
    if (this.isRunning) return;
    this.isRunning = true;
    this.deps.waitUntil(this.run());
  };

  /** Hands over at once what is queued, after what is under way; through when all of it was taken or dropped. */
  async drain(): Promise<void> {
    await this.latest;
    for (let left = this.queue.length; left > 0; left -= BATCH_MAX_EVENTS) await this.handOverNext();
  }

  private async run(): Promise<void> {
    try {
      while (this.queue.length > 0) {
        await this.deps.sleep(GATHER_MS);
        await this.handOverNext();
        this.tellOverflow();
      }
    } finally {
      this.isRunning = false;
    }
  }

  /** One at a time, whoever asks: events arrive in their order. */
  private handOverNext(): Promise<void> {
    this.latest = this.latest.then(() => this.handOver(this.queue.splice(0, BATCH_MAX_EVENTS)));
    return this.latest;
  }

  private async handOver(events: readonly LakeEvent[]): Promise<void> {
    // Somebody who could not wait was first.
    if (events.length === 0) return;
    for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
      try {
        if (await this.deps.send(events)) {
          this.deliveredEvents += events.length;
          this.tellUndelivered();
          return;
        }
      } catch {
        // Out of reach just now; what matters is whether it is still so after the last attempt.
      }
      if (attempt < ATTEMPTS_MAX) await this.deps.sleep(GATHER_MS * 2 ** attempt);
    }
    this.undelivered += events.length;
    this.deps.onDropped(this.droppedRecord(events.length, "not_delivered"));
  }

  /** The lake can be reached again: what was lost meanwhile is known there, too. */
  private tellUndelivered(): void {
    if (this.undelivered === 0) return;
    const record = this.droppedRecord(this.undelivered, "not_delivered");
    this.undelivered = 0;
    this.sink(record);
  }

  private tellOverflow(): void {
    if (this.overflow === 0) return;
    const record = this.droppedRecord(this.overflow, "queue_full");
    this.overflow = 0;
    this.deps.onDropped(record);
    this.sink(record);
  }

  private droppedRecord(events: number, reason: "queue_full" | "not_delivered"): TelemetryRecord {
    return { event: "TelemetryDropped", events, reason, time: new Date(this.deps.clock()).toISOString() };
  }
}

/** One record goes to both: the log, and whatever else. */
export function fanOut(...sinks: readonly TelemetrySink[]): TelemetrySink {
  return (record) => {
    for (const sink of sinks) sink(record);
  };
}
