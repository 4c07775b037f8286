/**
 * What gave way against what telemetry told of it. Telemetry may sum up and take its time:
 *
 * - it never tells of what was not;
 * - the first of a kind is told at once;
 * - what waits is told when more of its kind gives way ten seconds later, and at the stream's end in any case.
 *
 * What a process had not told when it died is lost with it.
 */
import type { TelemetryRecord } from "../../protocol/telemetry.ts";
import { fail } from "./violation.ts";

/** Longest that something waits to be told while more of its kind gives way. */
const GATHERING_MS = 10_000;

interface Kind {
  events: number;
  bytes: number;
  toldEvents: number;
  toldBytes: number;
  toldAtMs: number | undefined;
  /** As the turn began. */
  before: { readonly events: number; readonly bytes: number; readonly toldAtMs: number | undefined };
}

const NEVER = { events: 0, bytes: 0, toldAtMs: undefined };

export class EvictionLedger {
  private readonly kinds = new Map<string, Kind>();

  see(name: string, events: number, bytes: number): void {
    const kind = this.kind(name);
    kind.events += events;
    kind.bytes += bytes;
  }

  tell(record: TelemetryRecord, nowMs: number): void {
    if (record.event === "SseBufferTrimmed") {
      this.note(`${record.priority} for ${record.reason}`, record.events, { bytes: record.bytes, nowMs });
    } else if (record.event === "SseBufferFolded") this.note("folded", record.folded, { bytes: 0, nowMs });
    else if (record.event === "SsePayloadTrimmed") this.note("trimmed", record.events, { bytes: 0, nowMs });
    else if (record.event === "SseBufferCompressed") this.note("compressed", record.segments, { bytes: 0, nowMs });
    else if (record.event === "SseStreamEnded") this.requireAllTold();
  }

  beginTurn(): void {
    for (const kind of this.kinds.values()) {
      kind.before = { events: kind.events, bytes: kind.bytes, toldAtMs: kind.toldAtMs };
    }
  }

  endTurn(nowMs: number): void {
    for (const [name, kind] of this.kinds) {
      if (kind.toldAtMs === undefined) fail("B4", `telemetry is silent about the first ${name}`);
      const { events, bytes, toldAtMs = -Infinity } = kind.before;
      const isDue = kind.events > events && nowMs - toldAtMs >= GATHERING_MS;
      if (isDue && (kind.toldEvents < events || kind.toldBytes < bytes)) {
        fail("B4", `telemetry has told of ${kind.toldEvents} ${name}, there had been ${events}`);
      }
    }
  }

  clear(): void {
    this.kinds.clear();
  }

  private note(name: string, events: number, told: { readonly bytes: number; readonly nowMs: number }): void {
    const kind = this.kind(name);
    kind.toldEvents += events;
    kind.toldBytes += told.bytes;
    kind.toldAtMs = told.nowMs;
    if (kind.toldEvents > kind.events || kind.toldBytes > kind.bytes) {
      fail("B4", `telemetry tells of ${kind.toldEvents} ${name} (${kind.toldBytes} bytes), there were ${kind.events}`);
    }
  }

  private requireAllTold(): void {
    for (const [name, kind] of this.kinds) {
      if (kind.toldEvents === kind.events && kind.toldBytes === kind.bytes) continue;
      fail("B4", `at the end telemetry has told of ${kind.toldEvents} ${name}, there were ${kind.events}`);
    }
  }

  private kind(name: string): Kind {
    const known = this.kinds.get(name);
    if (known !== undefined) return known;
    const kind = { events: 0, bytes: 0, toldEvents: 0, toldBytes: 0, toldAtMs: undefined, before: NEVER };
    this.kinds.set(name, kind);
    return kind;
  }
}
