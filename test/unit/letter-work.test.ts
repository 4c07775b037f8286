/**
 * D1: a dead letter leaves together with its event's return, or after it lies in the bucket.
 */
import { describe, expect, it } from "vitest";

import type { BatchSink } from "../../durable-objects/analytics/batch-sink.ts";
import type { LakeEvent } from "../../protocol/lake-event.ts";
import { eventOf, eventsOf, START_MS } from "../fixtures/lake-parts.ts";
import { idsOf, makeReset, type ResetParts } from "../fixtures/reset-parts.ts";

const PURGED = /^dead-letters\/.*\/purged-/;

interface Poisoned {
  readonly parts: ResetParts;
  readonly events: LakeEvent[];
  /** From now on everything can be delivered. */
  readonly heal: () => void;
}

/** A shard whose events have all become dead letters. */
async function makePoisoned(events: LakeEvent[] = eventsOf(4), settings = {}): Promise<Poisoned> {
  let isPoison = true;
  const wrap = (sink: BatchSink): BatchSink => ({
    deliver: async (batch) =>
      isPoison
        ? { files: 0, bytes: 0, poison: batch.rows.map((row) => ({ row, reason: "not today" })) }
        : sink.deliver(batch),
    withdraw: (batch) => sink.withdraw(batch),
  });
  const parts = makeReset({ wrap, settings: { deadLetterMax: 10_000, ...settings } });
  parts.shard.append(events);
  await parts.flush();
  expect(parts.shard.buffer.deadLetterCount).toBe(events.length);
  return { parts, events, heal: () => (isPoison = false) };
}

/** A letter as a damaged row leaves it. */
function addUnreadable({ shard: { storage } }: ResetParts): void {
  const values = `('[["x', 'unreadable append row', 1, 0)`;
  storage.query(`INSERT INTO dead_letter (event, reason, attempts, at_ms) VALUES ${values}`);
}

const confirmed = (parts: ResetParts, count: number) => `${parts.shard.buffer.record.name} ${count}`;

describe("the list", () => {
  it("comes in pages, oldest first, each letter with its event as an export has it", async () => {
    const event = eventOf({ requestId: "r1", subject: "s", extensions: '{"a":1}', timeUs: START_MS * 1000 + 7 });
    const { parts, events } = await makePoisoned([event, ...eventsOf(3)]);
    const page = parts.letters.list(0, 3);
    expect(page).toMatchObject({ total: 4, hasMore: true, shard: parts.shard.buffer.record.name });
    expect(page.letters[0]).toEqual({
      letter_id: 1,
      reason: "not today",
      attempts: 1,
      at: "2026-11-21T09:00:00.000Z",
      text: null,
      event: {
        id: event.id,
        source: event.source,
        type: event.type,
        subject: "s",
        time: "2026-11-21T09:00:00.000007Z",
        request_id: "r1",
        tenant: "acme",
        data: event.data,
        extensions: '{"a":1}',
        ingest_time: "2026-11-21T09:00:00.000000Z",
      },
    });
    const rest = parts.letters.list(page.letters.at(-1)?.letter_id ?? 0, 3);
    expect(rest).toMatchObject({ total: 4, hasMore: false });
    expect([...page.letters, ...rest.letters].map((letter) => letter.event?.id)).toEqual(events.map(({ id }) => id));
    expect(parts.letters.list(0, 0)).toMatchObject({ letters: [], hasMore: true, total: 4 });
  });

  it("ends a page of large letters early, and not before the first", async () => {
    const { parts } = await makePoisoned(eventsOf(3, { data: `"${"x".repeat(700_000)}"` }));
    expect(parts.letters.list(0, 50)).toMatchObject({ hasMore: true, letters: [{ letter_id: 1 }] });
  });

  it("shows what is left of a damaged row as text", async () => {
    const { parts } = await makePoisoned();
    addUnreadable(parts);
    expect(parts.letters.list(4, 50).letters).toMatchObject([{ letter_id: 5, event: null, text: '[["x' }]);
  });
});

