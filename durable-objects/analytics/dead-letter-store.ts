/**
 * The table of one shard's dead letters: the only SQL about them. Letters are numbered, and no number is
 * ever used again.
 */
import { numberIn, textIn, type SqlPort, type SqlRow } from "../sql-storage.ts";

export interface DeadLetter {
  readonly letterId: number;
  /** The event as JSON. */
  readonly event: string;
  readonly reason: string;
  readonly attempts: number;
  readonly atMs: number;
}

export type NewLetter = Omit<DeadLetter, "letterId">;

export const CREATE_DEAD_LETTERS = `CREATE TABLE IF NOT EXISTS dead_letter (
  letter_id INTEGER PRIMARY KEY AUTOINCREMENT, event TEXT NOT NULL, reason TEXT NOT NULL, attempts INTEGER NOT NULL,
  at_ms INTEGER NOT NULL)`;
const PUT = "INSERT INTO dead_letter (event, reason, attempts, at_ms) VALUES (?, ?, ?, ?)";
const COUNT = "SELECT COUNT(*) AS letters FROM dead_letter";
const LIST =
  "SELECT letter_id, event, reason, attempts, at_ms FROM dead_letter WHERE letter_id > ? ORDER BY letter_id LIMIT ?";
const HAS = "SELECT 1 AS found FROM dead_letter WHERE letter_id = ?";
const DROP_UPTO = "DELETE FROM dead_letter WHERE letter_id <= ?";
const DROP = "DELETE FROM dead_letter WHERE letter_id = ?";

export class DeadLetterStore {
  private readonly sql: SqlPort;

  constructor(sql: SqlPort) {
    this.sql = sql;
  }

  /** Within the transaction of whoever calls. */
  put({ event, reason, attempts, atMs }: NewLetter): void {
    this.sql.exec(PUT, event, reason, attempts, atMs);
  }

  count(): number {
    const [row] = this.sql.exec(COUNT).toArray();
    return row === undefined ? 0 : numberIn(row, "letters");
  }

  has(letterId: number): boolean {
    return this.sql.exec(HAS, letterId).toArray().length > 0;
  }

  /** Oldest first. */
  list(limit: number, afterLetterId = 0): DeadLetter[] {
    return this.sql.exec(LIST, afterLetterId, limit).toArray().map(readLetter);
  }

  dropUpto(letterId: number): void {
    this.sql.exec(DROP_UPTO, letterId);
  }

  /** Within the transaction of whoever calls. */
  drop(letterIds: readonly number[]): void {
    for (const letterId of letterIds) this.sql.exec(DROP, letterId);
  }
}

function readLetter(row: SqlRow): DeadLetter {
  return {
    letterId: numberIn(row, "letter_id"),
    event: textIn(row, "event"),
    reason: textIn(row, "reason"),
    attempts: numberIn(row, "attempts"),
    atMs: numberIn(row, "at_ms"),
  };
}
