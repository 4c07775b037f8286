/**
 * The last flushes, commits and operators' actions, newest first. Pure.
 */
import { ROLLUP_LIMITS, type AdminActionNote, type CommitNote, type FlushNote } from "../../protocol/rollup.ts";
import { countIn, textIn, type OwnRecord } from "./rollup-record.ts";

const REASON_MAX_CHARS = 200;
const NOT_TOLD = "unknown";
/** Of the actions noted: anybody can cause refusals, and they must not push out what was done. */
const REFUSALS_MAX = 5;

export interface StoredNotes {
  readonly flushes: readonly FlushNote[];
  readonly commits: readonly CommitNote[];
  readonly adminActions: readonly AdminActionNote[];
}

export class RollupNotes {
  private notes: StoredNotes;

  constructor(stored: StoredNotes = { flushes: [], commits: [], adminActions: [] }) {
    this.notes = stored;
  }

  note(record: OwnRecord): void {
    const { flushes, commits, adminActions } = this.notes;
    switch (record.event) {
      case "BufferFlushSucceeded":
      case "BufferFlushFailed":
        this.notes = { ...this.notes, flushes: withNewest(flushes, flushOf(record)) };
        return;
      case "IcebergCommitted":
      case "IcebergCommitFailed":
        this.notes = { ...this.notes, commits: withNewest(commits, commitOf(record)) };
        return;
      case "AdminAction":
        this.notes = { ...this.notes, adminActions: withNewest(adminActions, actionOf(record)) };
        return;
      case "AdminRefused":
        this.notes = { ...this.notes, adminActions: withNewest(withFewRefusals(adminActions), actionOf(record)) };
    }
  }

  report(): StoredNotes {
    return this.notes;
  }
}

function withNewest<T>(notes: readonly T[], note: T): readonly T[] {
  return [note, ...notes.slice(0, ROLLUP_LIMITS.notes - 1)];
}

/** One less than may be, where there are as many. */
function withFewRefusals(notes: readonly AdminActionNote[]): readonly AdminActionNote[] {
  const refusals = notes.filter(isRefusal);
  const surplus = new Set(refusals.slice(REFUSALS_MAX - 1));
  return notes.filter((note) => !surplus.has(note));
}

/** What was done has the status of its answer; a refusal says why. */
function isRefusal({ result }: AdminActionNote): boolean {
  return !/^\d{3}$/.test(result);
}

function flushOf(record: OwnRecord): FlushNote {
  return {
    atMs: record.atMs,
    shard: textIn(record, "shard") ?? NOT_TOLD,
    events: countIn(record, "events") ?? 0,
    files: countIn(record, "files") ?? 0,
    bytes: countIn(record, "bytes") ?? 0,
    durationMs: countIn(record, "duration_ms") ?? 0,
    error: errorOf(record),
  };
}

function commitOf(record: OwnRecord): CommitNote {
  return {
    atMs: record.atMs,
    operation: textIn(record, "operation") ?? NOT_TOLD,
    snapshotId: textIn(record, "snapshot_id") ?? null,
    files: countIn(record, "files") ?? 0,
    records: countIn(record, "records") ?? 0,
    attempts: countIn(record, "attempts") ?? 0,
    durationMs: countIn(record, "duration_ms") ?? 0,
    error: errorOf(record),
  };
}

function actionOf(record: OwnRecord): AdminActionNote {
  return {
    atMs: record.atMs,
    action: textIn(record, "action") ?? NOT_TOLD,
    actor: textIn(record, "actor") ?? NOT_TOLD,
    result: textIn(record, "result") ?? NOT_TOLD,
    target: textIn(record, "target") ?? null,
  };
}

/** Only failures say a reason. */
function errorOf(record: OwnRecord): string | null {
  return textIn(record, "reason", REASON_MAX_CHARS) ?? null;
}
