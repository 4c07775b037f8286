/**
 * The checker: after every step it finds every event that was ever taken in exactly one place, and holds
 * every deadline against the alarm that is set for it.
 */
import type { LakeSettings } from "../../../protocol/lake-settings.ts";
import type { Coverage } from "../coverage.ts";
import { readShard, readTable, type DurableBatch, type DurableShard, type DurableTable } from "./durable-state.ts";
import type { LakeModel, Taken } from "./lake-model.ts";
import { breach, type LakePromise } from "./lake-violation.ts";
import type { SimBucket } from "./sim-bucket.ts";
import type { CatalogServer } from "./sim-catalog.ts";
import { ALARM_RETRY_MS, type SimProcess } from "./sim-process.ts";
import type { ShardObject } from "./sim-shard.ts";
import type { TableObject } from "./sim-table.ts";
import type { TableReader } from "./table-reader.ts";

/** One table object and the shards that stage there. */
export interface Deployment {
  readonly table: SimProcess<TableObject>;
  readonly shards: ReadonlyMap<number, SimProcess<ShardObject>>;
}

export interface CheckDeps {
  readonly model: LakeModel;
  readonly reader: TableReader;
  readonly bucket: SimBucket;
  readonly server: CatalogServer | undefined;
  readonly deployments: readonly Deployment[];
  readonly settings: LakeSettings;
  readonly coverage: Coverage;
}

/** The longest that a failure puts anything off. */
const BACKOFF_MAX_MS = 300_000;
const DEAD_LETTERS = /^dead-letters\/([^/]+)\/\d+-\d+\.ndjson$/;

export class LakeCheck {
  private readonly deps: CheckDeps;
  private count = 0;
  private bucketChanges = -1;
  private serverChanges = -1;
  private deletions = 0;
  private readonly shardStates = new Map<SimProcess<ShardObject>, DurableShard | undefined>();
  private readonly tableStates = new Map<SimProcess<TableObject>, DurableTable | undefined>();
  /** By shard and batch: which events a number stands for, for good. */
  private readonly sealed = new Map<string, DurableBatch>();
  /** By object: the latest time to which a failure has put anything off. */
  private readonly backoffs = new Map<string, number>();
  /** Letters in the bucket by shard and id. */
  private spilled = new Map<string, string>();

  constructor(deps: CheckDeps) {
    this.deps = deps;
  }

  async check(): Promise<void> {
    const { bucket, server, reader, deployments } = this.deps;
    const isTableChanged = bucket.changes !== this.bucketChanges || (server?.changes ?? 0) !== this.serverChanges;
    if (isTableChanged) {
      this.bucketChanges = bucket.changes;
      this.serverChanges = server?.changes ?? 0;
      await reader.read();
      if (bucket.deletions !== this.deletions) reader.checkReferenced();
      this.deletions = bucket.deletions;
      const spilled = readSpilled(bucket);
      this.deps.coverage.note("dead letters written to the bucket", spilled.size - this.spilled.size);
      this.spilled = spilled;
    }
    let isChanged = isTableChanged;
    for (const { table, shards } of deployments) {
      for (const shard of shards.values()) {
        this.checkSums(shard);
        if (!shard.isChanged) continue;
        shard.isChanged = false;
        isChanged = true;
        this.shardStates.set(shard, readShard(shard.storage));
        this.checkShardAlarm(shard);
      }
      if (!table.isChanged) continue;
      table.isChanged = false;
      isChanged = true;
      this.tableStates.set(table, readTable(table.storage));
      this.checkTableAlarm(table);
    }
    if (isChanged) await this.countAll();
  }

  /** When all has come to rest: only what waits for somebody else's flush is still in a shard. */
  checkRest(): void {
    for (const taken of this.deps.model.all()) {
      if (taken.isDropped) continue;
      const isAtRest =
        taken.place === "table" || taken.place === "dead letters" || (taken.isRiding && taken.place === "shard");
      if (!isAtRest) breach("work comes to its end", `${taken.shard}/${taken.seq} is still in: ${taken.place}`);
      const isLetter = taken.place === "dead letters";
      if (isLetter && !this.deps.model.isPoison(taken)) {
        breach("L1 nothing acknowledged is lost", `${taken.shard}/${taken.seq} is sound, and a dead letter`);
      }
    }
    for (const identity of this.deps.model.replayed) {
      breach("L1 nothing acknowledged is lost", `${identity} was dropped, and its replay not taken`);
    }
    for (const state of this.tableStates.values()) {
      if (state?.hasPending === true) breach("work comes to its end", "a commit is still under way");
    }
  }

