/**
 * What a simulated shard, table object or call is in when something strikes it: one word of a list, for the
 * coverage of states by faults.
 */
import type { SimStorage } from "../sim-storage.ts";

/** By the first call under way that is here, in this order; else by what storage holds. */
const SHARD_CALLS: readonly (readonly [label: string, phase: string])[] = [
  ["stage", "shard: staging"],
  ["withdraw", "shard: withdrawing a batch"],
  ["put data file", "shard: putting a data file"],
  ["head data file", "shard: looking at a file that is there"],
  ["put dead letters", "shard: writing dead letters"],
  ["location", "shard: asking where the table is"],
  ["register", "shard: registering"],
];
const TABLE_CALLS: readonly (readonly [label: string, phase: string])[] = [
  ["put metadata", "table: committing"],
  ["commit table", "table: committing"],
  ["put manifest list", "table: writing the manifest list"],
  ["put manifest", "table: writing a manifest"],
  ["put compacted file", "table: compacting"],
  ["get data file", "table: compacting"],
  ["delete", "table: sweeping"],
  ["list", "table: sweeping"],
  ["put hint", "table: writing the hint"],
];

const phases = (calls: readonly (readonly [string, string])[]) => [...new Set(calls.map(([, phase]) => phase))];

export const SHARD_PHASES: readonly string[] = [
  "shard: empty",
  "shard: holding events",
  "shard: batch sealed",
  ...phases(SHARD_CALLS),
];
export const TABLE_PHASES: readonly string[] = [
  "table: nothing to do",
  "table: files staged",
  "table: commit has its number",
  ...phases(TABLE_CALLS),
];

export const PROCESS_FAULTS = [
  "crash between turns",
  "crash in the middle of a turn",
  "crash in the middle of a transaction",
  "refused write",
  "clock set back",
  "clock set forward",
] as const;

export const CALL_LABELS: readonly string[] = [
  "append",
  "append telemetry",
  "location",
  "register",
  "stage",
  "withdraw",
  "put data file",
  "head data file",
  "put dead letters",
  "get hint",
  "head metadata",
  "get metadata",
  "put manifest",
  "get manifest",
  "put manifest list",
  "put metadata",
  "put hint",
  "load table",
  "commit table",
  "get data file",
  "put compacted file",
  "list",
  "delete",
  "head manifest",
  "get manifest list",
  "flush",
  "commit",
  "compact",
  "expire",
  "reset",
];

export const CALL_FAULTS = [
  "fails before its effect",
  "given up by its caller",
  "answer lost",
  "late answer",
  "late effect",
  "throttled",
] as const;

/** Writes that must be first: the bucket may ask for fewer of them. */
export function canBeThrottled(label: string): boolean {
  return label === "commit table" || (label.startsWith("put ") && label !== "put hint");
}

export function phaseOfShard(storage: SimStorage, calls: readonly string[]): string {
  const calling = SHARD_CALLS.find(([label]) => calls.includes(label));
  if (calling !== undefined) return calling[1];
  if (!storage.hasTable("batch")) return "shard: empty";
  if (storage.query("SELECT 1 FROM batch LIMIT 1").length > 0) return "shard: batch sealed";
  const hasEvents = storage.query("SELECT 1 FROM append WHERE byte_size > 0 LIMIT 1").length > 0;
  return hasEvents ? "shard: holding events" : "shard: empty";
}

export function phaseOfTable(storage: SimStorage, calls: readonly string[]): string {
  const calling = TABLE_CALLS.find(([label]) => calls.includes(label));
  if (calling !== undefined) return calling[1];
  if (!storage.hasTable("pending_commit")) return "table: nothing to do";
  if (storage.query("SELECT 1 FROM pending_commit LIMIT 1").length > 0) return "table: commit has its number";
  const hasStaged = storage.query("SELECT 1 FROM staged_batch LIMIT 1").length > 0;
  return hasStaged ? "table: files staged" : "table: nothing to do";
}
