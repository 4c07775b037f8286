/**
 * What the monitor keeps, in its SQLite: the only file that knows its tables.
 */
import type { Alert } from "../../protocol/monitor-report.ts";
import { numberIn, textIn, type SqlPort } from "../sql-storage.ts";
import { RECENT_ALERTS } from "./alert-book.ts";
import type { AlertState } from "./alert-state.ts";
import type { Minute } from "./minutes.ts";
import { NO_SUMS, type ShardTally, type Sums } from "./tally.ts";
import type { WaitingMessage } from "./webhook-queue.ts";

export interface MonitorRecord {
  /** When the monitor began to watch. */
  readonly startedAtMs: number;
  readonly lastLookAtMs: number;
  /** When something last happened. */
  readonly lastActivityAtMs: number;
}

export interface StoredMonitor {
  readonly record: MonitorRecord | undefined;
  readonly tallies: readonly (readonly [number, ShardTally])[];
  /** Of lives that are over. */
  readonly ended: Sums;
  readonly minutes: readonly Minute[];
  readonly alerts: readonly (readonly [string, AlertState])[];
  /** The newest first. */
  readonly recent: readonly Alert[];
  readonly messages: readonly WaitingMessage[];
}

const LAYOUT_VERSION = 1;
const CREATE = [
  `CREATE TABLE IF NOT EXISTS monitor (id INTEGER PRIMARY KEY CHECK (id = 0), layout INTEGER NOT NULL, record TEXT NOT NULL)`,
  // Shard -1 holds the sums of lives that are over.
  `CREATE TABLE IF NOT EXISTS tally (shard_index INTEGER PRIMARY KEY, sums TEXT NOT NULL)`,
  `CREATE TABLE IF NOT EXISTS minute (at_ms INTEGER PRIMARY KEY, minute TEXT NOT NULL)`,
  `CREATE TABLE IF NOT EXISTS alert (alert_key TEXT PRIMARY KEY, state TEXT NOT NULL) WITHOUT ROWID`,
  `CREATE TABLE IF NOT EXISTS resolved (resolved_id INTEGER PRIMARY KEY AUTOINCREMENT, alert TEXT NOT NULL)`,
  `CREATE TABLE IF NOT EXISTS message (
    message_no INTEGER PRIMARY KEY AUTOINCREMENT, message_id TEXT NOT NULL UNIQUE, body TEXT NOT NULL,
    tries INTEGER NOT NULL, next_at_ms INTEGER NOT NULL)`,
];
const HAS_MONITOR = "SELECT 1 AS found FROM sqlite_master WHERE type = 'table' AND name = 'monitor'";
const ENDED_INDEX = -1;

export class MonitorStore {
  private readonly sql: SqlPort;
  private isMade: boolean;

  constructor(sql: SqlPort) {
    this.sql = sql;
    this.isMade = sql.exec(HAS_MONITOR).toArray().length > 0;
  }

  /** @throws where the stored layout is of a newer version than this code */
  load(): StoredMonitor {
    if (!this.isMade) {
      return { record: undefined, tallies: [], ended: NO_SUMS, minutes: [], alerts: [], recent: [], messages: [] };
    }
    const [row] = this.sql.exec("SELECT layout, record FROM monitor WHERE id = 0").toArray();
    if (row !== undefined && row["layout"] !== LAYOUT_VERSION) {
      throw new Error(`unknown storage layout, this code knows ${LAYOUT_VERSION}`);
    }
    // All JSON here was written below, under the layout version just checked.
    const sums = this.sql
      .exec("SELECT shard_index, sums FROM tally")
      .toArray()
      .map((tally) => [numberIn(tally, "shard_index"), JSON.parse(textIn(tally, "sums")) as ShardTally] as const);
    const resolved = "SELECT alert FROM resolved ORDER BY resolved_id DESC LIMIT ?";
    return {
      record: row === undefined ? undefined : (JSON.parse(textIn(row, "record")) as MonitorRecord),
      tallies: sums.filter(([index]) => index !== ENDED_INDEX),
      ended: sums.find(([index]) => index === ENDED_INDEX)?.[1] ?? NO_SUMS,
      minutes: this.texts("SELECT minute FROM minute ORDER BY at_ms", "minute").map(
        (text) => JSON.parse(text) as Minute,
      ),
      alerts: this.sql
        .exec("SELECT alert_key, state FROM alert")
        .toArray()
        .map((alert) => [textIn(alert, "alert_key"), JSON.parse(textIn(alert, "state")) as AlertState] as const),
      recent: this.texts(resolved, "alert", RECENT_ALERTS).map((text) => JSON.parse(text) as Alert),
      messages: this.listMessages(),
    };
  }

