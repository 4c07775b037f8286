/**
 * What a simulated stream is made of: settings drawn small, so that every limit is met often, and
 * source events of every size, script and priority.
 */
import type { Priority, PriorityRule } from "../../protocol/priority.ts";
import type { ReliefPolicy } from "../../protocol/relief.ts";
import type { SourceEvent } from "../../protocol/sse-frame.ts";
import type { StreamSettings } from "../../protocol/stream-settings.ts";
import { DeltaSource, drawRelief } from "./delta-source.ts";
import type { Random } from "./random.ts";

const KIB = 1024;
/** A source is read in bites of this size, so no batch completes much more. */
const BATCH_MAX_BYTES = 16 * KIB;
/** What the source parser reckons for an event's id and field names, and for each of its lines. */
const FRAME_OVERHEAD_BYTES = 128;
const LINE_OVERHEAD_BYTES = 7;

export interface Blueprint {
  readonly settings: StreamSettings;
  readonly hasControlEvents: boolean;
  readonly priorityRules: readonly PriorityRule[];
  readonly relief: ReliefPolicy;
}

export interface DrawnEvent {
  readonly source: SourceEvent;
  /** What the classifier must find, by whatever means it was put into the event. */
  readonly priority: Priority;
}

const RULES: readonly PriorityRule[] = [
  { event: "chatter", priority: "low" },
  { path: "$.kind", equals: "final", priority: "high" },
];

export function drawBlueprint(random: Random): Blueprint {
  const relief = drawRelief(random);
  // Payloads give way where bytes are short, not events.
  const isShortOfBytes = (relief.trimPaths.length > 0 || relief.compresses) && random.chance(0.7);
  const bufferMaxBytes = isShortOfBytes ? random.int(32, 64) * KIB : random.int(32, 256) * KIB;
  const readerBufferBytes = random.pick([32, 32, 48, 64]) * KIB;
  const settings: StreamSettings = {
    bufferMaxEvents: drawMaxEvents(random, isShortOfBytes),
    bufferMaxBytes,
    eventMaxBytes: random.pick([KIB, 4 * KIB, 20 * KIB, 30 * KIB, Math.min(100 * KIB, bufferMaxBytes), bufferMaxBytes]),
    commitIntervalMs: random.magnitude(10, 2000),
    stateTtlMs: random.int(5, 60) * 1000,
    snapshotTtlMs: random.int(10, 120) * 1000,
    resumeTtlMs: random.int(2, 60) * 1000,
    heartbeatMs: random.int(1, 20) * 1000,
    retryMs: random.magnitude(10, 2000),
    maxReaders: random.int(1, 5),
    readerLimitPolicy: random.chance(0.5) ? "evict-oldest" : "reject",
    readerStallMs: random.int(1, 30) * 1000,
    readerMaxAgeMs: random.int(5, 120) * 1000,
    cleanupIntervalMs: random.int(1, 20) * 1000,
    readerBufferBytes,
    archives: false,
  };
  return {
    settings,
    hasControlEvents: random.chance(0.7),
    priorityRules: random.chance(0.3) ? RULES : [],
    relief,
  };
}

/** Few enough that every limit is met; now and then so many that a snapshot takes several turns. */
function drawMaxEvents(random: Random, isShortOfBytes: boolean): number {
  const size = random.weighted({ small: isShortOfBytes ? 2 : 15, medium: 5, large: 1 });
  return { small: random.magnitude(1, 64), medium: random.int(64, 400), large: random.int(400, 1200) }[size];
}

const NAMES: Readonly<Record<Priority, readonly string[]>> = {
  0: ["debug", "trace", "progress", "ping"],
  1: ["token", "message", "content_block_delta"],
  2: ["result", "final"],
  3: ["error", "stage", "done", "complete"],
};
/** One to four bytes each in UTF-8; the last is two UTF-16 code units. */
const SCRIPTS = ["a", "é", "水", "🌊", "e\u0301"] as const;

/** Draws the batches of one stream: how the priorities mix, and how large events are, is its own. */
export class EventSourceModel {
  private serial = 0;
  private readonly mix: readonly Priority[];
  private readonly deltaSource: DeltaSource;

  private readonly random: Random;
  private readonly blueprint: Blueprint;

