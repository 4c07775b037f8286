/**
 * The table of one shard's sums: one row, and the only SQL about it. Made with the first save, so that a
 * shard of an earlier version needs no other step.
 */
import { numberIn, textIn, type SqlPort } from "../sql-storage.ts";

export interface StoredRollup {
  /** The newest event that is counted in it, or is not to be. */
  readonly uptoSeq: number;
  readonly state: string;
}

const CREATE = `CREATE TABLE IF NOT EXISTS rollup
  (id INTEGER PRIMARY KEY CHECK (id = 0), upto_seq INTEGER NOT NULL, state TEXT NOT NULL)`;
const HAS_TABLE = "SELECT 1 AS found FROM sqlite_master WHERE type = 'table' AND name = 'rollup'";
const GET = "SELECT upto_seq, state FROM rollup WHERE id = 0";
const PUT = "INSERT OR REPLACE INTO rollup (id, upto_seq, state) VALUES (0, ?, ?)";

export class RollupStore {
  private readonly sql: SqlPort;

  constructor(sql: SqlPort) {
    this.sql = sql;
  }

  load(): StoredRollup | undefined {
    if (this.sql.exec(HAS_TABLE).toArray().length === 0) return undefined;
    const [row] = this.sql.exec(GET).toArray();
    return row === undefined ? undefined : { uptoSeq: numberIn(row, "upto_seq"), state: textIn(row, "state") };
  }

  put({ uptoSeq, state }: StoredRollup): void {
    this.sql.exec(CREATE);
    this.sql.exec(PUT, uptoSeq, state);
  }
}
