/**
 * Which shards an operator's call is about: all of them, or the one that `?shard=` names by its index.
 */
import type { SpillwayError } from "../protocol/errors.ts";
import { shardName } from "../protocol/shard-choice.ts";
import type { Result } from "../protocol/stream-call.ts";

/** As many as can be configured (ICEBERG_SHARDS). */
const SHARDS_MAX = 256;
const RETRY_AFTER_SEC = 5;

/** Whoever knows which shards ever took an event. */
interface ShardFinder {
  /** `error` says why there may be more. */
  findShards(): Promise<{ readonly indexes: readonly number[]; readonly error: string | null }>;
}

/** @returns the index, and `undefined` for what is none */
export function readShardIndex(given: string | number): number | undefined {
  const isIndex = typeof given === "number" ? Number.isInteger(given) && given >= 0 : /^\d{1,3}$/.test(given);
  return isIndex && Number(given) < SHARDS_MAX ? Number(given) : undefined;
}

/**
 * @param given all shards where nothing is given
 * @param configured a configured shard is known without asking
 */
export async function selectShards(
  given: string | number | undefined,
  lake: ShardFinder,
  configured: number,
): Promise<Result<readonly number[]>> {
  const index = given === undefined ? undefined : readShardIndex(given);
  if (given !== undefined && index === undefined) return { ok: false, error: INVALID };
  if (index !== undefined && index < configured) return { ok: true, value: [index] };
  const { indexes, error } = await lake.findShards();
  if (index !== undefined && indexes.includes(index)) return { ok: true, value: [index] };
  // There may be more than are known: neither a shard's absence nor that these are all can be told.
  if (error !== null) {
    return { ok: false, error: { code: "storage_unavailable", retryAfterSec: RETRY_AFTER_SEC, reason: error } };
  }
  if (index === undefined) return { ok: true, value: indexes };
  return { ok: false, error: { code: "shard_not_found", shard: shardName(index) } };
}

const INVALID: SpillwayError = {
  code: "invalid_request",
  field: "shard",
  detail: `the index of a shard, a whole number from 0 to ${SHARDS_MAX - 1}`,
};
