/**
 * Evictions seen against evictions told: telemetry may sum up and take its time, but once a commit is
 * done everything that had given way before it has been told of, and never anything that did not.
 */
import { PRIORITIES } from "../../protocol/priority.ts";
import type { StreamTelemetry } from "../../protocol/telemetry.ts";
import type { SeenEviction } from "./eviction-watch.ts";
import { fail } from "./violation.ts";

/** Events and bytes, by priority and reason. */
class Sums {
  private readonly sums = new Map<string, number>();

  add(kind: string, events: number, bytes: number): void {
    this.sums.set(`events: ${kind}`, this.of(`events: ${kind}`) + events);
    this.sums.set(`bytes: ${kind}`, this.of(`bytes: ${kind}`) + bytes);
  }

  of(name: string): number {
    return this.sums.get(name) ?? 0;
  }

  copy(): Sums {
    const copy = new Sums();
    for (const [name, sum] of this.sums) copy.sums.set(name, sum);
    return copy;
  }

  requireWithin(most: Sums, what: string): void {
    for (const [name, sum] of this.sums)
      if (sum > most.of(name)) fail("B4", `${what}: ${name} ${sum} of ${most.of(name)}`);
  }
}

export class EvictionLedger {
  private seen = new Sums();
  private seenBeforeTurn = new Sums();
  private told = new Sums();

  see({ firstSeq, lastSeq, priority, reason, bytes }: SeenEviction): void {
    this.seen.add(`${PRIORITIES[priority]} for ${reason}`, lastSeq - firstSeq + 1, bytes);
  }

  tell(record: Extract<StreamTelemetry, { event: "SseBufferTrimmed" }>): void {
    this.told.add(`${record.priority} for ${record.reason}`, record.events, record.bytes);
    this.told.requireWithin(this.seen, "telemetry tells of evictions that never were");
  }

  beginTurn(): void {
    this.seenBeforeTurn = this.seen.copy();
  }

  /** A write has been done in this turn. */
  requireTold(): void {
    this.seenBeforeTurn.requireWithin(this.told, "telemetry is silent about evictions");
  }

  clear(): void {
    this.seen = new Sums();
    this.told = new Sums();
    this.seenBeforeTurn = new Sums();
  }
}
