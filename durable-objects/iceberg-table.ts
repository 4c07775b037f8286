/**
 * The Durable Object of the table: wires committer, catalog, maintenance, alarm and storage together.
 * Decides nothing: what a commit is is in iceberg/.
 */
import { DurableObject } from "cloudflare:workers";

import type { ConfigFault } from "../protocol/errors.ts";
import type {
  CommitReport,
  CompactionReport,
  ExpiryReport,
  StageAnswer,
  StageCall,
  TableProbe,
  TableStatus,
} from "../protocol/lake-call.ts";
import { readLakeSettings, type LakeSettings } from "../protocol/lake-settings.ts";
import { createLogSink, type LakeTelemetry } from "../protocol/telemetry.ts";
import { fanOut } from "../protocol/telemetry-outlet.ts";
import { Alarms } from "./alarms.ts";
import { blockedByFaults } from "./configuration-faults.ts";
import type { Catalog } from "./iceberg/catalog.ts";
import { Committer } from "./iceberg/committer.ts";
import { stringifyLossless } from "./iceberg/lossless-json.ts";
import { Maintenance } from "./iceberg/maintenance.ts";
import { ManifestFiles } from "./iceberg/manifest-files.ts";
import { R2Catalog } from "./iceberg/r2-catalog.ts";
import { RestCatalog } from "./iceberg/rest-catalog.ts";
import { TABLE_COLUMNS } from "./iceberg/table-columns.ts";
import { describeTable } from "./iceberg/table-report.ts";
import { TableStore, type KnownShard } from "./iceberg/table-store.ts";
import { R2ObjectStore } from "./r2-object-store.ts";
import { sqlPort } from "./sql-port.ts";
import { createShardOutlet } from "./shard-outlet.ts";
import { sleep, within } from "../protocol/timing.ts";

const CATALOG_TIMEOUT_MS = 30_000;
/** Whoever asks how things are wants an answer when they are bad, too. */
const STATUS_TIMEOUT_MS = 5_000;
/** Telemetry that hangs must not hold up all that follows. */
const SHARD_TIMEOUT_MS = 5_000;
/** Of no object: whether the bucket answers is what is asked. */
const PROBE_KEY = "readiness-probe";
/** How often a faulty configuration is looked at again. */
const BLOCKED_RETRY_MS = 60_000;

const logSink = createLogSink((line) => console.log(line));

