/**
 * Which shard takes what: a stable hash, so that the same thing always meets itself in one shard. Pure,
 * and the same in every isolate and version.
 */

/** Name a shard object is found by. */
export function shardName(index: number): string {
  return `shard-${index}`;
}

/** Name of the one table object. */
export const TABLE_OBJECT_NAME = "events";

/** Name of the one monitor object. */
export const MONITOR_OBJECT_NAME = "monitor";

/** 32-bit FNV-1a: offset basis and prime. */
const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

/** Ends each part, so that no two lists of parts read the same: no part holds control characters. */
const SEPARATOR = 0;

/**
 * FNV-1a over UTF-16 units, then MurmurHash3's finalizer: without that, neighbouring ids would go to
 * neighbouring shards.
 *
 * @param parts what makes the thing one and the same
 * @param shards at least 1; a change of it sends the same thing elsewhere
 * @returns the shard's index, from 0
 */
export function shardOf(parts: readonly string[], shards: number): number {
  let hash = FNV_OFFSET;
  for (const part of parts) {
    for (let at = 0; at < part.length; at++) hash = Math.imul(hash ^ part.charCodeAt(at), FNV_PRIME);
    hash = Math.imul(hash ^ SEPARATOR, FNV_PRIME);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) % shards;
}
