/**
 * Makes the storage of a live object refuse single calls of the platform's interface, as a full or
 * broken one does.
 */
import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";

import { readConfig } from "../../workers/config.ts";
import { deriveRequestId } from "../../workers/request-ids.ts";

type StorageCall = "transactionSync" | "setAlarm" | "deleteAll";

export function streamObject(requestId: string) {
  return env.REQUEST_STREAM.getByName(requestId);
}

/** The id a keyed start of the demo route will have: its object can be met before the start. */
export async function requestIdOf(key: string): Promise<string> {
  const reading = readConfig({ ...env });
  if (!reading.ok) throw new Error("the configuration is at fault");
  return deriveRequestId(reading.config.idempotencySecret, { tenant: "default", route: "demo", key });
}

/** From now on each of these calls fails; `undefined`: none does. */
export function refuse(requestId: string, calls: readonly StorageCall[]): Promise<void> {
  return runInDurableObject(streamObject(requestId), (_, { storage }) => {
    for (const call of ["transactionSync", "setAlarm", "deleteAll"] as const) {
      if (!calls.includes(call)) Reflect.deleteProperty(storage, call);
      else Object.defineProperty(storage, call, { configurable: true, value: () => fail(call) });
    }
  });
}

function fail(call: StorageCall): Promise<never> {
  const error = new Error("database or disk is full: SQLITE_FULL");
  if (call === "transactionSync") throw error;
  return Promise.reject(error);
}

export function storedTables(requestId: string): Promise<number> {
  return runInDurableObject(
    streamObject(requestId),
    (_, state) => state.storage.sql.exec("SELECT name FROM sqlite_master WHERE name NOT LIKE '_cf_%'").toArray().length,
  );
}

export function storedAlarm(requestId: string): Promise<number | null> {
  return runInDurableObject(streamObject(requestId), (_, state) => state.storage.getAlarm());
}
