/**
 * Which shard takes what: a stable hash, so that the same thing always meets itself in one shard.
 */

/** Name a shard object is found by. */
export function shardName(index: number): string {
  return `shard-${index}`;
}

/** Name of the one table object. */
export const TABLE_OBJECT_NAME = "events";

const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

/** FNV-1a over UTF-16 units, then mixed: without that, neighbouring ids would go to neighbouring shards. */
export function shardOf(text: string, shards: number): number {
  let hash = FNV_OFFSET;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), FNV_PRIME);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) % shards;
}
