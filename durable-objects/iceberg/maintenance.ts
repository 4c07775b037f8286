/**
 * Looks after an embedded table: small files, old snapshots, orphans. Once a day, or when asked. Another
 * catalog does this itself.
 *
 * A day's work is done in turns, an alarm each, with commits in between: the platform bounds the CPU time and the
 * calls of one alarm (30 s and 10,000 by default), and a compaction run alone may read 1,000 files.
 * Source: https://developers.cloudflare.com/workers/platform/limits/
 */
import type { CompactionReport, ExpiryReport } from "../../protocol/lake-call.ts";
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
}

const NOT_OURS = "this catalog looks after its tables itself";

export class Maintenance {
  private readonly deps: MaintenanceDeps;
  private retryAtMs = 0;
  private day: Day | undefined;

  constructor(deps: MaintenanceDeps) {
    this.deps = deps;
  }

  /** When the next turn is due; `undefined` of a table that never had a commit or is not ours to keep. */
  dueAtMs(): number | undefined {
    if (this.day !== undefined) return this.day.turnAtMs;
    const { catalog, committer } = this.deps;
    const { lastCommitAtMs, lastMaintenanceAtMs, hasLeftovers } = committer.record;
    const sinceMs = lastMaintenanceAtMs ?? lastCommitAtMs;
    // Without a commit or leftovers since the last run there is nothing to look after, and nothing to wake up for.
    const hasChanged = hasLeftovers === true || (lastCommitAtMs ?? 0) > (lastMaintenanceAtMs ?? -1);
    const isDue = catalog.isEmbedded && sinceMs !== undefined && hasChanged;
    return isDue ? Math.max(sinceMs + DAY_MS, this.retryAtMs) : undefined;
  }

  /** One turn of a day's work. Never throws: what fails is tried again in an hour. */
  async takeTurn(): Promise<void> {
    const day = (this.day ??= {
      next: "sweep",
      turnAtMs: 0,
      runs: 0,
      hasRewritten: false,
      hasSmallFiles: true,
      hasYoungObjects: false,
    });
    if (day.next === "compact") await this.takeCompactionTurn(day);
    else await this.takeSweepTurn(day);
    day.turnAtMs = this.deps.clock();
  }

  private async takeSweepTurn(day: Day): Promise<void> {
    const { ok, kept_young_objects: young } = await this.expire();
    if (!ok) {
      this.day = undefined;
      this.retryAtMs = this.deps.clock() + RETRY_MS;
      return;
    }
    day.hasYoungObjects = young > 0;
    if (day.next === "sweep") day.next = "compact";
    else this.endDay(day);
  }

  private async takeCompactionTurn(day: Day): Promise<void> {
    const { ok, rewritten_files: rewritten, remaining_files: remaining } = await this.compact();
    day.runs++;
    day.hasRewritten ||= rewritten > 0;
    day.hasSmallFiles = ok && rewritten > 0 && remaining > 0;
    if (day.hasSmallFiles && day.runs < RUNS_PER_DAY) return;
    if (day.hasRewritten) day.next = "sweep-again";
    else this.endDay(day);
  }

  private endDay({ hasSmallFiles, hasYoungObjects }: Day): void {
    this.day = undefined;
    this.deps.committer.noteMaintenance(this.deps.clock(), hasSmallFiles || hasYoungObjects);
  }

  async compact(): Promise<CompactionReport> {
    const nothing = { rewritten_files: 0, added_files: 0, records: 0, snapshot_id: null, remaining_files: 0 };
    if (!this.deps.catalog.isEmbedded) return { ok: false, ...nothing, reason: NOT_OURS };
    try {
      return await compact(await this.deps.catalog.loadOrCreate(), this.deps);
    } catch (error) {
      return { ok: false, ...nothing, reason: reasonOf(error) };
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
