/**
 * Brings staged files into the table, each exactly once, with whoever else commits there.
 *
 * - X1 a commit has a number; the same commit that adds its files sets the committer's property to it;
 * - X2 every attempt reads the table first: a property that has come to the number means done;
 * - X3 nothing is let go, and nothing deleted, before the table has been seen to hold the commit;
 * - X4 one commit is under way at a time, and it is repeated until it is done.
 */
import type { CommitReport } from "../../protocol/lake-call.ts";
import type { LakeTelemetry } from "../../protocol/telemetry.ts";
import { backoffMs } from "../backoff.ts";
import { CatalogError, type Catalog, type LoadedTable } from "./catalog.ts";
import { ManifestError } from "./manifest-fields.ts";
import type { ManifestFiles } from "./manifest-files.ts";
import { manifestName, planAppend, planExpiry, planReplace, type CommitPlan } from "./snapshot-plan.ts";
import type { TableChange } from "./table-change.ts";
import { currentSchema, missingColumns } from "./table-check.ts";
import type { TableColumn } from "./table-columns.ts";
import { createSchema, currentSnapshot } from "./table-metadata.ts";
import type { CommitterRecord, PendingCommit, StagedBatch, TableStore } from "./table-store.ts";

/** What a caller may ask to be committed besides what is staged. */
export type ExtraCommit =
  | Omit<Extract<PendingCommit, { kind: "replace" }>, "seq" | "snapshotId" | "idempotencyKey">
  | Omit<Extract<PendingCommit, { kind: "expire" }>, "seq" | "snapshotId" | "idempotencyKey">;

export interface CommitterDeps {
  readonly store: TableStore;
  readonly manifests: ManifestFiles;
  readonly catalog: Catalog;
  readonly columns: readonly TableColumn[];
  readonly snapshotsKept: number;
  readonly clock: () => number;
  /** 0 to 1. */
  readonly random: () => number;
  readonly randomUuid: () => string;
  readonly sleep: (ms: number) => Promise<void>;
  readonly telemetry: (event: LakeTelemetry) => void;
}

/** Files of one snapshot: bounds memory and the time of one commit. */
const FILES_PER_COMMIT = 2000;
const ATTEMPTS_PER_RUN = 8;
/** Between attempts of one run; another committer's commit takes some tens of milliseconds. */
const RUN_BACKOFF = { firstMs: 50, maxMs: 2000 };
/** Between runs, kept by the object's alarm. */
const ALARM_BACKOFF = { firstMs: 1000, maxMs: 300_000 };
const REASON_MAX_CHARS = 300;

interface Done {
  readonly table: LoadedTable;
  readonly files: number;
  readonly records: number;
  /** Why nothing was changed, where that was so. */
  readonly abandoned: string | undefined;
}

export class Committer {
  readonly record: CommitterRecord;
  private readonly deps: CommitterDeps;
  /** The last of the runs that wait for each other. */
  private tail: Promise<unknown> = Promise.resolve();
  private waiting: Promise<CommitReport> | undefined;

  constructor(deps: CommitterDeps) {
    this.deps = deps;
    this.record = deps.store.load(deps.randomUuid());
  }

  /** Commits everything that is staged now. Calls that come before a run begins share it. Never throws. */
  commit(): Promise<CommitReport> {
    this.waiting ??= this.enqueue(() => {
      this.waiting = undefined;
      return this.runAll();
    });
    return this.waiting;
  }

  /** Commits a change that is not an append, after what is under way. @throws where it cannot be done now */
  async commitExtra(extra: ExtraCommit): Promise<Done> {
    return this.enqueue(async () => {
      await this.finishPending();
      this.deps.store.beginCommit({ ...this.newCommit(), ...extra }, this.record, 0);
      this.record.nextCommitSeq++;
      const pending = this.deps.store.pendingCommit();
      if (pending === undefined) throw new Error("the commit has not been kept");
      return this.runOne(pending);
    });
  }

  /** When the next run is due; `undefined` while nothing is staged. */
  dueAtMs(nowMs: number, commitIntervalMs: number): number | undefined {
    const hasWork = this.deps.store.countStagedFiles() > 0 || this.deps.store.pendingCommit() !== undefined;
    if (!hasWork) return undefined;
    const { lastCommitAtMs, nextAttemptAtMs } = this.record;
    // A clock that was set back must not hold commits up for longer than the interval.
    const sinceMs = lastCommitAtMs === undefined ? commitIntervalMs : Math.max(0, nowMs - lastCommitAtMs);
    return Math.max(nowMs + Math.max(0, commitIntervalMs - sinceMs), nextAttemptAtMs ?? 0);
  }

  /** Before the turn: whatever it does to this object, the next one finds when it began. */
  noteMaintenanceTurn(nowMs: number): void {
    this.record.maintenanceTurnAtMs = nowMs;
    this.deps.store.putRecord(this.record);
  }

