/**
 * The part of a Durable Object's SQLite that stores use. All of it is synchronous.
 */
type SqlValue = string | number | null | ArrayBuffer;

export interface SqlPort {
  exec(query: string, ...bindings: (SqlValue | Uint8Array)[]): { toArray(): Record<string, SqlValue>[] };
  /** Runs `work` as one transaction: all of it is kept, or nothing. */
  transaction(work: () => void): void;
}

export type SqlRow = Record<string, SqlValue>;

/** @throws where the column does not hold text: the row is not what its table's only writer wrote */
export function textIn(row: SqlRow, column: string): string {
  const value = row[column];
  if (typeof value !== "string") throw new Error(`column ${column} holds no text`);
  return value;
}

/** @throws where the column does not hold a number */
export function numberIn(row: SqlRow, column: string): number {
  const value = row[column];
  if (typeof value !== "number") throw new Error(`column ${column} holds no number`);
  return value;
}
