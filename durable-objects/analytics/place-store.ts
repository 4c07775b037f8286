/**
 * The tables of places: where events of exports have gone to since, in runs, and which seqs of the shard's own
 * life resets have dropped. The only SQL about them. Made at first use, so that a shard of an earlier version
 * needs no other step.
 *
 * Bounded: the oldest runs give way, and with them what is known of very old exports. Dropped ranges never
 * shrink: what a replay brings must rather be there twice than not at all.
 */
import { numberIn, textIn, type SqlPort, type SqlRow } from "../sql-storage.ts";

/** Neighbours of one life, whose events lie side by side at their new place, too. */
export interface PlaceRun {
  readonly life: string;
  readonly fromSeq: number;
  /** The last one. */
  readonly uptoSeq: number;
  /** New seq of the first one, of the shard's own life. */
  readonly toSeq: number;
}

export interface PlaceChange {
  readonly newRuns: readonly PlaceRun[];
  /** The shard's own, whose runs never leave as a whole. */
  readonly life: string;
}

/** A stretch of seqs that all have a new place (`run`), or none of which has one. */
export interface PlaceStretch {
  readonly fromSeq: number;
  readonly uptoSeq: number;
  readonly run: PlaceRun | undefined;
}

/** A stretch of seqs of the own life that were all dropped, or none of which was. */
export interface DroppedStretch {
  readonly fromSeq: number;
  readonly uptoSeq: number;
  readonly isDropped: boolean;
}

/** An export of 200,000 events, replayed in order, makes about a hundred. */
export const RUNS_OF_LIFE_MAX = 4_000;
export const LIVES_MAX = 32;
export const DROPPED_RANGES_MAX = 1_000;

const CREATE = [
  `CREATE TABLE IF NOT EXISTS place_run (
    life TEXT NOT NULL, from_seq INTEGER NOT NULL, upto_seq INTEGER NOT NULL, to_seq INTEGER NOT NULL,
    PRIMARY KEY (life, from_seq)) WITHOUT ROWID`,
  "CREATE TABLE IF NOT EXISTS dropped_range (from_seq INTEGER PRIMARY KEY, upto_seq INTEGER NOT NULL)",
];
const HAS_TABLES = "SELECT 1 AS found FROM sqlite_master WHERE type = 'table' AND name = 'place_run'";
const GET_RUN = `SELECT life, from_seq, upto_seq, to_seq FROM place_run
  WHERE life = ? AND from_seq <= ? ORDER BY from_seq DESC LIMIT 1`;
const NEXT_RUN = "SELECT from_seq FROM place_run WHERE life = ? AND from_seq > ? ORDER BY from_seq LIMIT 1";
const PUT_RUN = "INSERT INTO place_run (life, from_seq, upto_seq, to_seq) VALUES (?, ?, ?, ?)";
const EXTEND_RUN = "UPDATE place_run SET upto_seq = ? WHERE life = ? AND from_seq = ?";
const COUNT_RUNS = "SELECT COUNT(*) AS runs FROM place_run WHERE life = ?";
const DROP_OLDEST_RUNS = `DELETE FROM place_run WHERE life = ? AND to_seq IN
  (SELECT to_seq FROM place_run WHERE life = ? ORDER BY to_seq LIMIT ?)`;
const LIST_LIVES = `SELECT life FROM place_run WHERE life <> ? GROUP BY life ORDER BY MAX(to_seq) DESC`;
const DROP_LIFE = "DELETE FROM place_run WHERE life = ?";
const GET_DROPPED = "SELECT from_seq, upto_seq FROM dropped_range WHERE from_seq <= ? ORDER BY from_seq DESC LIMIT 1";
const NEXT_DROPPED = "SELECT from_seq FROM dropped_range WHERE from_seq > ? ORDER BY from_seq LIMIT 1";
const PUT_DROPPED = "INSERT INTO dropped_range (from_seq, upto_seq) VALUES (?, ?)";
const EXTEND_DROPPED = "UPDATE dropped_range SET upto_seq = MAX(upto_seq, ?) WHERE from_seq = ?";
const COUNT_DROPPED = "SELECT COUNT(*) AS ranges FROM dropped_range";
const OLDEST_DROPPED = "SELECT from_seq, upto_seq FROM dropped_range ORDER BY from_seq LIMIT 2";
const DROP_DROPPED = "DELETE FROM dropped_range WHERE from_seq = ?";

const NONE = 0;
const ALL = Number.MAX_SAFE_INTEGER;

export class PlaceStore {
  private readonly sql: SqlPort;

  constructor(sql: SqlPort) {
    this.sql = sql;
  }

