/**
 * A shard's object in simulation: the code under test wired as durable-objects/event-buffer.ts does it,
 * its calls going over the simulated network.
 */
import { Alarms } from "../../../durable-objects/alarms.ts";
import { fillMarkOf } from "../../../durable-objects/analytics/fill-mark.ts";
import { IcebergSink } from "../../../durable-objects/analytics/iceberg-sink.ts";
import { ShardBuffer } from "../../../durable-objects/analytics/shard-buffer.ts";
import { ShardFlush } from "../../../durable-objects/analytics/shard-flush.ts";
import { ShardStore } from "../../../durable-objects/analytics/shard-store.ts";
import type { ObjectStore } from "../../../durable-objects/iceberg/object-store.ts";
import type { KnownShard } from "../../../durable-objects/iceberg/table-store.ts";
import type { AppendAnswer, AppendCall, ShardFlushReport, StageCall } from "../../../protocol/lake-call.ts";
import type { LakeEvent } from "../../../protocol/lake-event.ts";
import type { LakeSettings } from "../../../protocol/lake-settings.ts";
import type { LakeTelemetry, TelemetryRecord } from "../../../protocol/telemetry.ts";
import { toLakeEvent } from "../../../protocol/telemetry-event.ts";
import type { Life } from "./sim-process.ts";

const FULL_WAIT_MS = 5_000;

/** The table object as a shard reaches it. */
export interface TablePort {
  location(): Promise<string>;
  stage(call: StageCall): Promise<void>;
  register(shard: KnownShard): Promise<void>;
}

/** What a shard has taken: told once it is durable. */
export interface Take {
  readonly index: number;
  readonly shard: string;
  readonly firstSeq: number;
  readonly events: readonly LakeEvent[];
  readonly isRiding: boolean;
  /** The shard's own telemetry, which nobody sends twice. */
  readonly isOwn: boolean;
  readonly takenAtMs: number;
}

export interface ShardEnv {
  readonly index: number;
  readonly settings: LakeSettings;
  readonly objects: ObjectStore;
  readonly table: TablePort;
  readonly clock: () => number;
  readonly random: () => number;
  readonly randomUuid: () => string;
  readonly sleep: (ms: number) => Promise<void>;
  readonly onTake: (take: Take) => void;
  readonly onTelemetry: (event: LakeTelemetry) => void;
}

interface Shard {
  readonly buffer: ShardBuffer;
  readonly flush: ShardFlush;
}

export class ShardObject {
  private readonly life: Life;
  private readonly env: ShardEnv;
  private readonly store: ShardStore;
  private readonly alarms: Alarms;
  private shard: Shard | undefined;
  private tableLocation: string | undefined;
  private ownEvents: TelemetryRecord[] = [];

  constructor(life: Life, env: ShardEnv) {
    this.life = life;
    this.env = env;
    this.store = new ShardStore(life.storage.port);
    this.alarms = new Alarms(life);
    const stored = this.store.load();
    if (stored !== undefined) this.shard = this.open();
  }

  async append(call: AppendCall): Promise<AppendAnswer> {
    const { buffer } = this.open();
    let answer = this.take(buffer, call);
    if (!answer.ok && !call.isRiding && !this.isBackingOff()) {
      await this.flushBriefly();
      answer = this.take(buffer, call);
    }
    this.noteFill();
    this.afterAppend().catch(() => undefined);
    await this.arm(this.env.settings.flushAgeMs);
    return answer;
  }

  async flush(): Promise<ShardFlushReport | undefined> {
    if (this.shard === undefined) return undefined;
    const report = await this.shard.flush.flush();
    await this.settle();
    return report;
  }

  async alarm(): Promise<void> {
    this.alarms.noteFired();
    if (this.shard === undefined) return;
    await this.register();
    if (this.isFlushDue()) await this.shard.flush.flush();
    await this.settle();
  }