  constructor(random: Random, blueprint: Blueprint) {
    this.random = random;
    this.blueprint = blueprint;
    const mixes: readonly (readonly Priority[])[] = [
      [0, 1, 2, 3],
      [1, 1, 1, 1, 1, 1, 3],
      [0, 2],
      [0, 0, 1, 2],
      [3],
      [1],
    ];
    this.mix = random.pick(mixes);
    this.deltaSource = new DeltaSource(random, blueprint.relief);
  }

  /** As many events as one bite of the source may complete, and at times one large one more. */
  batch(maxEvents: number): DrawnEvent[] {
    const drawn: DrawnEvent[] = [];
    let left = BATCH_MAX_BYTES;
    const wanted = this.random.int(1, maxEvents);
    while (drawn.length < wanted) {
      const delta = this.deltaSource.next(Math.min(left, this.maxDataBytes()) - LINE_OVERHEAD_BYTES * 20);
      if (delta !== undefined) {
        left -= Buffer.byteLength(delta.source.data) + LINE_OVERHEAD_BYTES;
        drawn.push(delta);
        continue;
      }
      const dataBytes = Math.min(this.dataBytes(), this.maxDataBytes());
      if (drawn.length > 0 && dataBytes > left) break;
      left -= dataBytes + LINE_OVERHEAD_BYTES;
      drawn.push(this.event(dataBytes));
    }
    return drawn;
  }

  /** As much as one bite may hold, in a few events of every priority there is. */
  flood(): DrawnEvent[] {
    const drawn: DrawnEvent[] = [];
    for (let left = BATCH_MAX_BYTES; left > 0;) {
      const dataBytes = Math.min(this.random.int(500, 4000), this.maxDataBytes(), left);
      left -= dataBytes + LINE_OVERHEAD_BYTES;
      drawn.push(this.event(dataBytes));
    }
    return drawn;
  }

  /** Deltas of about so many bytes each. */
  deltas(count: number, bytes: number): DrawnEvent[] {
    const drawn: DrawnEvent[] = [];
    while (drawn.length < count) drawn.push(this.deltaSource.long(Math.min(bytes, this.maxDataBytes())));
    return drawn;
  }

  private maxDataBytes(): number {
    return this.blueprint.settings.eventMaxBytes - FRAME_OVERHEAD_BYTES - 2 * LINE_OVERHEAD_BYTES;
  }

  private dataBytes(): number {
    const { random } = this;
    switch (random.weighted({ token: 60, paragraph: 20, document: 6, segment: 4, largest: 2 })) {
      case "token":
        return random.magnitude(1, 60);
      case "paragraph":
        return random.magnitude(60, 3000);
      case "document":
        return random.int(3000, 16 * KIB);
      case "segment":
        // Around one segment's size, where an event starts to need slices.
        return random.int(16 * KIB - 40, 16 * KIB + 40);
      case "largest":
        return this.maxDataBytes() - random.int(0, 20);
    }
  }

  private event(dataBytes: number): DrawnEvent {
    const { random } = this;
    const priority = random.pick(this.mix);
    const retryMs = random.chance(0.02) ? random.int(0, 5000) : undefined;
    const text = this.text(dataBytes);
    if (this.blueprint.priorityRules.length > 0 && random.chance(0.3)) {
      if (priority === 0) return { source: { event: "chatter", data: text, retryMs }, priority };
      if (priority === 2) {
        const data = JSON.stringify({ kind: "final", text: text.slice(0, Math.max(0, text.length - 40)) });
        return { source: { event: undefined, data, retryMs }, priority };
      }
    }
    if (priority === 3 && random.chance(0.2))
      return { source: { event: undefined, data: "[DONE]", retryMs }, priority };
    const event = priority === 1 && random.chance(0.5) ? undefined : random.pick(NAMES[priority]);
    return { source: { event, data: text, retryMs }, priority };
  }

  /** Text of at most so many bytes, no two alike unless they are too short to differ. */
  private text(bytes: number): string {
    const unit = this.random.pick(SCRIPTS);
    const head = `${++this.serial} `.slice(0, bytes);
    const filler = unit.repeat(Math.max(0, Math.floor((bytes - head.length - 1) / Buffer.byteLength(unit))));
    if (filler.length < 2 || !this.random.chance(0.1)) return head + filler;
    // One line end, inside or at the edge of the text; never within a character.
    const at = this.random.pick([0, unit.length, filler.length]);
    return `${head}${filler.slice(0, at)}\n${filler.slice(at)}`;
  }
}
