/**
 * The Durable Object of one shard: wires buffer, flush, alarm and storage together. Decides nothing: what
 * a shard does is in analytics/.
 */
import { DurableObject } from "cloudflare:workers";

import type { AppendAnswer, AppendCall, ShardFlushReport, ShardStatus } from "../protocol/lake-call.ts";
import { readLakeSettings, type LakeSettings } from "../protocol/lake-settings.ts";
import { TABLE_OBJECT_NAME } from "../protocol/shard-choice.ts";
import { createLogSink, type LakeTelemetry, type TelemetryRecord } from "../protocol/telemetry.ts";
import { toLakeEvent } from "../protocol/telemetry-event.ts";
import { Alarms } from "./alarms.ts";
import type { BatchSink } from "./analytics/batch-sink.ts";
import { fillMarkOf } from "./analytics/fill-mark.ts";
import { IcebergSink } from "./analytics/iceberg-sink.ts";
import { PipelinesSink, type PipelinePort } from "./analytics/pipelines-sink.ts";
import { ShardBuffer } from "./analytics/shard-buffer.ts";
import { ShardFlush } from "./analytics/shard-flush.ts";
import { ShardStore } from "./analytics/shard-store.ts";
import { R2ObjectStore, within } from "./r2-object-store.ts";
import { sqlPort } from "./sql-port.ts";

/** How long a producer waits at a full shard for the flush that may make room. */
const FULL_WAIT_MS = 5_000;
const STAGE_TIMEOUT_MS = 30_000;

const logSink = createLogSink((line) => console.log(line));

/** Bound only where ANALYTICS_SINK says so. */
type ShardEnv = Env & { readonly EVENTS_PIPELINE?: PipelinePort };

interface Shard {
  readonly buffer: ShardBuffer;
  readonly flush: ShardFlush;
}

export class EventBuffer extends DurableObject<ShardEnv> {
  private readonly settings: LakeSettings;
  private readonly store: ShardStore;
  private readonly alarms: Alarms;
  private readonly objects: R2ObjectStore;
  private shard: Shard | undefined;
  private tableLocation: string | undefined;
  /** What this shard has to tell of itself; goes into its own buffer with the next flush's end. */
  private ownEvents: TelemetryRecord[] = [];

  constructor(ctx: DurableObjectState, env: ShardEnv) {
    super(ctx, env);
    // The Worker admits no request while these have faults.
    this.settings = readLakeSettings({ ...env }, []);
    this.store = new ShardStore(sqlPort(ctx.storage));
    this.alarms = new Alarms(ctx.storage);
    this.objects = new R2ObjectStore(env.LAKE_BUCKET);
    const stored = this.store.load();
    if (stored !== undefined) this.shard = this.open(stored.record.index);
  }

  /** Takes all new events of the call, or none of them where they do not fit. */
  async append(call: AppendCall): Promise<AppendAnswer> {
    const { buffer } = this.open(call.shardIndex);
    let answer = buffer.append(call, Date.now());
    if (!answer.ok && !call.isRiding && !this.isBackingOff()) {
      await this.flushBriefly();
      answer = buffer.append(call, Date.now());
    }
    this.noteFill();
    this.ctx.waitUntil(this.afterAppend());
    // Before the answer, and in one write with the events: a crash would leave them to lie until somebody
    // calls. Not at once: a flush that is due begins by itself.
    await this.arm(this.settings.flushAgeMs);
    return answer;
  }

  /** Flushes everything that is buffered now. */
  async flush(): Promise<ShardFlushReport> {
    if (this.shard === undefined) return { shard: "", events: 0, files: 0, bytes: 0, remaining: 0, error: null };
    const report = await this.shard.flush.flush();
    await this.settle();
    return report;
  }

  /** `undefined` of a shard that never took an event. */
  status(): ShardStatus | undefined {
    return this.shard?.buffer.status(Date.now());
  }

  override async alarm(): Promise<void> {
    this.alarms.noteFired();
    if (this.shard === undefined) return;
    await this.register();
    if (this.isFlushDue()) await this.shard.flush.flush();
    await this.settle();
  }

  private open(index: number): Shard {
    if (this.shard !== undefined) return this.shard;
    const random = crypto.getRandomValues(new Uint32Array(2));
    const birth = {
      index,
      randomHex: (random[0] ?? 0).toString(16).padStart(8, "0"),
      dedupSeed: random[1] ?? 0,
    };
    const buffer = ShardBuffer.load(this.store, this.settings, birth);
    const flush = new ShardFlush({
      buffer,
      store: this.store,
      sink: this.createSink(),
      objects: this.objects,
      deadLetterMax: this.settings.deadLetterMax,
      clock: Date.now,
      random: Math.random,
      telemetry: (event) => this.tell(event),
    });
    this.shard = { buffer, flush };
    return this.shard;
  }