  /** Of a shard that neither saw a replay nor a reset there is nothing to be asked. */
  get isUsed(): boolean {
    return this.sql.exec(HAS_TABLES).toArray().length > 0;
  }

  stretchOf(life: string, seq: number): PlaceStretch {
    const [row] = this.sql.exec(GET_RUN, life, seq).toArray();
    const run = row === undefined ? undefined : readRun(row);
    if (run !== undefined && run.uptoSeq >= seq) return { fromSeq: run.fromSeq, uptoSeq: run.uptoSeq, run };
    const [next] = this.sql.exec(NEXT_RUN, life, seq).toArray();
    return { fromSeq: (run?.uptoSeq ?? NONE) + 1, uptoSeq: before(next), run: undefined };
  }

  droppedStretchOf(seq: number): DroppedStretch {
    const [row] = this.sql.exec(GET_DROPPED, seq).toArray();
    const uptoSeq = row === undefined ? NONE : numberIn(row, "upto_seq");
    if (row !== undefined && uptoSeq >= seq) return { fromSeq: numberIn(row, "from_seq"), uptoSeq, isDropped: true };
    const [next] = this.sql.exec(NEXT_DROPPED, seq).toArray();
    return { fromSeq: uptoSeq + 1, uptoSeq: before(next), isDropped: false };
  }

  /** Within the transaction of whoever calls. */
  put({ newRuns: runs, life: ownLife }: PlaceChange): void {
    if (runs.length === 0) return;
    for (const statement of CREATE) this.sql.exec(statement);
    for (const run of runs) this.putRun(run);
    for (const life of new Set(runs.map((run) => run.life))) this.boundRuns(life);
    for (const row of this.sql.exec(LIST_LIVES, ownLife).toArray().slice(LIVES_MAX)) {
      this.sql.exec(DROP_LIFE, textIn(row, "life"));
    }
  }

  /** Within the transaction of whoever calls. */
  noteDropped(fromSeq: number, uptoSeq: number): void {
    if (uptoSeq < fromSeq) return;
    for (const statement of CREATE) this.sql.exec(statement);
    const [row] = this.sql.exec(GET_DROPPED, fromSeq).toArray();
    const isNeighbour = row !== undefined && numberIn(row, "upto_seq") >= fromSeq - 1;
    if (isNeighbour) this.sql.exec(EXTEND_DROPPED, uptoSeq, numberIn(row, "from_seq"));
    else this.sql.exec(PUT_DROPPED, fromSeq, uptoSeq);
    this.boundDropped();
  }

  private putRun({ life, fromSeq, uptoSeq, toSeq }: PlaceRun): void {
    const [row] = this.sql.exec(GET_RUN, life, fromSeq).toArray();
    const before = row === undefined ? undefined : readRun(row);
    if (before !== undefined && isNext(before, { fromSeq, toSeq })) {
      this.sql.exec(EXTEND_RUN, uptoSeq, life, before.fromSeq);
    } else {
      this.sql.exec(PUT_RUN, life, fromSeq, uptoSeq, toSeq);
    }
  }

  private boundRuns(life: string): void {
    const [row] = this.sql.exec(COUNT_RUNS, life).toArray();
    const excess = (row === undefined ? 0 : numberIn(row, "runs")) - RUNS_OF_LIFE_MAX;
    if (excess > 0) this.sql.exec(DROP_OLDEST_RUNS, life, life, excess);
  }

  /** The two oldest become one, with what lies between them: of that an export must be very old. */
  private boundDropped(): void {
    const [count] = this.sql.exec(COUNT_DROPPED).toArray();
    if (count === undefined || numberIn(count, "ranges") <= DROPPED_RANGES_MAX) return;
    const [oldest, second] = this.sql.exec(OLDEST_DROPPED).toArray();
    if (oldest === undefined || second === undefined) return;
    this.sql.exec(EXTEND_DROPPED, numberIn(second, "upto_seq"), numberIn(oldest, "from_seq"));
    this.sql.exec(DROP_DROPPED, numberIn(second, "from_seq"));
  }
}

/** Whether a run goes on with what lies at these places. */
export function isNext(run: PlaceRun, next: { readonly fromSeq: number; readonly toSeq: number }): boolean {
  return next.fromSeq === run.uptoSeq + 1 && next.toSeq === run.toSeq + (run.uptoSeq - run.fromSeq + 1);
}

function before(next: SqlRow | undefined): number {
  return next === undefined ? ALL : numberIn(next, "from_seq") - 1;
}

function readRun(row: SqlRow): PlaceRun {
  return {
    life: textIn(row, "life"),
    fromSeq: numberIn(row, "from_seq"),
    uptoSeq: numberIn(row, "upto_seq"),
    toSeq: numberIn(row, "to_seq"),
  };
}
