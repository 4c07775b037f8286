/**
 * Looks after an embedded table: small files, old snapshots, orphans. Once a day, or when asked. Another
 * catalog does this itself.
 *
 * A day's work is done in turns, an alarm each, with commits in between: the platform bounds the CPU time and the
 * calls of one alarm (30 s and 10,000 by default), and a compaction run alone may read 1,000 files.
 * Source: https://developers.cloudflare.com/workers/platform/limits/
 */
import type { CompactionReport, ExpiryReport } from "../../protocol/lake-call.ts";
import type { LakeTelemetry } from "../../protocol/telemetry.ts";
import type { LakeSettings } from "../../protocol/lake-settings.ts";
import type { Catalog } from "./catalog.ts";
import type { Committer } from "./committer.ts";
import { compact } from "./compaction.ts";
import type { ManifestFiles } from "./manifest-files.ts";
import type { ObjectStore } from "./object-store.ts";
import { sweepOrphans } from "./orphans.ts";
import type { TableStore } from "./table-store.ts";

const DAY_MS = 86_400_000;
const RETRY_MS = 3_600_000;
/** Compaction runs of one day's maintenance, a turn each; what is left is the next day's. */
const RUNS_PER_DAY = 200;

export interface MaintenanceDeps {
  readonly committer: Committer;
  readonly catalog: Catalog;
  readonly manifests: ManifestFiles;
  readonly objects: ObjectStore;
  readonly store: TableStore;
  readonly settings: LakeSettings;
  readonly clock: () => number;
  readonly randomUuid: () => string;
  readonly telemetry: (event: LakeTelemetry) => void;
}

/** A day's work under way. Not stored: after a restart the day begins again, and finds less to do. */
interface Day {
  /** Sweeping comes first, so that nothing that fails later keeps it from its turn; and again after a compaction. */
  next: "sweep" | "compact" | "sweep-again";
  turnAtMs: number;
  runs: number;
  hasRewritten: boolean;
  hasSmallFiles: boolean;
  hasYoungObjects: boolean;
  /** Something failed: the day is not over, but for an hour. */
  hasFailed: boolean;
}

const NOT_OURS = "this catalog looks after its tables itself";

export class Maintenance {
  private readonly deps: MaintenanceDeps;
  private day: Day | undefined;

  constructor(deps: MaintenanceDeps) {
    this.deps = deps;
  }

  /** When the next turn is due; `undefined` of a table that never had a commit or is not ours to keep. */
  dueAtMs(): number | undefined {
    if (this.day !== undefined) return this.day.turnAtMs;
    const { catalog, committer } = this.deps;
    const { firstCommitAtMs, lastCommitAtMs, lastMaintenanceAtMs, hasLeftovers } = committer.record;
    // Not the last commit: one every few seconds would put the first run off for ever.
    const sinceMs = lastMaintenanceAtMs ?? firstCommitAtMs ?? lastCommitAtMs;
    // Without a commit or leftovers since the last run there is nothing to look after, and nothing to wake up for.
    const hasChanged = hasLeftovers === true || (lastCommitAtMs ?? 0) > (lastMaintenanceAtMs ?? -1);
    if (!catalog.isEmbedded || sinceMs === undefined || !hasChanged) return undefined;
    // A turn that failed, or that the object did not survive.
    const retryAtMs = (committer.record.maintenanceTurnAtMs ?? Number.NEGATIVE_INFINITY) + RETRY_MS;
    return Math.max(sinceMs + DAY_MS, retryAtMs);
  }

  /** One turn of a day's work. Never throws: what fails is told, and tried again in an hour. */
  async takeTurn(): Promise<void> {
    const day = (this.day ??= {
      next: "sweep",
      turnAtMs: 0,
      runs: 0,
      hasRewritten: false,
      hasSmallFiles: true,
      hasYoungObjects: false,
      hasFailed: false,
    });
    this.deps.committer.noteMaintenanceTurn(this.deps.clock());
    if (day.next === "compact") await this.takeCompactionTurn(day);
    else await this.takeSweepTurn(day);
    day.turnAtMs = this.deps.clock();
  }

