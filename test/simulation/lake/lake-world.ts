/**
 * The simulated lake put together for one seed: settings, bucket, catalog, objects, and what they are
 * made of.
 */
import { DEDUP_WINDOW_EVENTS } from "../../../durable-objects/analytics/taken-events.ts";
import { R2Catalog } from "../../../durable-objects/iceberg/r2-catalog.ts";
import { TABLE_COLUMNS } from "../../../durable-objects/iceberg/table-columns.ts";
import type { LakeSettings } from "../../../protocol/lake-settings.ts";
import type { LakeTelemetry } from "../../../protocol/telemetry.ts";
import { Coverage } from "../coverage.ts";
import type { Random } from "../random.ts";
import type { Aim } from "./aims.ts";
import { exportedEvents, type ExportedEvent } from "./exported-events.ts";
import { holdWindow } from "./held-window.ts";
import { LakeCheck, type Deployment } from "./lake-check.ts";
import { LakeModel } from "./lake-model.ts";
import { phaseOfShard, phaseOfTable } from "./lake-phases.ts";
import { Network } from "./network.ts";
import { bucketPort, SimBucket } from "./sim-bucket.ts";
import { CatalogServer, catalogPort } from "./sim-catalog.ts";
import { SimProcess, type Life, type ProcessDeps } from "./sim-process.ts";
import { ShardObject, type TablePort } from "./sim-shard.ts";
import { TableObject } from "./sim-table.ts";
import { TableReader } from "./table-reader.ts";

const LOCATION = "s3://lake/warehouse/spillway/events";
export const SHARDS_MAX = 3;
/** Index of the first shard of the other deployment. */
const FOREIGN_SHARD = 100;
/** Events of one append at most. */
export const APPEND_MAX_EVENTS = 10;
const HOUR_MS = 3_600_000;

/** What a seed is about, beside what chance brings. */
export interface WorldPlan {
  readonly hasRestCatalog: boolean;
  readonly hasForeignCommitter: boolean;
  /** Whether shards recognise duplicates only for a short while. */
  readonly hasSmallWindow: boolean;
  /** What is to be struck in it. */
  readonly aim: Aim | undefined;
}

export class LakeWorld {
  readonly coverage = new Coverage();
  readonly network: Network;
  readonly bucket: SimBucket;
  readonly model: LakeModel;
  readonly check: LakeCheck;
  readonly reader: TableReader;
  readonly server: CatalogServer | undefined;
  readonly own: Deployment;
  readonly foreign: Deployment | undefined;
  readonly settings: LakeSettings;
  readonly location = LOCATION;
  /** Chance that an object dies within a turn. */
  crashRate = 0;
  /** Chance that storage refuses a write. */
  diskFullRate = 0;
  readonly aim: Aim | undefined;
  private readonly random: Random;
  private readonly restoreWindow: () => void;

  constructor(random: Random, plan: WorldPlan) {
    this.random = random;
    this.aim = plan.aim;
    this.settings = pickSettings(random);
    this.network = new Network(random, this.coverage, plan.aim);
    this.bucket = new SimBucket(() => this.network.elapsedMs);
    this.bucket.onDelete = (count) => this.coverage.note("objects swept", count);
    const windowEvents = plan.hasSmallWindow ? random.int(20, 60) : DEDUP_WINDOW_EVENTS;
    this.restoreWindow = holdWindow(windowEvents);
    this.model = new LakeModel(windowEvents);
    const { clock } = this.network;
    const randomUuid = this.randomUuid;
    this.server = plan.hasRestCatalog ? new CatalogServer({ location: LOCATION, clock, randomUuid }) : undefined;
    this.own = this.deploy(
      "table",
      Array.from({ length: SHARDS_MAX }, (_, index) => index),
    );
    this.foreign = plan.hasForeignCommitter ? this.deploy("foreign table", [FOREIGN_SHARD]) : undefined;
    const { bucket, server, model, coverage, settings } = this;
    this.reader = new TableReader({ bucket, server, model, coverage, snapshotsKept: settings.snapshotsKept });
    const deployments = this.deployments;
    this.check = new LakeCheck({ model, reader: this.reader, bucket, server, deployments, settings, coverage });
  }

  get deployments(): readonly Deployment[] {
    return this.foreign === undefined ? [this.own] : [this.own, this.foreign];
  }

  get processes(): readonly (SimProcess<ShardObject> | SimProcess<TableObject>)[] {
    return this.deployments.flatMap(({ table, shards }) => [table, ...shards.values()]);
  }

  get tables(): readonly SimProcess<TableObject>[] {
    return this.deployments.map(({ table }) => table);
  }

  get shardIndexes(): readonly number[] {
    return this.deployments.flatMap(({ shards }) => [...shards.keys()]);
  }

  shard(index: number): SimProcess<ShardObject> {
    for (const { shards } of this.deployments) {
      const shard = shards.get(index);
      if (shard !== undefined) return shard;
    }
    throw new Error(`there is no shard ${index}`);
  }