  private open(): Shard {
    if (this.shard !== undefined) return this.shard;
    const { env, store } = this;
    const buffer = ShardBuffer.load(store, env.settings, {
      index: env.index,
      randomHex: Math.floor(env.random() * 2 ** 32)
        .toString(16)
        .padStart(8, "0"),
      dedupSeed: Math.floor(env.random() * 2 ** 32),
    });
    const flush = new ShardFlush({
      buffer,
      store,
      sink: new IcebergSink({
        objects: env.objects,
        tableLocation: async () => {
          this.tableLocation ??= await env.table.location();
          return this.tableLocation;
        },
        stage: (call) => env.table.stage(call),
      }),
      objects: env.objects,
      deadLetterMax: env.settings.deadLetterMax,
      clock: env.clock,
      random: env.random,
      telemetry: (event) => this.tell(event),
    });
    this.shard = { buffer, flush };
    return this.shard;
  }

  private take(buffer: ShardBuffer, call: Pick<AppendCall, "events" | "isRiding">): AppendAnswer {
    const takenAtMs = this.env.clock();
    const firstSeq = buffer.lastSeq + 1;
    const answer = buffer.append(call, takenAtMs);
    if (!answer.ok || answer.accepted === 0) return answer;
    const again = new Set(answer.duplicates);
    const events = call.events.filter((_, at) => !again.has(at));
    this.tellTake({ firstSeq, events, takenAtMs, isRiding: call.isRiding, isOwn: false });
    return answer;
  }

  private tellTake(take: Omit<Take, "index" | "shard">): void {
    const { index, onTake } = this.env;
    const shard = this.open().buffer.record.name;
    this.life.afterCommit(() => onTake({ index, shard, ...take }));
  }

  private isBackingOff(): boolean {
    return (this.shard?.buffer.record.nextAttemptAtMs ?? 0) > this.env.clock();
  }

  private async flushBriefly(): Promise<void> {
    if (this.shard === undefined) return;
    // A flush never rejects but where storage is dead.
    await Promise.race([this.shard.flush.flush(), this.env.sleep(FULL_WAIT_MS)]);
  }

  private async afterAppend(): Promise<void> {
    await this.register();
    if (this.isFlushDue() && this.shard?.flush.isRunning === false) await this.shard.flush.flush();
    await this.settle();
  }

  private isFlushDue(): boolean {
    const nowMs = this.env.clock();
    const dueAtMs = this.shard?.buffer.flushDueAtMs(nowMs);
    return dueAtMs !== undefined && dueAtMs <= nowMs;
  }

  private async register(): Promise<void> {
    if (this.shard === undefined) return;
    const { buffer } = this.shard;
    if (buffer.record.isRegistered) return;
    try {
      await this.env.table.register({ shard: buffer.record.name, index: buffer.record.index });
      buffer.noteRegistered();
    } catch {
      // Tried again with the next append.
    }
  }

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
    this.env.onTelemetry(event);
    this.ownEvents.push({ ...event, time: new Date(this.env.clock()).toISOString() });
  }

  private appendOwnEvents(): void {
    if (this.ownEvents.length === 0 || this.shard === undefined) return;
    const events = this.ownEvents.map((record) => toLakeEvent(record, this.env.randomUuid()));
    this.ownEvents = [];
    const { buffer } = this.shard;
    const takenAtMs = this.env.clock();
    const firstSeq = buffer.lastSeq + 1;
    try {
      buffer.appendOwn(events, takenAtMs);
    } catch {
      return;
    }
    if (buffer.lastSeq >= firstSeq) this.tellTake({ firstSeq, events, takenAtMs, isRiding: true, isOwn: true });
  }

  private async arm(overdueMs = 0): Promise<void> {
    if (this.shard === undefined) return;
    const { buffer } = this.shard;
    const nowMs = this.env.clock();
    const flushAtMs = buffer.flushDueAtMs(nowMs);
    const isOverdue = flushAtMs !== undefined && flushAtMs <= nowMs;
    const registerAtMs = buffer.record.isRegistered ? undefined : nowMs + this.env.settings.flushAgeMs;
    await this.alarms.arm({ flush: isOverdue ? nowMs + overdueMs : flushAtMs, register: registerAtMs });
  }
}
