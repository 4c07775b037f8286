/**
 * Which shard an event goes to. Pure, and the same in every isolate and version: duplicates always meet
 * in one shard, which alone can tell that they are.
 */
import type { LakeEvent } from "../../protocol/lake-event.ts";
import { shardOf } from "../../protocol/shard-choice.ts";

/**
 * @param shardCount at least 1; a change of it sends the same event elsewhere, and a duplicate that
 *   straddles the change is stored twice
 * @returns the shard's index, from 0
 */
export function chooseShard(event: Pick<LakeEvent, "tenant" | "source" | "id">, shardCount: number): number {
  return shardOf([event.tenant, event.source, event.id], shardCount);
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