  noteMaintenance(nowMs: number, hasLeftovers: boolean): void {
    this.record.lastMaintenanceAtMs = nowMs;
    this.record.maintenanceTurnAtMs = undefined;
    this.record.hasLeftovers = hasLeftovers;
    this.deps.store.putRecord(this.record);
  }

  /** Files of the commit under way, which the table may not refer to yet. */
  pendingPaths(location: string): readonly string[] {
    const pending = this.deps.store.pendingCommit();
    if (pending === undefined) return [];
    const manifest = `${location}/metadata/${manifestName(this.record.committerId, pending.seq)}`;
    return [manifest, ...(pending.kind === "replace" ? pending.added.map(({ path }) => path) : [])];
  }

  private enqueue<T>(work: () => Promise<T>): Promise<T> {
    const run = this.tail.then(work);
    this.tail = run.catch(() => undefined);
    return run;
  }

  private async runAll(): Promise<CommitReport> {
    let committedFiles = 0;
    let committedRecords = 0;
    let table: LoadedTable | undefined;
    const { store } = this.deps;
    try {
      // What an earlier run has left comes first.
      while (store.pendingCommit() !== undefined || this.beginAppend()) {
        const pending = store.pendingCommit();
        if (pending === undefined) break;
        const done = await this.runOne(pending);
        if (pending.kind === "append") {
          committedFiles += done.files;
          committedRecords += done.records;
        }
        ({ table } = done);
      }
      table ??= await this.deps.catalog.loadOrCreate();
    } catch (error) {
      const stagedFiles = store.countStagedFiles();
      const hasWork = stagedFiles > 0 || store.pendingCommit() !== undefined;
      // Where there was nothing to commit no commit comes that it would be over with: only whoever asked is told.
      return { ok: false, reason: hasWork ? this.noteFailure(error) : reasonOf(error), staged_files: stagedFiles };
    }
    const snapshot = currentSnapshot(table.metadata);
    return {
      ok: true,
      snapshot_id: snapshot === undefined ? null : String(snapshot["snapshot-id"]),
      committed_files: committedFiles,
      committed_records: committedRecords,
      staged_files: store.countStagedFiles(),
    };
  }

  private beginAppend(): boolean {
    const hasWork = this.deps.store.beginCommit({ ...this.newCommit(), kind: "append" }, this.record, FILES_PER_COMMIT);
    if (hasWork) this.record.nextCommitSeq++;
    return hasWork;
  }

  private newCommit() {
    return {
      seq: this.record.nextCommitSeq,
      snapshotId: randomSnapshotId(this.deps.random),
      idempotencyKey: this.deps.randomUuid(),
    };
  }

  private async finishPending(): Promise<Done | undefined> {
    const pending = this.deps.store.pendingCommit();
    return pending === undefined ? undefined : this.runOne(pending);
  }

  /** Repeats one commit until the table shows it. X2, X4 */
  private async runOne(pending: PendingCommit): Promise<Done> {
    const { catalog, clock, random, sleep, store, telemetry } = this.deps;
    const startedAtMs = clock();
    const batches = pending.kind === "append" ? store.batchesOf(pending.seq) : [];
    let reason = "";
    for (let attempts = 1; attempts <= ATTEMPTS_PER_RUN; attempts++) {
      const base = await catalog.loadOrCreate();
      if (this.lastSeqIn(base) >= pending.seq) return this.conclude(pending, base, { batches, startedAtMs, attempts });
      const plan = await this.plan(pending, base, batches);
      if (plan.kind === "abandoned") return this.abandon(pending, base, plan.reason);
      const outcome = await catalog.commit(base, this.withProperty(plan.change, pending), pending.idempotencyKey);
      if (outcome.kind === "committed") {
        if (plan.kind === "schema") continue;
        return this.conclude(pending, outcome.table, { batches, startedAtMs, attempts });
      }
      if (outcome.kind === "refused") throw new CatalogError(`the catalog refuses the commit: ${outcome.reason}`);
      ({ reason } = outcome);
      if (outcome.kind === "conflict") telemetry({ event: "IcebergConflict", reason: brief(reason), attempts });
      const waitMs = outcome.kind === "unknown" ? (outcome.retryAfterMs ?? 0) : 0;
      await sleep(Math.max(Math.min(waitMs, RUN_BACKOFF.maxMs), backoffMs(attempts, random(), RUN_BACKOFF)));
    }
    throw new CatalogError(`no commit within ${ATTEMPTS_PER_RUN} attempts: ${reason}`);
  }

  private async plan(pending: PendingCommit, base: LoadedTable, batches: readonly StagedBatch[]): Promise<CommitPlan> {
    const { manifests, columns, catalog, snapshotsKept, clock } = this.deps;
    const missing = missingColumns(base.metadata, columns);
    if (missing.length > 0) return planSchema(base, columns);
    const context = {
      base,
      manifests,
      nowMs: clock(),
      committerId: this.record.committerId,
      attemptId: this.deps.randomUuid(),
      snapshotsKept: catalog.isEmbedded ? snapshotsKept : undefined,
    };
    switch (pending.kind) {
      case "append":
        return planAppend({ seq: pending.seq, snapshotId: pending.snapshotId, batches }, context);
      case "replace":
        return planReplace(pending, context).catch(abandonUnwritable);
      case "expire":
        return planExpiry(pending.keep, context);
    }
  }

