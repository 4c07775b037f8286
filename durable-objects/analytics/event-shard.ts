/**
 * One shard as a whole: takes events, flushes them in time, makes itself known, tells of itself. What is
 * platform comes in: storage, alarm, clock, randomness, the table object.
 *
 * - L1 an event that was acknowledged needs no further call to reach the table: the alarm is set before the
 *   answer.
 */
import type { AppendAnswer, AppendCall, ShardFlushReport, ShardStatus } from "../../protocol/lake-call.ts";
import type { LakeEvent } from "../../protocol/lake-event.ts";
import type { LakeSettings } from "../../protocol/lake-settings.ts";
import type { KnownStream, ShardRollup, TimelineEntry } from "../../protocol/rollup.ts";
import type { LakeTelemetry, TelemetryRecord } from "../../protocol/telemetry.ts";
import { toLakeEvent } from "../../protocol/telemetry-event.ts";
import type { Alarms } from "../alarms.ts";
import type { ObjectStore } from "../iceberg/object-store.ts";
import type { BatchSink } from "./batch-sink.ts";
import { fillMarkOf } from "./fill-mark.ts";
import { ShardBuffer } from "./shard-buffer.ts";
import { ShardFlush } from "./shard-flush.ts";
import { ShardOperations } from "./shard-operations.ts";
import type { ShardStore } from "./shard-store.ts";

export interface EventShardDeps {
  readonly store: ShardStore;
  readonly settings: LakeSettings;
  readonly sink: BatchSink;
  readonly objects: ObjectStore;
  readonly alarms: Alarms;
  /** Makes the shard known to the table object for good. Idempotent. */
  readonly register: (shard: { readonly shard: string; readonly index: number }) => Promise<void>;
  readonly clock: () => number;
  /** 0 to 1. */
  readonly random: () => number;
  readonly randomUuid: () => string;
  readonly sleep: (ms: number) => Promise<void>;
  /** Keeps the process alive for work that nobody waits for. */
  readonly waitUntil: (work: Promise<unknown>) => void;
  readonly log: (record: LakeTelemetry & { readonly time: string }) => void;
  /** What is in the way of delivering anything: events are taken and kept until it is gone. */
  readonly blockedBy: string | undefined;
  /** Tells the monitor that there is something to look at. Never waits, never throws. */
  readonly wakeMonitor?: () => void;
}

/** How long a producer waits at a full shard for the flush that may make room. */
const FULL_WAIT_MS = 5_000;
/** How often the table object is asked again to take note of this shard. */
const REGISTER_RETRY_MS = 30_000;
/** How often the monitor is told at most. */
const WAKE_MONITOR_MS = 60_000;
/** How often a blocked shard looks whether it still is. */
const BLOCKED_RETRY_MS = 60_000;

interface OpenShard {
  readonly buffer: ShardBuffer;
  readonly flush: ShardFlush;
  readonly operations: ShardOperations;
}

export class EventShard {
  private readonly deps: EventShardDeps;
  private open: OpenShard | undefined;
  /** What this shard has to tell of itself; goes into its own buffer with the next flush's end. */
  private ownEvents: TelemetryRecord[] = [];
  private monitorWokenAtMs: number | undefined;
  /** Own events that had been counted then. */
  private seenByMonitor = 0;

  constructor(deps: EventShardDeps) {
    this.deps = deps;
    const stored = deps.store.load();
    if (stored !== undefined) this.open = this.openShard(stored.record.index);
  }

  /** Takes all new events of the call, or none of them where they do not fit. */
  async append(call: AppendCall): Promise<AppendAnswer> {
    this.open ??= this.openShard(call.shardIndex);
    const { open } = this;
    let answer = this.take(open.buffer, call);
    if (!answer.ok && !call.isRiding && !this.isHeldBack(open.buffer)) {
      // It goes on without this producer if it takes longer, who is then asked to come back.
      await Promise.race([open.flush.flush(), this.deps.sleep(FULL_WAIT_MS)]);
      answer = this.take(open.buffer, call);
    }
    this.noteFill(open.buffer);
    this.wakeMonitor(open.buffer);
    this.deps.waitUntil(this.afterAppend(open));
    // In one write with the events. Not at once: a flush that is due begins by itself.
    await this.arm(open.buffer, this.deps.settings.flushAgeMs);
    return answer;
  }

  /** Flushes everything that is buffered now; `undefined` of a shard that never took an event. */
  async flush(): Promise<ShardFlushReport | undefined> {
    if (this.open === undefined) return undefined;
    const { buffer, flush } = this.open;
    const { blockedBy } = this.deps;
    if (blockedBy !== undefined) {
      const nothing = { events: 0, files: 0, bytes: 0, remaining: buffer.bufferedEvents };
      return { shard: buffer.record.name, ...nothing, error: blockedBy };
    }
    const report = await flush.flush();
    await this.settle(buffer);
    return report;
  }

  /** `undefined` of a shard that never took an event. */
  status(): ShardStatus | undefined {
    return this.open?.buffer.status(this.deps.clock());
  }

  /** What operators may do here; `undefined` of a shard that never took an event. */
  get operations(): ShardOperations | undefined {
    return this.open?.operations;
  }

  /** `undefined` of a shard that never took an event. */
  rollup(): ShardRollup | undefined {
    const { name: shard, index } = this.open?.buffer.record ?? {};
    if (shard === undefined || index === undefined) return undefined;
    return this.open?.buffer.sums.rollup.report({ shard, index }, this.deps.clock());
  }

  /** What was told of a stream since this process began, the earliest first. */
  timeline(requestId: string): TimelineEntry[] {
    return this.open?.buffer.sums.rollup.timeline(requestId) ?? [];
  }

