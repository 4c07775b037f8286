/**
 * A Durable Object's SQLite as the stores see it.
 */
import type { SqlPort } from "./sql-storage.ts";

export function sqlPort(storage: DurableObjectStorage): SqlPort {
  return {
    exec: (query, ...bindings) => storage.sql.exec(query, ...bindings),
    transaction: (work) => storage.transactionSync(work),
  };
}
