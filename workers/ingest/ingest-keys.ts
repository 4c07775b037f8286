/**
 * Who may send events: the keys of `INGEST_KEYS`, which are no client keys.
 */
import type { ConfigFault } from "../../protocol/errors.ts";
import { bearerOf, readTenantKeys, tenantOfKey } from "../tenant-keys.ts";

/**
 * @param given the variable: a JSON object `{"tenant": ["key", …]}`; missing means that nobody may send
 * @returns tenant by key
 */
export function readIngestKeys(given: unknown, faults: ConfigFault[]): ReadonlyMap<string, string> {
  return readTenantKeys("INGEST_KEYS", given, faults);
}

/** @returns the tenant of the key in `Authorization: Bearer`, or `undefined` without a valid one */
export function authenticateIngest(
  ingestKeys: ReadonlyMap<string, string>,
  authorization: string | undefined,
): string | undefined {
  const key = bearerOf(authorization);
  return key === undefined ? undefined : tenantOfKey(ingestKeys, key);
}
