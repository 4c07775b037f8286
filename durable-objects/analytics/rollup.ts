/**
 * All that a shard has seen of the service's own telemetry, summed up. Pure: a function of the events and
 * of their order. When it is saved is not its business (rollup-keeper.ts).
 */
import type { KnownStream, ShardRollup, TimelineEntry } from "../../protocol/rollup.ts";
import { countRecord } from "./rollup-counting.ts";
import { RollupNotes, type StoredNotes } from "./rollup-notes.ts";
import { readRecord, type OwnEvent } from "./rollup-record.ts";
import { RollupSeries } from "./rollup-series.ts";
import { RollupStreams, type StoredStreams } from "./rollup-streams.ts";
import { RollupTimelines } from "./rollup-timelines.ts";

const VERSION = 1;

interface StoredRollup {
  readonly version: typeof VERSION;
  readonly series: Pick<ShardRollup, "counters" | "histograms">;
  readonly streams: StoredStreams;
  readonly notes: StoredNotes;
}

export class Rollup {
  private readonly series: RollupSeries;
  private readonly streams: RollupStreams;
  private readonly notes: RollupNotes;
  private readonly timelines = new RollupTimelines();

  private constructor(stored: StoredRollup | undefined) {
    this.series = new RollupSeries(stored?.series);
    this.streams = new RollupStreams(stored?.streams);
    this.notes = new RollupNotes(stored?.notes);
  }

  /** @param text what {@link toText} has made; of another version's nothing is known */
  static read(text: string | undefined): Rollup {
    if (text === undefined) return new Rollup(undefined);
    const { version, ...rest } = JSON.parse(text) as StoredRollup;
    return new Rollup(version === VERSION ? { version, ...rest } : undefined);
  }

  /** @param event one of the service's own */
  note(event: OwnEvent): void {
    const record = readRecord(event);
    countRecord(record, this.series);
    this.series.add("source_events", [], this.streams.note(record));
    this.notes.note(record);
    this.timelines.note(record);
  }

  report(shard: Pick<ShardRollup, "shard" | "index">, nowMs: number): ShardRollup {
    return {
      shard: shard.shard,
      index: shard.index,
      ...this.series.report(),
      activeStreamCount: this.streams.countActive(nowMs),
      activeStreams: this.streams.listActive(nowMs),
      endedStreams: this.streams.listEnded(),
      ...this.notes.report(),
    };
  }

  /** The earliest first. */
  timeline(requestId: string): TimelineEntry[] {
    return this.timelines.get(requestId);
  }

  knownStream(requestId: string): KnownStream | undefined {
    return this.streams.get(requestId);
  }

  /** Everything but the timelines. */
  toText(): string {
    const stored: StoredRollup = {
      version: VERSION,
      series: this.series.report(),
      streams: this.streams.store(),
      notes: this.notes.report(),
    };
    return JSON.stringify(stored);
  }
}