  shardState(shard: SimProcess<ShardObject>): DurableShard | undefined {
    return this.shardStates.get(shard);
  }

  tableState(table: SimProcess<TableObject>): DurableTable | undefined {
    return this.tableStates.get(table);
  }

  /** Telemetry is summed up exactly, over all of a shard's processes. */
  private checkSums(shard: SimProcess<ShardObject>): void {
    const rollup = shard.object?.rollup();
    if (rollup === undefined) return;
    const { model, coverage } = this.deps;
    const taken = model.ownEventsOf(rollup.shard);
    const counted = rollup.counters.telemetry_events?.[""] ?? 0;
    if (taken > 0) coverage.note("telemetry summed up");
    if (counted === taken) return;
    if (counted > taken || counted < taken - model.damagedOwnEventsOf(rollup.shard)) {
      breach("telemetry is summed up exactly", `${rollup.shard} has counted ${counted} of ${taken}`);
    }
  }

  private async countAll(): Promise<void> {
    const { deployments, model, reader } = this.deps;
    this.count++;
    for (const taken of reader.view?.rows ?? []) this.place(taken, "table");
    for (const { table, shards } of deployments) {
      const state = this.tableStates.get(table);
      await this.countStaged(state);
      for (const shard of shards.values()) {
        const shardState = this.shardStates.get(shard);
        if (shardState !== undefined) this.countShard(shardState, state);
      }
    }
    this.countSpilled();
    for (const taken of model.all()) {
      if (taken.countedIn !== this.count && !taken.isDropped) {
        breach("L1 nothing acknowledged is lost", `${taken.shard}/${taken.seq} is nowhere, it was in: ${taken.place}`);
      }
    }
  }

  private async countStaged(state: DurableTable | undefined): Promise<void> {
    if (state === undefined) return;
    const { reader, bucket } = this.deps;
    const committed = reader.view?.lastSeqs.get(state.record.committerId) ?? 0;
    for (const { commitSeq, files } of state.staged) {
      // The table has it; the object does not know yet.
      if (commitSeq !== undefined && commitSeq <= committed) continue;
      for (const { path, recordCount } of files) {
        const key = path.slice("s3://lake/".length);
        if (!bucket.objects.has(key)) breach("X3 nothing is let go too early", `staged ${key} is gone`);
        const { rows } = await reader.readFile(path);
        if (rows.length !== recordCount) breach("L1 rows are what was taken", `staged ${key} has other rows`);
        for (const row of rows) this.place(row, "staged");
      }
    }
  }

  private countShard({ record, appends, batches, letters }: DurableShard, table: DurableTable | undefined): void {
    const { model } = this.deps;
    const lastStaged = table?.lastBatches.get(record.name) ?? 0;
    for (const batch of batches) {
      const name = `${record.name}:${batch.batch}`;
      const earlier = this.sealed.get(name);
      this.sealed.set(name, batch);
      if (earlier !== undefined && (earlier.fromSeq !== batch.fromSeq || earlier.uptoSeq !== batch.uptoSeq)) {
        breach("L2 numbers are never used twice", `batch ${name} was ${earlier.fromSeq}, is ${batch.fromSeq}`);
      }
    }
    const isWithdrawn = (batch: number) => table?.withdrawn.has(`${record.name}:${batch}`) === true;
    const delivered = batches.filter(({ batch }) => batch <= lastStaged && !isWithdrawn(batch));
    for (const { firstSeq, eventCount } of appends) {
      const isDelivered = delivered.some(({ fromSeq, uptoSeq }) => firstSeq >= fromSeq && firstSeq <= uptoSeq);
      for (let seq = firstSeq; seq < firstSeq + eventCount; seq++) {
        const taken = this.demand(record.name, seq);
        // Of a batch that is staged already, only what cannot be in its files is still here.
        if (!isDelivered || model.isPoison(taken)) this.place(taken, "shard");
      }
    }
    for (const { letterId, event } of letters) {
      // Written to the bucket, and about to leave.
      if (this.spilled.get(`${record.name}:${letterId}`) === event) continue;
      for (const taken of this.readLetter(event)) this.place(taken, "dead letters");
    }
  }

  private countSpilled(): void {
    for (const event of this.spilled.values()) {
      for (const taken of this.readLetter(event)) this.place(taken, "dead letters");
    }
  }