  private async takeSweepTurn(day: Day): Promise<void> {
    const { ok, kept_young_objects: young, reason } = await this.expire();
    day.hasYoungObjects = young > 0;
    if (!ok) this.noteFailure(day, "sweep", reason);
    // Files go on being merged where sweeping fails: more of them would not make it easier.
    if (day.next === "sweep") day.next = "compact";
    else this.endDay(day);
  }

  private async takeCompactionTurn(day: Day): Promise<void> {
    const { report, hasFailed } = await this.tryCompact();
    if (hasFailed) this.noteFailure(day, "compact", report.reason);
    const { ok, rewritten_files: rewritten, remaining_files: remaining } = report;
    day.runs++;
    day.hasRewritten ||= rewritten > 0;
    const hasMore = ok && rewritten > 0 && remaining > 0;
    // Refused or given up: perhaps another day.
    day.hasSmallFiles = hasMore || !ok;
    if (hasMore && day.runs < RUNS_PER_DAY) return;
    if (day.hasRewritten) day.next = "sweep-again";
    else this.endDay(day);
  }

  private noteFailure(day: Day, step: "sweep" | "compact", reason: string | null): void {
    day.hasFailed = true;
    this.deps.telemetry({ event: "IcebergMaintenanceFailed", step, reason: reason ?? "unknown" });
  }

  private endDay({ hasSmallFiles, hasYoungObjects, hasFailed }: Day): void {
    this.day = undefined;
    if (!hasFailed) this.deps.committer.noteMaintenance(this.deps.clock(), hasSmallFiles || hasYoungObjects);
  }

  async compact(): Promise<CompactionReport> {
    return (await this.tryCompact()).report;
  }

  /** @returns beside the report whether storage or catalog failed, as against that nothing could be done */
  private async tryCompact(): Promise<{ readonly report: CompactionReport; readonly hasFailed: boolean }> {
    const nothing = { rewritten_files: 0, added_files: 0, records: 0, snapshot_id: null, remaining_files: 0 };
    if (!this.deps.catalog.isEmbedded) return { report: { ok: false, ...nothing, reason: NOT_OURS }, hasFailed: false };
    try {
      return { report: await compact(await this.deps.catalog.loadOrCreate(), this.deps), hasFailed: false };
    } catch (error) {
      return { report: { ok: false, ...nothing, reason: reasonOf(error) }, hasFailed: true };
    }
  }

  /** Drops snapshots beyond the newest `keep`, then every object that nothing refers to any more. */
  async expire(keep: number = this.deps.settings.snapshotsKept): Promise<ExpiryReport> {
    const nothing = { expired_snapshots: 0, deleted_objects: 0, kept_young_objects: 0 };
    const { catalog, committer, manifests, objects, store, settings, clock } = this.deps;
    if (!catalog.isEmbedded) return { ok: false, ...nothing, reason: NOT_OURS };
    try {
      const { location, snapshots = [] } = (await catalog.loadOrCreate()).metadata;
      const before = snapshots.length;
      if (before > keep) await committer.commitExtra({ kind: "expire", keep });
      const listPending = () => [...store.listStagedPaths(), ...committer.pendingPaths(location)];
      // Before the table is read: what is committed from here on is neither in that table nor pending any more.
      const pending = listPending();
      const lastBatches = new Map(store.listShards().map(({ shard }) => [shard, store.lastBatchOf(shard)]));
      await catalog.prepareSweep?.();
      const table = await catalog.loadOrCreate();
      const { deleted, keptYoung } = await sweepOrphans(table, {
        manifests,
        objects,
        clock,
        minAgeMs: settings.orphanMinAgeMs,
        listPending: () => [...pending, ...listPending()],
        lastStagedBatch: (shard) => lastBatches.get(shard),
      });
      const expired = Math.max(0, before - (table.metadata.snapshots?.length ?? 0));
      return {
        ok: true,
        expired_snapshots: expired,
        deleted_objects: deleted,
        kept_young_objects: keptYoung,
        reason: null,
      };
    } catch (error) {
      return { ok: false, ...nothing, reason: reasonOf(error) };
    }
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : "storage or catalog failed";
}
