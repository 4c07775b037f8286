/**
 * The table's object in simulation: the code under test wired as durable-objects/iceberg-table.ts does it,
 * its calls going over the simulated network.
 */
import { Alarms } from "../../../durable-objects/alarms.ts";
import type { Catalog } from "../../../durable-objects/iceberg/catalog.ts";
import { Committer } from "../../../durable-objects/iceberg/committer.ts";
import { Maintenance } from "../../../durable-objects/iceberg/maintenance.ts";
import { ManifestFiles } from "../../../durable-objects/iceberg/manifest-files.ts";
import type { ObjectStore } from "../../../durable-objects/iceberg/object-store.ts";
import type { TableColumn } from "../../../durable-objects/iceberg/table-columns.ts";
import { TableStore, type KnownShard } from "../../../durable-objects/iceberg/table-store.ts";
import type {
  CommitReport,
  CompactionReport,
  ExpiryReport,
  StageAnswer,
  StageCall,
} from "../../../protocol/lake-call.ts";
import type { LakeEvent } from "../../../protocol/lake-event.ts";
import type { LakeSettings } from "../../../protocol/lake-settings.ts";
import type { LakeTelemetry } from "../../../protocol/telemetry.ts";
import { TelemetryOutlet } from "../../../protocol/telemetry-outlet.ts";
import type { Life } from "./sim-process.ts";

export interface TableEnv {
  readonly settings: LakeSettings;
  readonly objects: ObjectStore;
  readonly catalog: Catalog;
  readonly columns: readonly TableColumn[];
  /** Whether this deployment looks after the table. */
  readonly isKeeper: boolean;
  readonly clock: () => number;
  readonly random: () => number;
  readonly randomUuid: () => string;
  readonly sleep: (ms: number) => Promise<void>;
  /** Hands telemetry to a shard; `false` or rejected where it was not taken. */
  readonly sendTelemetry: (events: readonly LakeEvent[]) => Promise<boolean>;
  readonly onTelemetry: (event: LakeTelemetry) => void;
}

export class TableObject {
  private readonly env: TableEnv;
  private readonly store: TableStore;
  private readonly alarms: Alarms;
  private readonly committer: Committer;
  private readonly maintenance: Maintenance;

  constructor(life: Life, env: TableEnv) {
    this.env = env;
    const { objects, catalog, clock, random, randomUuid, sleep, settings } = env;
    this.store = new TableStore(life.storage.port);
    this.alarms = new Alarms(life);
    const manifests = new ManifestFiles(objects);
    const outlet = new TelemetryOutlet({
      send: env.sendTelemetry,
      waitUntil: (work) => void work.catch(() => undefined),
      sleep,
      clock,
      randomId: randomUuid,
      onDropped: () => undefined,
    });
    const telemetry = (event: LakeTelemetry) => {
      env.onTelemetry(event);
      outlet.sink({ ...event, time: new Date(clock()).toISOString() });
    };
    this.committer = new Committer({
      store: this.store,
      manifests,
      catalog,
      columns: env.columns,
      snapshotsKept: settings.snapshotsKept,
      clock,
      random,
      randomUuid,
      sleep,
      telemetry,
    });
    const { committer, store } = this;
    this.maintenance = new Maintenance({
      committer,
      catalog,
      manifests,
      objects,
      store,
      settings,
      clock,
      randomUuid,
      telemetry,
    });
  }

  async register(shard: KnownShard): Promise<void> {
    this.store.register(shard);
  }

  async stage({ shardIndex, shard, batch, files }: StageCall): Promise<StageAnswer> {
    const outcome = this.store.stage({ shard, index: shardIndex }, batch, files);
    await this.arm();
    return outcome === "withdrawn" ? "withdrawn" : "taken";
  }

  async withdraw({ shardIndex, shard, batch }: Omit<StageCall, "files">): Promise<StageAnswer> {
    return this.store.withdraw({ shard, index: shardIndex }, batch) ? "withdrawn" : "taken";
  }

  async location(): Promise<string> {
    return (await this.env.catalog.loadOrCreate()).metadata.location;
  }

  async commitNow(): Promise<CommitReport> {
    const report = await this.committer.commit();
    await this.arm();
    return report;
  }

  async compact(): Promise<CompactionReport> {
    const report = await this.maintenance.compact();
    await this.arm();
    return report;
  }

  async expireSnapshots(keep?: number): Promise<ExpiryReport> {
    const report = await this.maintenance.expire(keep);
    await this.arm();
    return report;
  }

  async alarm(): Promise<void> {
    this.alarms.noteFired();
    const nowMs = this.env.clock();
    const commitAtMs = this.committer.dueAtMs(nowMs, this.env.settings.commitIntervalMs);
    if (commitAtMs !== undefined && commitAtMs <= nowMs) await this.committer.commit();
    if ((this.maintenanceDueAtMs() ?? Number.POSITIVE_INFINITY) <= nowMs) await this.maintenance.takeTurn();
    await this.arm();
  }

  private async arm(): Promise<void> {
    await this.alarms.arm({
      commit: this.committer.dueAtMs(this.env.clock(), this.env.settings.commitIntervalMs),
      maintenance: this.maintenanceDueAtMs(),
    });
  }

  private maintenanceDueAtMs(): number | undefined {
    return this.env.isKeeper ? this.maintenance.dueAtMs() : undefined;
  }
}
