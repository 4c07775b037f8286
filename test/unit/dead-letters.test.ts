/**
 * The dead-letter queue stays within its bound, and what leaves it is in the bucket by then.
 */
import { describe, expect, it } from "vitest";

import type { BatchSink } from "../../durable-objects/analytics/batch-sink.ts";
import { eventsOf, makeShard, START_MS, type ShardParts } from "../fixtures/lake-parts.ts";
import { MemoryObjects } from "../fixtures/memory-objects.ts";

const poisonous: Pick<BatchSink, "deliver"> = {
  deliver: async ({ rows }) => ({ files: 0, bytes: 0, poison: rows.map((row) => ({ row, reason: "bad" })) }),
};
const DEAD_LETTERS = /^dead-letters\//;

function makePoisoned(letters: number, deadLetterMax: number): { shard: ShardParts; objects: MemoryObjects } {
  const shard = makeShard({ settings: { deadLetterMax } });
  shard.append(eventsOf(letters));
  return { shard, objects: new MemoryObjects(() => START_MS) };
}

function lettersIn(objects: MemoryObjects): { letter_id: number; event: string; reason: string; at: string }[] {
  return objects.keys(DEAD_LETTERS).flatMap((key) =>
    (objects.text(key) ?? "")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { letter_id: number; event: string; reason: string; at: string }),
  );
}

describe("dead letters", () => {
  it("stay in the queue while there is room", async () => {
    const { shard, objects } = makePoisoned(5, 5);
    await shard.createFlush(poisonous, objects).flush();
    expect(shard.buffer.deadLetterCount).toBe(5);
    expect(objects.keys()).toEqual([]);
  });

  it("leave it oldest first, and are in the bucket before they do", async () => {
    const { shard, objects } = makePoisoned(48, 3);
    const [first] = (await shard.createFlush(poisonous, objects).flush(), lettersIn(objects));
    expect(shard.buffer.deadLetterCount).toBe(3);
    expect(shard.store.letters.list(10).map(({ letterId }) => letterId)).toEqual([46, 47, 48]);
    expect(
      lettersIn(objects)
        .map((letter) => letter.letter_id)
        .toSorted((a, b) => a - b),
    ).toEqual(Array.from({ length: 45 }, (_, at) => at + 1));
    expect(first).toMatchObject({ reason: "bad", at: "2026-11-21T09:00:00.000Z" });
    expect(objects.keys(DEAD_LETTERS)).toContain("dead-letters/0-3fa9c1d2/1-20.ndjson");
    expect(shard.restart().buffer.deadLetterCount).toBe(3);
  });

  it.each(["before", "throttled"] as const)(
    "stay where the bucket fails (%s), and leave once it works",
    async (fault) => {
      const { shard, objects } = makePoisoned(8, 2);
      objects.fail("putIfAbsent", DEAD_LETTERS, { fault });
      const flush = shard.createFlush(poisonous, objects);
      const report = await flush.flush();
      expect(report.error).not.toBeNull();
      expect(report).toMatchObject({ events: 8, remaining: 0 });
      expect(shard.buffer.deadLetterCount).toBe(8);
      expect(await flush.flush()).toMatchObject({ error: null });
      expect(shard.buffer.deadLetterCount).toBe(2);
    },
  );

  it("are written once where the answer to writing them was lost", async () => {
    const { shard, objects } = makePoisoned(8, 2);
    objects.fail("putIfAbsent", DEAD_LETTERS, { fault: "after" });
    await shard.createFlush(poisonous, objects).flush();
    expect(shard.buffer.deadLetterCount).toBe(8);
    const again = shard.restart();
    await again.createFlush(poisonous, objects).flush();
    expect(again.buffer.deadLetterCount).toBe(2);
    expect(lettersIn(objects)).toHaveLength(6);
  });

  it("are tried again by the alarm, though no event waits for a flush any more", async () => {
    const { shard, objects } = makePoisoned(8, 2);
    objects.fail("putIfAbsent", DEAD_LETTERS);
    await shard.createFlush(poisonous, objects).flush();
    expect(shard.buffer.bufferedEvents).toBe(0);
    // Within the delay of a first failure.
    expect(shard.buffer.flushDueAtMs(START_MS)).toBeLessThanOrEqual(START_MS + 1000);
  });
});
