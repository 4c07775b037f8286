/**
 * The Durable Object of one shard: gives {@link EventShard} what the platform has. Decides nothing.
 */
import { DurableObject } from "cloudflare:workers";

import type {
  ExportPage,
  ExportPageCall,
  ExportScope,
  LetterPage,
  PurgeAnswer,
  PurgeCall,
  RedriveAnswer,
  ResetAnswer,
} from "../protocol/buffer-call.ts";
import type { ConfigFault } from "../protocol/errors.ts";
import type { AppendAnswer, AppendCall, ShardFlushReport, ShardStatus } from "../protocol/lake-call.ts";
import { readLakeSettings, type LakeSettings } from "../protocol/lake-settings.ts";
import type { KnownStream, ShardRollup, TimelineEntry } from "../protocol/rollup.ts";
import { MONITOR_OBJECT_NAME, TABLE_OBJECT_NAME } from "../protocol/shard-choice.ts";
import { createLogSink } from "../protocol/telemetry.ts";
import { Alarms } from "./alarms.ts";
import type { BatchSink } from "./analytics/batch-sink.ts";
import { EventShard } from "./analytics/event-shard.ts";
import { IcebergSink } from "./analytics/iceberg-sink.ts";
import { PipelinesSink, type PipelinePort } from "./analytics/pipelines-sink.ts";
import { ShardStore } from "./analytics/shard-store.ts";
import { blockedByFaults } from "./configuration-faults.ts";
import { R2ObjectStore } from "./r2-object-store.ts";
import { sqlPort } from "./sql-port.ts";
import { sleep, within } from "../protocol/timing.ts";

const TABLE_TIMEOUT_MS = 30_000;

const logSink = createLogSink((line) => console.log(line));

/** Bound only where ANALYTICS_SINK says so. */
type ShardEnv = Env & { readonly EVENTS_PIPELINE?: PipelinePort };

export class EventBuffer extends DurableObject<ShardEnv> {
  private readonly settings: LakeSettings;
  private readonly objects: R2ObjectStore;
  private readonly shard: EventShard;
  private tableLocation: string | undefined;

  constructor(ctx: DurableObjectState, env: ShardEnv) {
    super(ctx, env);
    const faults: ConfigFault[] = [];
    this.settings = readLakeSettings({ ...env }, faults);
    this.objects = new R2ObjectStore(env.LAKE_BUCKET);
    this.shard = new EventShard({
      store: new ShardStore(sqlPort(ctx.storage)),
      settings: this.settings,
      sink: this.createSink(),
      objects: this.objects,
      alarms: new Alarms(ctx.storage),
      register: (shard) => within(this.table.register(shard), "the table object", TABLE_TIMEOUT_MS),
      clock: Date.now,
      random: Math.random,
      randomUuid: () => crypto.randomUUID(),
      sleep,
      waitUntil: (work) => ctx.waitUntil(work),
      log: logSink,
      blockedBy: blockedByFaults(faults),
      wakeMonitor: () => ctx.waitUntil(this.wakeMonitor()),
    });
  }

  async append(call: AppendCall): Promise<AppendAnswer> {
    return this.shard.append(call);
  }

  /** `undefined` of a shard that never took an event, as for {@link status}. */
  async flush(): Promise<ShardFlushReport | undefined> {
    return this.shard.flush();
  }

  status(): ShardStatus | undefined {
    return this.shard.status();
  }

  rollup(): ShardRollup | undefined {
    return this.shard.rollup();
  }

  timeline(requestId: string): TimelineEntry[] {
    return this.shard.timeline(requestId);
  }

  knownStream(requestId: string): KnownStream | undefined {
    return this.shard.knownStream(requestId);
  }

  /** All of these are `undefined` of a shard that never took an event. */
  exportScope(): ExportScope | undefined {
    return this.shard.operations?.exportScope();
  }

  exportPage(call: ExportPageCall): ExportPage | undefined {
    return this.shard.operations?.exportPage(call);
  }

  async reset(confirm: string | undefined): Promise<ResetAnswer | undefined> {
    return this.shard.operations?.reset(confirm);
  }

  deadLetters(afterLetterId: number, limit: number): LetterPage | undefined {
    return this.shard.operations?.deadLetters(afterLetterId, limit);
  }

  async redrive(ids: readonly number[] | undefined): Promise<RedriveAnswer | undefined> {
    return this.shard.operations?.redrive(ids);
  }

  async purge(call: PurgeCall): Promise<PurgeAnswer | undefined> {
    return this.shard.operations?.purge(call);
  }

  /** What a reset has written to the bucket, whichever shard it was; `undefined` where there is no such object. */
  async readExport(key: string): Promise<Uint8Array | undefined> {
    return this.objects.get(key);
  }

  override async alarm(): Promise<void> {
    return this.shard.alarm();
  }

  private async wakeMonitor(): Promise<void> {
    // Deployed without a monitor, a shard does all the rest.
    const monitors: typeof this.env.SERVICE_MONITOR | undefined = this.env.SERVICE_MONITOR;
    try {
      await monitors?.getByName(MONITOR_OBJECT_NAME).wake();
    } catch {
      // It looks by itself, too, and is told again in a minute: a failure to reach it now loses nothing.
    }
  }

  private createSink(): BatchSink {
    const { EVENTS_PIPELINE: pipeline } = this.env;
    // Without the binding the configuration is at fault, and nothing is delivered anywhere.
    if (this.settings.sink === "pipelines" && pipeline !== undefined) return new PipelinesSink(pipeline);
    return new IcebergSink({
      objects: this.objects,
      tableLocation: async () => {
        const asked = this.tableLocation ?? (await within(this.table.location(), "the table object", TABLE_TIMEOUT_MS));
        this.tableLocation = asked;
        return asked;
      },
      stage: (call) => within(this.table.stage(call), "the table object", TABLE_TIMEOUT_MS),
      withdraw: (batch) => within(this.table.withdraw(batch), "the table object", TABLE_TIMEOUT_MS),
    });
  }

  private get table() {
    return this.env.ICEBERG_TABLE_DO.getByName(TABLE_OBJECT_NAME);
  }
}
