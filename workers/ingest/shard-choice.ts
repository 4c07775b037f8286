/**
 * Which shard an event goes to. Pure, and the same in every isolate and version: duplicates always meet
 * in one shard, which alone can tell that they are.
 */
import type { LakeEvent } from "../../protocol/lake-event.ts";

/** Ends each part, so that no two lists of parts read the same: attributes hold no control characters. */
const SEPARATOR = 0;

/** 32-bit FNV-1a: offset basis and prime. */
const FNV_BASIS = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

/**
 * @param shardCount at least 1; a change of it sends the same event elsewhere, and a duplicate that
 *   straddles the change is stored twice
 * @returns the shard's index, from 0
 */
export function chooseShard(event: Pick<LakeEvent, "tenant" | "source" | "id">, shardCount: number): number {
  let hash = FNV_BASIS;
  hash = mix(hash, event.tenant);
  hash = mix(hash, event.source);
  hash = mix(hash, event.id);
  return spread(hash) % shardCount;
}

/** The events of each shard that gets any, in the order they came. */
export function groupByShard<T extends { readonly event: LakeEvent }>(
  events: readonly T[],
  shardCount: number,
): ReadonlyMap<number, readonly T[]> {
  const byShard = new Map<number, T[]>();
  for (const indexed of events) {
    const shard = chooseShard(indexed.event, shardCount);
    const group = byShard.get(shard);
    if (group === undefined) byShard.set(shard, [indexed]);
    else group.push(indexed);
  }
  return byShard;
}

function mix(hash: number, text: string): number {
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), FNV_PRIME);
  return Math.imul(hash ^ SEPARATOR, FNV_PRIME);
}

/** FNV-1a leaves its low bits weak, which a remainder shows; MurmurHash3's finalizer spreads them. */
function spread(hash: number): number {
  let mixed = hash ^ (hash >>> 16);
  mixed = Math.imul(mixed, 0x85ebca6b);
  mixed ^= mixed >>> 13;
  mixed = Math.imul(mixed, 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
