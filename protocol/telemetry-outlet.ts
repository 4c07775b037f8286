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

  private async run(): Promise<void> {
    try {
      while (this.queue.length > 0) {
        await this.deps.sleep(GATHER_MS);
        await this.handOver(this.queue.splice(0, BATCH_MAX_EVENTS));
        this.tellOverflow();
      }
    } finally {
      this.isRunning = false;
    }
  }

  private async handOver(events: readonly LakeEvent[]): Promise<void> {
    for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
      try {
        if (await this.deps.send(events)) return;
      } catch {
        // Out of reach just now; what matters is whether it is still so after the last attempt.
      }
      if (attempt < ATTEMPTS_MAX) await this.deps.sleep(GATHER_MS * 2 ** attempt);
    }
    this.tellDropped(events.length, "not_delivered");
  }

  private tellOverflow(): void {
    if (this.overflow === 0) return;
    const dropped = this.overflow;
    this.overflow = 0;
    this.tellDropped(dropped, "queue_full");
  }

  private tellDropped(events: number, reason: "queue_full" | "not_delivered"): void {
    const time = new Date(this.deps.clock()).toISOString();
    const record: TelemetryRecord = { event: "TelemetryDropped", events, reason, time };
    this.deps.onDropped(record);
    // Into the table too, once it can be reached again.
    if (reason === "queue_full") this.sink(record);
  }
}

/** One record goes to both: the log, and whatever else. */
export function fanOut(...sinks: readonly TelemetrySink[]): TelemetrySink {
  return (record) => {
    for (const sink of sinks) sink(record);
  };
}