  readonly randomUuid = (): string => {
    const hex = (digits: number) =>
      Math.floor(this.random.fraction() * 16 ** digits)
        .toString(16)
        .padStart(digits, "0");
    return `${hex(8)}-${hex(4)}-4${hex(3)}-a${hex(3)}-${hex(8)}${hex(4)}`;
  };

  close(): void {
    this.restoreWindow();
    for (const process of this.processes) process.close();
  }

  private deploy(name: string, indexes: readonly number[]): Deployment {
    const deps = { ...this.processDeps(), phaseOf: phaseOfShard };
    const first = indexes[0] ?? 0;
    const table: SimProcess<TableObject> = new SimProcess(name, (life) => this.makeTable(life, first), {
      ...deps,
      phaseOf: phaseOfTable,
    });
    const shards = new Map<number, SimProcess<ShardObject>>();
    for (const index of indexes) {
      shards.set(index, new SimProcess(`shard ${index}`, (life) => this.makeShard(life, index, table), deps));
    }
    return { table, shards };
  }

  private processDeps(): Omit<ProcessDeps, "phaseOf"> {
    return {
      network: this.network,
      coverage: this.coverage,
      aim: this.aim,
      planCrash: () => {
        if (!this.random.chance(this.crashRate)) return undefined;
        return this.random.chance(0.3) ? "before commit" : this.random.int(0, 8);
      },
      isDiskFull: () => {
        const isFull = this.random.chance(this.diskFullRate);
        if (isFull) this.coverage.note("storage refused a write");
        return isFull;
      },
    };
  }

  private makeTable(life: Life, telemetryShard: number): TableObject {
    const { network, bucket, random, randomUuid, settings } = this;
    const objects = bucketPort(bucket, network, life);
    const { clock } = network;
    const isKeeper = telemetryShard < FOREIGN_SHARD;
    return new TableObject(life, {
      settings,
      objects,
      columns: TABLE_COLUMNS,
      catalog:
        this.server === undefined
          ? new R2Catalog({ objects, location: LOCATION, columns: TABLE_COLUMNS, clock, randomUuid })
          : catalogPort(this.server, network, life),
      clock,
      random: () => random.fraction(),
      randomUuid,
      sleep: (ms) => network.sleep(life, ms),
      isKeeper,
      sendTelemetry: (events) =>
        network
          .ask<{ ok: boolean }>(life, "append telemetry", (reply) =>
            this.shard(telemetryShard).serve(reply, "append telemetry", (shard) =>
              shard.append({ shardIndex: telemetryShard, events, isRiding: true }),
            ),
          )
          .then(({ ok }) => ok),
      onTelemetry: this.note,
    });
  }

  /** Told of events that a reset has dropped, as its exports in the bucket have them. */
  onDropped: (index: number, exported: readonly ExportedEvent[]) => void = () => undefined;

  private makeShard(life: Life, index: number, table: SimProcess<TableObject>): ShardObject {
    const { network, bucket, random, model, settings, randomUuid } = this;
    const ask = <T>(label: string, handle: (object: TableObject) => Promise<T>): Promise<T> =>
      network.ask<T>(life, label, (reply) => table.serve(reply, label, handle));
    const port: TablePort = {
      location: () => ask("location", (object) => object.location()),
      stage: (call) => ask("stage", (object) => object.stage(call)),
      withdraw: (batch) => ask("withdraw", (object) => object.withdraw(batch)),
      register: (shard) => ask("register", (object) => object.register(shard)),
    };
    return new ShardObject(life, {
      index,
      settings,
      objects: bucketPort(bucket, network, life),
      table: port,
      clock: network.clock,
      random: () => random.fraction(),
      randomUuid,
      sleep: (ms) => network.sleep(life, ms),
      onTake: (take) => model.take(take),
      onReplay: (events) => model.checkReplayed(index, events),
      onDrop: (drop) => {
        const dropped = model.drop(drop);
        this.coverage.note("events dropped by a reset", dropped.length);
        const exported = exportedEvents(bucket, drop.shard, dropped);
        const events = exported.map(({ event }) => event);
        model.expectAgain(drop.index, events);
        this.onDropped(drop.index, exported);
      },
      onTelemetry: this.note,
    });
  }

  private readonly note = (event: LakeTelemetry): void => {
    this.coverage.note(event.event === "IcebergCommitted" ? `committed: ${event.operation}` : event.event);
    if (event.event === "DeadLettered") this.coverage.note(`dead letter: ${event.reason.split(":", 1).join("")}`);
  };
}

function pickSettings(random: Random): LakeSettings {
  return {
    shards: random.int(1, SHARDS_MAX),
    flushEvents: random.int(3, 25),
    flushAgeMs: random.magnitude(1000, 60_000),
    shardMaxEvents: random.int(25, 120),
    shardMaxBytes: 16 * 1024 * 1024,
    deadLetterMax: random.int(1, 3),
    commitIntervalMs: random.pick([0, 5000, 20_000]),
    snapshotsKept: random.int(1, 8),
    orphanMinAgeMs: HOUR_MS,
    sink: "iceberg",
    namespace: "spillway",
    table: "events",
    catalog: { kind: "r2", location: LOCATION },
  };
}