  /** All of it is kept, or nothing. Makes the tables where there are none. */
  transaction(work: () => void): void {
    this.sql.transaction(() => {
      if (!this.isMade) for (const statement of CREATE) this.sql.exec(statement);
      work();
    });
    this.isMade = true;
  }

  putRecord(record: MonitorRecord): void {
    const query = "INSERT OR REPLACE INTO monitor (id, layout, record) VALUES (0, ?, ?)";
    this.sql.exec(query, LAYOUT_VERSION, JSON.stringify(record));
  }

  putTally(index: number, tally: ShardTally): void {
    this.putSums(index, tally);
  }

  putEnded(sums: Sums): void {
    this.putSums(ENDED_INDEX, sums);
  }

  /** And forgets minutes that begin at `forgottenUptoMs` or before. */
  putMinute(minute: Minute, forgottenUptoMs: number): void {
    this.sql.exec("INSERT OR REPLACE INTO minute (at_ms, minute) VALUES (?, ?)", minute.atMs, JSON.stringify(minute));
    this.sql.exec("DELETE FROM minute WHERE at_ms <= ?", forgottenUptoMs);
  }

  /** @param state `undefined` where nothing is held any more */
  putAlert(key: string, state: AlertState | undefined): void {
    if (state === undefined) this.sql.exec("DELETE FROM alert WHERE alert_key = ?", key);
    else this.sql.exec("INSERT OR REPLACE INTO alert (alert_key, state) VALUES (?, ?)", key, JSON.stringify(state));
  }

  addResolved(alert: Alert): void {
    this.sql.exec("INSERT INTO resolved (alert) VALUES (?)", JSON.stringify(alert));
    const oldest = "DELETE FROM resolved WHERE resolved_id <= (SELECT MAX(resolved_id) FROM resolved) - ?";
    this.sql.exec(oldest, RECENT_ALERTS);
  }

  putMessage({ id, body, tries, nextAtMs }: WaitingMessage): void {
    this.sql.exec(
      `INSERT INTO message (message_id, body, tries, next_at_ms) VALUES (?, ?, ?, ?)
        ON CONFLICT (message_id) DO UPDATE SET tries = excluded.tries, next_at_ms = excluded.next_at_ms`,
      id,
      body,
      tries,
      nextAtMs,
    );
  }

  dropMessage(id: string): void {
    this.sql.exec("DELETE FROM message WHERE message_id = ?", id);
  }

  private listMessages(): WaitingMessage[] {
    return this.sql
      .exec("SELECT message_id, body, tries, next_at_ms FROM message ORDER BY message_no")
      .toArray()
      .map((row) => ({
        id: textIn(row, "message_id"),
        body: textIn(row, "body"),
        tries: numberIn(row, "tries"),
        nextAtMs: numberIn(row, "next_at_ms"),
      }));
  }

  private putSums(index: number, sums: Sums): void {
    this.sql.exec("INSERT OR REPLACE INTO tally (shard_index, sums) VALUES (?, ?)", index, JSON.stringify(sums));
  }

  private texts(query: string, column: string, ...bindings: number[]): string[] {
    return this.sql
      .exec(query, ...bindings)
      .toArray()
      .map((row) => textIn(row, column));
  }
}