export class IcebergTable extends DurableObject<Env> {
  private readonly settings: LakeSettings;
  private readonly blockedBy: string | undefined;
  private readonly store: TableStore;
  private readonly catalog: Catalog;
  private readonly committer: Committer;
  private readonly maintenance: Maintenance;
  private readonly alarms: Alarms;
  private readonly telemetry: (event: LakeTelemetry) => void;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    const faults: ConfigFault[] = [];
    this.settings = readLakeSettings({ ...env }, faults);
    this.blockedBy = blockedByFaults(faults);
    this.telemetry = this.createTelemetry();
    this.store = new TableStore(sqlPort(ctx.storage));
    this.alarms = new Alarms(ctx.storage);
    const objects = new R2ObjectStore(env.LAKE_BUCKET);
    this.catalog = createCatalog(this.settings, objects);
    const manifests = new ManifestFiles(objects);
    this.committer = new Committer({
      store: this.store,
      manifests,
      catalog: this.catalog,
      columns: TABLE_COLUMNS,
      snapshotsKept: this.settings.snapshotsKept,
      clock: Date.now,
      random: Math.random,
      randomUuid: () => crypto.randomUUID(),
      sleep,
      telemetry: this.telemetry,
    });
    this.maintenance = new Maintenance({
      committer: this.committer,
      catalog: this.catalog,
      manifests,
      objects,
      store: this.store,
      settings: this.settings,
      clock: Date.now,
      randomUuid: () => crypto.randomUUID(),
      telemetry: this.telemetry,
    });
  }

  /** Remembers a shard for good. */
  register(shard: KnownShard): void {
    this.store.register(shard);
  }

  listShards(): KnownShard[] {
    return this.store.listShards();
  }

  /** Takes a batch's files for good, unless it was withdrawn. Idempotent. */
  async stage({ shardIndex, shard, batch, files }: StageCall): Promise<StageAnswer> {
    const outcome = this.store.stage({ shard, index: shardIndex }, batch, files);
    await this.arm();
    return outcome === "withdrawn" ? "withdrawn" : "taken";
  }

  /** Refuses a batch for good, unless it has been taken. Idempotent. */
  withdraw({ shardIndex, shard, batch }: Omit<StageCall, "files">): StageAnswer {
    return this.store.withdraw({ shard, index: shardIndex }, batch) ? "withdrawn" : "taken";
  }

  /** Where the table's files go; makes the table where there is none. @throws where the catalog fails */
  async location(): Promise<string> {
    return (await this.catalog.loadOrCreate()).metadata.location;
  }

  /** Commits everything that is staged, now. */
  async commitNow(): Promise<CommitReport> {
    const report = await this.committer.commit();
    await this.arm();
    return report;
  }

  async status(): Promise<TableStatus> {
    const staged = { staged_files: this.store.countStagedFiles(), record: this.committer.record };
    try {
      const table = await within(this.catalog.load(), "the catalog", STATUS_TIMEOUT_MS);
      return describeTable(this.settings, staged, table ?? "missing");
    } catch (error) {
      const reason = error instanceof Error ? error.message : "the catalog failed";
      return { ...describeTable(this.settings, staged, "unreadable"), last_error: reason };
    }
  }

  /** Whether what the table stands on can be used just now. Writes nothing, and tells nothing of why not. */
  async probe(): Promise<TableProbe> {
    const [catalog, bucket] = await Promise.all([
      answers(this.catalog.load(), "the catalog"),
      answers(this.env.LAKE_BUCKET.head(PROBE_KEY), "the bucket"),
    ]);
    return { catalog, bucket };
  }

  async compact(): Promise<CompactionReport> {
    const report = await this.maintenance.compact();
    await this.arm();
    return report;
  }

  /** @param keep snapshots to keep, the newest ones; the setting's number where not given */
  async expireSnapshots(keep?: number): Promise<ExpiryReport> {
    const report = await this.maintenance.expire(keep);
    await this.arm();
    return report;
  }

  /** `undefined` before the first flush. The table as the embedded catalog has it, as JSON text: its ids do not survive as numbers. */
  async metadata(): Promise<{ metadataLocation: string; metadata: string } | undefined> {
    if (!this.catalog.isEmbedded) return undefined;
    const table = await this.catalog.load();
    if (table === undefined) return undefined;
    return { metadataLocation: table.metadataLocation, metadata: stringifyLossless(table.metadata) };
  }

  override async alarm(): Promise<void> {
    this.alarms.noteFired();
    if (this.blockedBy !== undefined) return this.alarms.arm({ look: Date.now() + BLOCKED_RETRY_MS });
    const nowMs = Date.now();
    const commitAtMs = this.committer.dueAtMs(nowMs, this.settings.commitIntervalMs);
    if (commitAtMs !== undefined && commitAtMs <= nowMs) await this.committer.commit();
    if ((this.maintenance.dueAtMs() ?? Number.POSITIVE_INFINITY) <= nowMs) await this.maintenance.takeTurn();
    await this.arm();
  }

  private async arm(): Promise<void> {
    await this.alarms.arm({
      commit: this.committer.dueAtMs(Date.now(), this.settings.commitIntervalMs),
      maintenance: this.maintenance.dueAtMs(),
    });
  }

  private createTelemetry(): (event: LakeTelemetry) => void {
    // Riding along there: what a commit tells must not cause the next one.
    const options = { shardIndex: 0, isRiding: true, timeoutMs: SHARD_TIMEOUT_MS, log: logSink };
    const outlet = createShardOutlet(this.ctx, this.env, options);
    const sink = fanOut(logSink, outlet.sink);
    return (event) => sink({ ...event, time: new Date().toISOString() });
  }
}

async function answers(call: Promise<unknown>, name: string): Promise<"ok" | "failed"> {
  return within(call, name, STATUS_TIMEOUT_MS).then(
    () => "ok" as const,
    () => "failed" as const,
  );
}

function createCatalog(settings: LakeSettings, objects: R2ObjectStore): Catalog {
  const { catalog, namespace, table } = settings;
  if (catalog.kind === "r2") {
    return new R2Catalog({
      objects,
      location: catalog.location,
      columns: TABLE_COLUMNS,
      clock: Date.now,
      randomUuid: () => crypto.randomUUID(),
    });
  }
  return new RestCatalog({
    uri: catalog.uri,
    warehouse: catalog.warehouse,
    ...(catalog.token === undefined ? {} : { token: catalog.token }),
    namespace: [namespace],
    table,
    columns: TABLE_COLUMNS,
    // Bare `fetch` as a member loses its receiver ("Illegal invocation").
    fetch: (input, init) => fetch(input, init),
    clock: Date.now,
    random: Math.random,
    sleep,
    timeoutMs: CATALOG_TIMEOUT_MS,
  });
}