  /** X1. A change of the schema alone says nothing about the commit. */
  private withProperty(change: TableChange, pending: PendingCommit): TableChange {
    const isSchemaOnly = change.updates.some(({ action }) => action === "add-schema");
    if (isSchemaOnly) return change;
    const updates = { [this.propertyName]: String(pending.seq) };
    return { ...change, updates: [...change.updates, { action: "set-properties", updates }] };
  }

  private get propertyName(): string {
    return `spillway.committer.${this.record.committerId}.last-seq`;
  }

  private lastSeqIn({ metadata }: LoadedTable): number {
    return Number(metadata.properties?.[this.propertyName] ?? 0);
  }

  /** X3 */
  private conclude(
    pending: PendingCommit,
    table: LoadedTable,
    run: { readonly batches: readonly StagedBatch[]; readonly startedAtMs: number; readonly attempts: number },
  ): Done {
    const added = pending.kind === "replace" ? pending.added : run.batches.flatMap(({ files }) => files);
    const records = added.reduce((sum, file) => sum + file.recordCount, 0);
    this.end(pending);
    const snapshot = currentSnapshot(table.metadata);
    this.deps.telemetry({
      event: "IcebergCommitted",
      operation: pending.kind,
      snapshot_id: snapshot === undefined ? null : String(snapshot["snapshot-id"]),
      files: added.length,
      records,
      attempts: run.attempts,
      duration_ms: this.deps.clock() - run.startedAtMs,
    });
    return { table, files: added.length, records, abandoned: undefined };
  }

  private abandon(pending: PendingCommit, table: LoadedTable, reason: string): Done {
    this.end(pending);
    return { table, files: 0, records: 0, abandoned: reason };
  }

  private end(pending: PendingCommit): void {
    const nowMs = this.deps.clock();
    const change = {
      firstCommitAtMs: this.record.firstCommitAtMs ?? nowMs,
      lastCommitAtMs: nowMs,
      lastError: undefined,
      attempts: 0,
      nextAttemptAtMs: undefined,
    };
    this.deps.store.endCommit(pending.seq, { ...this.record, ...change });
    Object.assign(this.record, change);
  }

  private noteFailure(error: unknown): string {
    const { clock, random, store, telemetry } = this.deps;
    const reason = reasonOf(error);
    const waitMs = error instanceof CatalogError ? (error.retryAfterMs ?? 0) : 0;
    this.record.attempts++;
    this.record.lastError = reason;
    this.record.nextAttemptAtMs = clock() + Math.max(waitMs, backoffMs(this.record.attempts, random(), ALARM_BACKOFF));
    try {
      store.putRecord(this.record);
    } catch {
      // Kept in memory; a restart without it only tries sooner.
    }
    telemetry({ event: "IcebergCommitFailed", reason, attempts: this.record.attempts });
    return reason;
  }
}

/** Another writer's manifest is in the way. Rows stay where they are; repeating it would hold up every append. */
function abandonUnwritable(error: unknown): CommitPlan {
  if (error instanceof ManifestError) return { kind: "abandoned", reason: brief(error.message) };
  throw error;
}

/** All of this version's columns, beside whatever others the table has. */
function planSchema({ metadata }: LoadedTable, columns: readonly TableColumn[]): CommitPlan {
  const current = currentSchema(metadata);
  const present = new Set(current?.fields.map((field) => field.id));
  const added = createSchema(columns, 0).fields.filter((field) => !present.has(field.id));
  const required = added.find((field) => field.required);
  if (required !== undefined) throw new CatalogError(`the table lacks the required column ${required.name}`);
  const lastColumnId = Math.max(metadata["last-column-id"], ...added.map((field) => field.id));
  const schema = {
    ...current,
    type: "struct",
    "schema-id": 0,
    fields: [...(current?.fields ?? []), ...added],
  } as const;
  return {
    kind: "schema",
    change: {
      requirements: [
        { type: "assert-table-uuid", uuid: metadata["table-uuid"] },
        { type: "assert-current-schema-id", "current-schema-id": metadata["current-schema-id"] },
        { type: "assert-last-assigned-field-id", "last-assigned-field-id": metadata["last-column-id"] },
      ],
      updates: [
        { action: "add-schema", schema, "last-column-id": lastColumnId },
        { action: "set-current-schema", "schema-id": -1 },
      ],
    },
  };
}

/** 53 random bits: readers that parse JSON numbers as doubles see these ids exactly. */
function randomSnapshotId(random: () => number): number {
  return 1 + Math.floor(random() * (Number.MAX_SAFE_INTEGER - 1));
}

function reasonOf(error: unknown): string {
  return brief(error instanceof Error ? error.message : String(error));
}

function brief(reason: string): string {
  return reason.replaceAll(/\s+/g, " ").slice(0, REASON_MAX_CHARS);
}