describe("sending back", () => {
  it("puts events into the buffer as they were and takes their letters away; a flush then delivers them", async () => {
    const { parts, events, heal } = await makePoisoned([eventOf({ requestId: "r1" }), ...eventsOf(120)]);
    expect(await parts.letters.redrive(undefined)).toEqual({
      ok: true,
      redriven: 121,
      remaining: 0,
      unreadable: 0,
      is_full: false,
    });
    heal();
    const again = parts.restart();
    expect(again.shard.buffer).toMatchObject({ bufferedEvents: 121, deadLetterCount: 0 });
    await again.flush();
    expect(await again.commit()).toEqual(idsOf(events));
    expect(await again.table.readRows()).toContainEqual(
      expect.objectContaining({ id: events[0]?.id, request_id: "r1", tenant: "acme" }),
    );
  });

  it("of some leaves the others, and what no event can be made of", async () => {
    const { parts } = await makePoisoned();
    addUnreadable(parts);
    const again = parts.restart();
    expect(await again.letters.redrive([2, 5, 99, 2])).toMatchObject({ redriven: 1, unreadable: 1, remaining: 4 });
    expect(again.letters.list(0, 50).letters.map(({ letter_id: id }) => id)).toEqual([1, 3, 4, 5]);
    expect(await again.letters.redrive(undefined)).toMatchObject({ redriven: 3, unreadable: 1, remaining: 1 });
  });

  it("does not make them unknown, nor known for ever: a producer's second call, a reset and a replay", async () => {
    const { parts, events, heal } = await makePoisoned();
    await parts.letters.redrive(undefined);
    for (const again of [parts, parts.restart()]) {
      expect(again.shard.append(events)).toMatchObject({ accepted: 0 });
    }
    const again = parts.restart();
    await again.reset();
    expect(again.shard.append(again.exported())).toMatchObject({ accepted: 4 });
    heal();
    await again.flush();
    expect(await again.commit()).toEqual(idsOf(events));
  });

  it("stops where the buffer is full, and says so", async () => {
    const { parts } = await makePoisoned(eventsOf(120), { shardMaxEvents: 130 });
    parts.shard.append(eventsOf(50));
    expect(await parts.letters.redrive(undefined)).toMatchObject({ redriven: 50, remaining: 70, is_full: true });
    expect(parts.shard.buffer.bufferedEvents).toBe(100);
  });

  it.each([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])(
    "is whole or not at all where the process dies at statement %i",
    async (at) => {
      const { parts, events, heal } = await makePoisoned(eventsOf(3));
      parts.shard.storage.crashAfterStatements = at;
      await parts.letters.redrive(undefined).catch(() => undefined);
      heal();
      const again = parts.restart();
      const { bufferedEvents, deadLetterCount } = again.shard.buffer;
      expect([
        [0, 3],
        [3, 0],
      ]).toContainEqual([bufferedEvents, deadLetterCount]);
      await again.letters.redrive(undefined);
      await again.flush();
      expect(await again.commit()).toEqual(idsOf(events));
    },
  );
});

describe("letting go", () => {
  it("asks for the count, writes to the bucket first, and then lets go", async () => {
    const { parts, events } = await makePoisoned();
    const expected = confirmed(parts, 4);
    for (const confirm of [undefined, confirmed(parts, 3)]) {
      expect(await parts.letters.purge({ ids: undefined, confirm })).toEqual({
        ok: false,
        code: "confirmation_needed",
        expected,
      });
    }
    const answer = await parts.letters.purge({ ids: undefined, confirm: expected });
    const keys = parts.table.objects.keys(PURGED);
    expect(answer).toEqual({ ok: true, purged: 4, written_to: keys });
    const lines = (parts.table.objects.text(keys[0] ?? "") ?? "").trim().split("\n");
    const letters = lines.map((line) => JSON.parse(line) as { event: string });
    expect(letters.map(({ event }) => (JSON.parse(event) as LakeEvent).id)).toEqual(events.map(({ id }) => id));
    expect(parts.restart().shard.buffer.deadLetterCount).toBe(0);
  });

  it("of some asks for how many of them there are", async () => {
    const { parts } = await makePoisoned();
    expect(await parts.letters.purge({ ids: [1, 3, 77], confirm: undefined })).toMatchObject({
      expected: confirmed(parts, 2),
    });
    expect(await parts.letters.purge({ ids: [1, 3, 77], confirm: confirmed(parts, 2) })).toMatchObject({ purged: 2 });
    expect(parts.letters.list(0, 50).letters.map(({ letter_id: id }) => id)).toEqual([2, 4]);
    expect(parts.shard.buffer.deadLetterCount).toBe(2);
  });

  it("lets nothing go where the bucket fails", async () => {
    const { parts } = await makePoisoned(eventsOf(5, { data: `"${"x".repeat(900_000)}"` }));
    parts.table.objects.fail("putIfAbsent", /purged-.*-2\.ndjson$/);
    await expect(parts.letters.purge({ ids: undefined, confirm: confirmed(parts, 5) })).rejects.toThrow(/failed/);
    expect(parts.restart().shard.buffer.deadLetterCount).toBe(5);
  });
});