  private readLetter(event: string): readonly Taken[] {
    const damaged = this.deps.model.damaged.get(event);
    if (damaged !== undefined) return damaged;
    const row = JSON.parse(event) as { shard: string; seq: number; id: string };
    const taken = this.demand(row.shard, row.seq);
    if (taken.event.id !== row.id) breach("L1 rows are what was taken", `a dead letter is ${row.id} by now`);
    return [taken];
  }

  private demand(shard: string, seq: number): Taken {
    return this.deps.model.at(shard, seq) ?? breach("L1 nothing counts twice", `${shard}/${seq} was never taken`);
  }

  private place(taken: Taken, place: string): void {
    if (taken.isDropped)
      breach("L1 nothing counts twice", `${taken.shard}/${taken.seq} was dropped, and is in: ${place}`);
    if (taken.countedIn === this.count) {
      breach("L1 nothing counts twice", `${taken.shard}/${taken.seq} is in: ${taken.place}, and in: ${place}`);
    }
    taken.countedIn = this.count;
    taken.place = place;
  }

  /** L3: an alarm is set for when the oldest event wants to leave, or a failed flush is tried again. */
  private checkShardAlarm(shard: SimProcess<ShardObject>): void {
    const state = this.shardStates.get(shard);
    if (state === undefined) return;
    const { flushAgeMs, flushEvents } = this.deps.settings;
    const backoffMs = this.noteBackoff(shard, state.record.nextAttemptAtMs);
    const oldest = state.appends.find(({ isRiding }) => !isRiding);
    if (oldest === undefined || shard.isAlarmRunning) return;
    const wantedAtMs = Math.max(oldest.appendedAtMs + flushAgeMs, backoffMs);
    const events = state.appends.reduce((sum, { eventCount }) => sum + eventCount, 0);
    const isDue = wantedAtMs <= shard.lastTurnAtMs || events >= flushEvents || state.batches.length > 0;
    // A flush that is due begins by itself: then the alarm is only for when it dies.
    const isForCrash = isDue && (shard.isBusy || !shard.isUp);
    const latestMs = Math.max(wantedAtMs, shard.lastTurnAtMs) + (isForCrash ? flushAgeMs : 0);
    checkAlarm("L3 the age deadline stands", shard, latestMs);
  }

  /** @returns the latest time to which any failure so far may have put things off */
  private noteBackoff(
    process: { readonly name: string; readonly refusedAtMs: number },
    nextAttemptAtMs: number | undefined,
  ): number {
    // A failure that could not be written down is kept in memory alone.
    const unwrittenMs = process.refusedAtMs + BACKOFF_MAX_MS;
    const backoffMs = Math.max(this.backoffs.get(process.name) ?? 0, nextAttemptAtMs ?? 0, unwrittenMs);
    this.backoffs.set(process.name, backoffMs);
    return backoffMs;
  }

  /** What is staged is committed without being asked for. */
  private checkTableAlarm(table: SimProcess<TableObject>): void {
    const state = this.tableStates.get(table);
    if (state === undefined) return;
    const backoffMs = this.noteBackoff(table, state.record.nextAttemptAtMs);
    if (table.isAlarmRunning || state.staged.length === 0) return;
    const latestMs = Math.max(backoffMs, table.lastTurnAtMs + this.deps.settings.commitIntervalMs);
    checkAlarm("work comes to its end", table, latestMs);
  }
}

function checkAlarm(
  promise: LakePromise,
  process: { readonly name: string; readonly alarmAtMs: number | undefined },
  latestMs: number,
): void {
  const { name, alarmAtMs } = process;
  if (alarmAtMs === undefined) breach(promise, `${name} has no alarm`);
  // The platform's own delay, after a handler that did not come to its end.
  const lateMs = alarmAtMs - latestMs - ALARM_RETRY_MS;
  if (lateMs > 0) breach(promise, `the alarm of ${name} is ${lateMs} ms late`);
}

function readSpilled(bucket: SimBucket): Map<string, string> {
  const letters = new Map<string, string>();
  for (const key of bucket.keys("dead-letters/")) {
    const shard = DEAD_LETTERS.exec(key)?.[1];
    const text = new TextDecoder().decode(bucket.objects.get(key)?.bytes);
    for (const line of text.split("\n").slice(0, -1)) {
      // Written by dead-letters.ts, one letter a line.
      const letter = JSON.parse(line) as { letter_id: number; event: string };
      const name = `${shard}:${letter.letter_id}`;
      const earlier = letters.get(name);
      if (earlier !== undefined && earlier !== letter.event) {
        breach("L2 numbers are never used twice", `letter ${name} is two letters`);
      }
      letters.set(name, letter.event);
    }
  }
  return letters;
}
