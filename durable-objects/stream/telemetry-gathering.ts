/**
 * Lets telemetry of one kind share a record: the first is told at once, what follows within
 * {@link GATHERING_MS} is summed up and told together.
 *
 * A full buffer gives something up every second. Told each time, a stream would pay more for being told
 * of than for being kept.
 */
import type { GatheredTelemetry } from "../../protocol/telemetry.ts";

const GATHERING_MS = 10_000;

interface Kind {
  toldAtMs: number;
  waiting: GatheredTelemetry | undefined;
}

export class TelemetryGathering {
  private readonly kinds = new Map<string, Kind>();
  private readonly emit: (event: GatheredTelemetry) => void;

  constructor(emit: (event: GatheredTelemetry) => void) {
    this.emit = emit;
  }

  add(event: GatheredTelemetry, nowMs: number): void {
    const name = event.event === "SseBufferTrimmed" ? `${event.reason} ${event.priority}` : event.event;
    const kind = this.kinds.get(name) ?? { toldAtMs: -Infinity, waiting: undefined };
    this.kinds.set(name, kind);
    kind.waiting = kind.waiting === undefined ? event : sumOf(kind.waiting, event);
    // A clock that was set back must not silence anybody.
    if (nowMs - kind.toldAtMs >= GATHERING_MS || nowMs < kind.toldAtMs) this.tell(kind, nowMs);
  }

  /** Tells what is left: nothing more will come. */
  tellAll(nowMs: number): void {
    for (const kind of this.kinds.values()) this.tell(kind, nowMs);
  }

  private tell(kind: Kind, nowMs: number): void {
    const { waiting } = kind;
    if (waiting === undefined) return;
    kind.waiting = undefined;
    kind.toldAtMs = nowMs;
    this.emit(waiting);
  }
}

/** Counts and bytes add up; `seq` is the last. */
function sumOf(earlier: GatheredTelemetry, later: GatheredTelemetry): GatheredTelemetry {
  const before = new Map<string, unknown>(Object.entries(earlier));
  const sums = Object.entries(later).map(([name, value]) => {
    const other = before.get(name);
    const isSum = name !== "seq" && typeof value === "number" && typeof other === "number";
    return [name, isSum ? value + other : value];
  });
  // The same members with the same types: both are of one kind.
  return Object.fromEntries(sums) as GatheredTelemetry;
}