  private createSink(): BatchSink {
    if (this.settings.sink === "pipelines") {
      if (this.env.EVENTS_PIPELINE === undefined)
        throw new Error("ANALYTICS_SINK is pipelines without EVENTS_PIPELINE");
      return new PipelinesSink(this.env.EVENTS_PIPELINE);
    }
    return new IcebergSink({
      objects: this.objects,
      tableLocation: async () => {
        const location =
          this.tableLocation ?? (await within(this.table.location(), "the table object", STAGE_TIMEOUT_MS));
        this.tableLocation = location;
        return location;
      },
      stage: (call) => within(this.table.stage(call), "the table object", STAGE_TIMEOUT_MS),
    });
  }

  private get table() {
    return this.env.ICEBERG_TABLE_DO.getByName(TABLE_OBJECT_NAME);
  }

  /** A flush has failed and is to be tried later: every producer trying it again would only add to the load. */
  private isBackingOff(): boolean {
    return (this.shard?.buffer.record.nextAttemptAtMs ?? 0) > Date.now();
  }

  private async flushBriefly(): Promise<void> {
    if (this.shard === undefined) return;
    try {
      await within(this.shard.flush.flush(), "flush", FULL_WAIT_MS);
    } catch {
      // It goes on without this producer, who is asked to come back.
    }
  }

  private async afterAppend(): Promise<void> {
    await this.register();
    if (this.isFlushDue() && this.shard?.flush.isRunning === false) await this.shard.flush.flush();
    await this.settle();
  }

  private isFlushDue(): boolean {
    const nowMs = Date.now();
    const dueAtMs = this.shard?.buffer.flushDueAtMs(nowMs);
    return dueAtMs !== undefined && dueAtMs <= nowMs;
  }

  /** So that a shard that is not configured any more is still asked for its events. */
  private async register(): Promise<void> {
    if (this.shard === undefined) return;
    const { buffer } = this.shard;
    if (buffer.record.isRegistered) return;
    try {
      const known = { shard: buffer.record.name, index: buffer.record.index };
      await within(this.table.register(known), "the table object", STAGE_TIMEOUT_MS);
      buffer.noteRegistered();
    } catch {
      // Tried again with the next append; and staging a batch registers, too.
    }
  }

  /** After whatever has changed the buffer: the shard's own telemetry, its fill, its next waking. */
  private async settle(): Promise<void> {
    this.noteFill();
    this.appendOwnEvents();
    await this.arm();
  }

  private noteFill(): void {
    if (this.shard === undefined) return;
    const { buffer } = this.shard;
    const mark = fillMarkOf(buffer.fillRate, buffer.record.fillMark);
    if (mark === buffer.record.fillMark) return;
    buffer.noteFillMark(mark);
    const { name } = buffer.record;
    this.tell({ event: "BufferFillRate", shard: name, fill_rate: buffer.fillRate, events: buffer.bufferedEvents });
  }

  private tell(event: LakeTelemetry): void {
    const record = { ...event, time: new Date().toISOString() };
    logSink(record);
    this.ownEvents.push(record);
  }

  private appendOwnEvents(): void {
    if (this.ownEvents.length === 0 || this.shard === undefined) return;
    const events = this.ownEvents.map((record) => toLakeEvent(record, crypto.randomUUID()));
    this.ownEvents = [];
    try {
      // Riding along with the next flush that something else causes; what does not fit is in the log.
      this.shard.buffer.appendOwn(events, Date.now());
    } catch {
      // Nor does what storage refuses hold up the report of a flush, or its next alarm.
    }
  }

  /** @param overdueMs how long a flush may go on that is due now */
  private async arm(overdueMs = 0): Promise<void> {
    if (this.shard === undefined) return;
    const { buffer } = this.shard;
    const nowMs = Date.now();
    const flushAtMs = buffer.flushDueAtMs(nowMs);
    const isOverdue = flushAtMs !== undefined && flushAtMs <= nowMs;
    const registerAtMs = buffer.record.isRegistered ? undefined : nowMs + this.settings.flushAgeMs;
    await this.alarms.arm({ flush: isOverdue ? nowMs + overdueMs : flushAtMs, register: registerAtMs });
  }
}
