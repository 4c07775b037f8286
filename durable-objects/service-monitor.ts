/**
 * The Durable Object that watches the service: gives {@link ServiceWatch} what the platform has, and asks
 * shards and table for it. Decides nothing.
 */
import { DurableObject } from "cloudflare:workers";

import { readLakeSettings, type LakeSettings } from "../protocol/lake-settings.ts";
import type { AlertReport, MonitorReport, TestAlertReport } from "../protocol/monitor-report.ts";
import { readMonitorSettings } from "../protocol/monitor-settings.ts";
import { shardName, TABLE_OBJECT_NAME } from "../protocol/shard-choice.ts";
import { createLogSink, type LakeTelemetry } from "../protocol/telemetry.ts";
import { fanOut, type TelemetryOutlet } from "../protocol/telemetry-outlet.ts";
import { within } from "../protocol/timing.ts";
import { createShardOutlet } from "./shard-outlet.ts";
import { Alarms } from "./alarms.ts";
import { MonitorStore } from "./monitor/monitor-store.ts";
import type { ShardAnswer, TableAnswer } from "./monitor/sample.ts";
import { ServiceWatch, type Look } from "./monitor/service-watch.ts";
import { digestOf } from "./monitor/shard-digest.ts";
import { sqlPort } from "./sql-port.ts";

/** Whoever asks how things are wants an answer when they are bad, too. */
const SHARD_TIMEOUT_MS = 5_000;
/** The table itself gives the catalog five seconds. */
const TABLE_TIMEOUT_MS = 8_000;
/** Rollups are large: so many are held at a time. */
const SHARDS_AT_ONCE = 16;

const logSink = createLogSink((line) => console.log(line));

export class ServiceMonitor extends DurableObject<Env> {
  private readonly lake: LakeSettings;
  private readonly watch: ServiceWatch;
  /** Shards that were ever heard of: asked also while the table object cannot list them. */
  private readonly indexes: Set<number>;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    // The Worker admits no request while these have faults; what watches goes on by the defaults.
    this.lake = readLakeSettings({ ...env }, []);
    this.indexes = new Set(Array.from({ length: this.lake.shards }, (_, index) => index));
    const outlet = this.createOutlet();
    const told = fanOut(logSink, outlet.sink);
    this.watch = new ServiceWatch({
      store: new MonitorStore(sqlPort(ctx.storage)),
      settings: readMonitorSettings({ ...env }, []),
      alarms: new Alarms(ctx.storage),
      look: () => this.look(),
      // Bare `fetch` as a member loses its receiver ("Illegal invocation").
      fetch: (input, init) => fetch(input, init),
      clock: Date.now,
      random: Math.random,
      randomUuid: () => crypto.randomUUID(),
      telemetry: (event) => told(timed(event)),
      log: (event) => logSink(timed(event)),
    });
  }

  /** Called by shards, at most once a minute each, when the service has told something of itself. */
  async wake(): Promise<void> {
    return this.watch.wake();
  }

  async overview(): Promise<MonitorReport> {
    return this.watch.overview();
  }

  /** Prometheus text. */
  async metrics(): Promise<string> {
    return this.watch.metrics();
  }

  async alerts(): Promise<AlertReport> {
    return this.watch.alerts();
  }

  async testAlert(): Promise<TestAlertReport> {
    return this.watch.testAlert();
  }

  override async alarm(): Promise<void> {
    return this.watch.alarm();
  }

  private async look(): Promise<Look> {
    const isListed = await this.listShards();
    const table = this.askTable(isListed);
    const indexes = [...this.indexes].toSorted((left, right) => left - right);
    const shards: ShardAnswer[] = [];
    for (let at = 0; at < indexes.length; at += SHARDS_AT_ONCE) {
      const turn = indexes.slice(at, at + SHARDS_AT_ONCE);
      shards.push(...(await Promise.all(turn.map((index) => this.askShard(index)))));
    }
    return { shards, isComplete: isListed, table: await table };
  }

  /** The configured shards, and whichever ever took an event. */
  private async listShards(): Promise<boolean> {
    try {
      const known = await within(this.table.listShards(), "the table object", SHARD_TIMEOUT_MS);
      for (const { index } of known) this.indexes.add(index);
      return true;
    } catch {
      // Told as the table's error.
      return false;
    }
  }

  private async askShard(index: number): Promise<ShardAnswer> {
    const shard = this.env.EVENT_BUFFER_DO.getByName(shardName(index));
    try {
      const [rollup, status] = await within(
        Promise.all([shard.rollup(), shard.status()]),
        "the shard",
        SHARD_TIMEOUT_MS,
      );
      return {
        index,
        digest: rollup === undefined ? undefined : digestOf(rollup, Date.now()),
        status,
        isReachable: true,
      };
    } catch {
      return { index, digest: undefined, status: undefined, isReachable: false };
    }
  }

  /** Never rejects. */
  private async askTable(isListed: boolean): Promise<TableAnswer> {
    if (this.lake.sink !== "iceberg") return { status: null, error: null };
    const unreachable = { status: null, error: "the table object cannot be reached" };
    if (!isListed) return unreachable;
    try {
      return { status: await within(this.table.status(), "the table object", TABLE_TIMEOUT_MS), error: null };
    } catch {
      return unreachable;
    }
  }

  private createOutlet(): TelemetryOutlet {
    // Riding along there: an alert must not cause the flush that fails.
    const options = { shardIndex: 0, isRiding: true, timeoutMs: SHARD_TIMEOUT_MS, log: logSink };
    return createShardOutlet(this.ctx, this.env, options);
  }

  private get table() {
    return this.env.ICEBERG_TABLE_DO.getByName(TABLE_OBJECT_NAME);
  }
}

function timed(event: LakeTelemetry): LakeTelemetry & { readonly time: string } {
  return { ...event, time: new Date().toISOString() };
}
