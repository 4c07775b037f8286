/**
 * Lets events that come in quick succession share a turn.
 *
 * What a turn costs is per reader and flush, not per event: one event to a chunk costs workerd some
 * 20 µs for each reader, 64 to a chunk half a microsecond. So the first event after a pause goes out at
 * once, and those that follow closer than turns can be afforded go out together, a few milliseconds
 * later at the most.
 */
import type { SourceEvent } from "../../protocol/sse-frame.ts";
import { SEGMENT_MAX_BYTES, TURN_MAX_EVENTS } from "../../protocol/limits.ts";

const TURN_MIN_GAP_MS = 1;
/** Readers that one millisecond of waiting pays for. */
const READERS_PER_MS = 20;

export interface GatheringOptions {
  readonly clock: () => number;
  readonly countReaders: () => number;
  /** One turn's events, in order. */
  readonly onTurn: (events: readonly SourceEvent[]) => void;
}

export class EventGathering {
  private events: SourceEvent[] = [];
  private chars = 0;
  private timer: ReturnType<typeof setTimeout> | null = null;
  private lastTurnAtMs = 0;
  private readonly options: GatheringOptions;

  constructor(options: GatheringOptions) {
    this.options = options;
  }

  add(events: readonly SourceEvent[]): void {
    for (const event of events) {
      this.events.push(event);
      this.chars += event.data.length;
    }
    if (this.events.length >= TURN_MAX_EVENTS || this.chars >= SEGMENT_MAX_BYTES) return this.release();
    if (this.timer !== null) return;
    const gapMs = Math.max(TURN_MIN_GAP_MS, Math.ceil(this.options.countReaders() / READERS_PER_MS));
    const waitMs = this.lastTurnAtMs + gapMs - this.options.clock();
    // A clock that was set back must not make anybody wait.
    if (waitMs <= 0 || waitMs > gapMs) return this.release();
    this.timer = setTimeout(() => this.release(), waitMs);
  }

  /** Hands over what is there; also called before the end, so that nothing comes after it. */
  release(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    if (this.events.length === 0) return;
    const { events } = this;
    this.events = [];
    this.chars = 0;
    this.lastTurnAtMs = this.options.clock();
    this.options.onTurn(events);
  }
}