  knownStream(requestId: string): KnownStream | undefined {
    return this.open?.buffer.sums.rollup.knownStream(requestId);
  }

  async alarm(): Promise<void> {
    this.deps.alarms.noteFired();
    if (this.open === undefined) return;
    const { buffer, flush } = this.open;
    await this.register(buffer);
    if (this.isFlushDue(buffer)) await flush.flush();
    await this.settle(buffer);
  }

  /** One turn: between asking the buffer and its write there is no await. */
  protected take(buffer: ShardBuffer, call: Omit<AppendCall, "shardIndex">): AppendAnswer {
    return buffer.append(call, this.deps.clock());
  }

  protected takeOwn(buffer: ShardBuffer, events: readonly LakeEvent[]): void {
    buffer.appendOwn(events, this.deps.clock());
  }

  private openShard(index: number): OpenShard {
    const { store, settings, sink, objects, clock, random } = this.deps;
    const randomWord = () => Math.floor(random() * 2 ** 32);
    const birth = { index, randomHex: randomWord().toString(16).padStart(8, "0"), dedupSeed: randomWord() };
    const buffer = ShardBuffer.load(store, settings, birth);
    const flush = new ShardFlush({
      buffer,
      store,
      sink,
      objects,
      deadLetterMax: settings.deadLetterMax,
      clock,
      random,
      telemetry: (event) => this.tell(event),
    });
    const operations = new ShardOperations({
      buffer,
      store,
      flush,
      sink,
      objects,
      clock,
      telemetry: (event) => this.tell(event),
      blockedBy: this.deps.blockedBy,
      settle: () => this.settle(buffer),
    });
    return { buffer, flush, operations };
  }

  private async afterAppend({ buffer, flush }: OpenShard): Promise<void> {
    await this.register(buffer);
    if (this.isFlushDue(buffer) && !flush.isRunning) await flush.flush();
    await this.settle(buffer);
  }

  /** A flush has failed and is to be tried later: every producer trying it again would only add to the load. */
  private isHeldBack(buffer: ShardBuffer): boolean {
    return this.deps.blockedBy !== undefined || (buffer.record.nextAttemptAtMs ?? 0) > this.deps.clock();
  }

  private isFlushDue(buffer: ShardBuffer): boolean {
    const nowMs = this.deps.clock();
    const dueAtMs = this.deps.blockedBy === undefined ? buffer.flushDueAtMs(nowMs) : undefined;
    return dueAtMs !== undefined && dueAtMs <= nowMs;
  }

  /** So that a shard that is not configured any more is still asked for its events. */
  private async register(buffer: ShardBuffer): Promise<void> {
    if (buffer.record.isRegistered) return;
    try {
      await this.deps.register({ shard: buffer.record.name, index: buffer.record.index });
      buffer.noteRegistered();
    } catch {
      // Tried again with the next append or alarm; and staging a batch registers, too.
    }
  }

  /** After whatever has changed the buffer: the shard's own telemetry, its fill, its next waking. */
  private async settle(buffer: ShardBuffer): Promise<void> {
    this.noteFill(buffer);
    this.appendOwnEvents(buffer);
    this.wakeMonitor(buffer);
    await this.arm(buffer);
  }

  private noteFill(buffer: ShardBuffer): void {
    const mark = fillMarkOf(buffer.fillRate, buffer.record.fillMark);
    if (mark === buffer.record.fillMark) return;
    buffer.noteFillMark(mark);
    const { name } = buffer.record;
    this.tell({ event: "BufferFillRate", shard: name, fill_rate: buffer.fillRate, events: buffer.bufferedEvents });
  }

  private tell(event: LakeTelemetry): void {
    const record = { ...event, time: new Date(this.deps.clock()).toISOString() };
    this.deps.log(record);
    this.ownEvents.push(record);
  }

  private appendOwnEvents(buffer: ShardBuffer): void {
    if (this.ownEvents.length === 0) return;
    const events = this.ownEvents.map((record) => toLakeEvent(record, this.deps.randomUuid()));
    this.ownEvents = [];
    try {
      // Riding along with the next flush that something else causes; what does not fit is in the log.
      this.takeOwn(buffer, events);
    } catch {
      // Nor does what storage refuses hold up the report of a flush, or its next alarm.
    }
  }

  private wakeMonitor({ sums }: ShardBuffer): void {
    const nowMs = this.deps.clock();
    const isSoon = Math.abs(nowMs - (this.monitorWokenAtMs ?? -Infinity)) < WAKE_MONITOR_MS;
    if (isSoon || sums.ownEvents === this.seenByMonitor) return;
    this.monitorWokenAtMs = nowMs;
    this.seenByMonitor = sums.ownEvents;
    this.deps.wakeMonitor?.();
  }

  /** @param overdueMs how long a flush may go on that is due now */
  private async arm(buffer: ShardBuffer, overdueMs = 0): Promise<void> {
    const { alarms, clock, settings, blockedBy } = this.deps;
    const nowMs = clock();
    const flushAtMs = buffer.flushDueAtMs(nowMs);
    const leastMs = nowMs + (blockedBy === undefined ? overdueMs : BLOCKED_RETRY_MS);
    const isOverdue = flushAtMs !== undefined && flushAtMs <= nowMs;
    const isHeld = blockedBy !== undefined && flushAtMs !== undefined;
    const registerAtMs = buffer.record.isRegistered
      ? undefined
      : nowMs + Math.max(settings.flushAgeMs, REGISTER_RETRY_MS);
    await alarms.arm({ flush: isOverdue || isHeld ? leastMs : flushAtMs, register: registerAtMs });
  }
}
