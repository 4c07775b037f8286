/**
 * Exports that come back, whole and damaged: every line is an event or is named, and nothing is taken of a
 * section that is not what it says.
 */
import { createHash } from "node:crypto";

import * as fc from "fast-check";

import type { AppendAnswer, AppendCall } from "../../protocol/lake-call.ts";
import { replay, type ReplayReport } from "../../workers/replay/replay.ts";
import type { Result } from "../../protocol/stream-call.ts";
import { claim, fuzz } from "./fuzzing.ts";
import { jsonText, mutated } from "./mutations.ts";

const SHARDS = 3;
const encoder = new TextEncoder();

const line = fc
  .record({
    id: fc.string({ minLength: 1, maxLength: 9 }),
    seq: fc.oneof(fc.integer({ min: 1, max: 99 }), fc.constantFrom<unknown>(0, -1, 1.5, "1", 2 ** 60)),
    shard: fc.constantFrom<unknown>("0-abcdef12", "1-0", "7-ff", "300-ff", "x", 7),
    time: fc.constantFrom<unknown>(
      "2026-11-21T00:00:00.000001Z",
      "2026-11-20T23:59:59+02:00",
      "1969-01-01T00:00:00Z",
      7,
    ),
    data: fc.oneof(
      fc.json().filter((text) => !text.includes("\n")),
      fc.constantFrom<unknown>("{", "[".repeat(300), "1\n2", null, 7, "9007199254740993"),
    ),
    extensions: fc.constantFrom<unknown>('{"a":1}', "[]", null, "7"),
    source: fc.constantFrom("/s", "spillway/stream"),
  })
  .map(({ id, seq, shard, time, data, extensions, source }) =>
    JSON.stringify({ shard, seq, event: { id, source, type: "t", tenant: "acme", time, data, extensions } }),
  );

/** With the frames of an export around the lines. */
const exported = fc.array(line, { maxLength: 6 }).map((lines) => {
  const events = lines.map((text) => `${text}\n`).join("");
  const sha256 = createHash("sha256").update(events).digest("hex");
  return `{"export":{"version":1,"shard":"0-abcdef12"}}\n${events}{"end":{"events":${lines.length},"sha256":"${sha256}"}}\n`;
});
const plainLines = fc.array(fc.oneof(line, jsonText), { maxLength: 8 }).map((lines) => lines.join("\n"));

interface Replayed {
  readonly result: Result<ReplayReport>;
  readonly calls: readonly AppendCall[];
}
type Replay = (body: Uint8Array) => Promise<Replayed>;

const replayIt: Replay = async (body) => {
  const calls: AppendCall[] = [];
  const result = await replay(body, {
    shardCount: SHARDS,
    findShards: async () => ({ indexes: [0, 1, 2, 7], error: null }),
    appendToShard: async (call): Promise<AppendAnswer> => {
      calls.push(call);
      return { ok: true, accepted: call.events.length - 1, duplicates: [0] };
    },
  });
  return { result, calls };
};

fuzz<{ readonly body: Uint8Array; readonly isWhole: boolean }, Replay>({
  name: "replays of exports",
  inputs: fc.oneof(
    exported.map((text) => ({ body: encoder.encode(text), isWhole: true })),
    mutated(exported.map((text) => encoder.encode(text))).map(({ bytes }) => ({ body: bytes, isWhole: false })),
    plainLines.map((text) => ({ body: encoder.encode(text), isWhole: false })),
    mutated(plainLines.map((text) => encoder.encode(text))).map(({ bytes }) => ({ body: bytes, isWhole: false })),
  ),
  subject: replayIt,
  holds: async ({ body, isWhole }, run) => {
    const { result, calls } = await run(body);
    const taken = calls.flatMap(({ events }) => events);
    if (!result.ok) {
      claim(result.error.code).toBe("invalid_request");
      claim(taken).toEqual([]);
      claim(isWhole).toBe(false);
      return;
    }
    const { events, accepted, duplicates, rejected, rejected_lines } = result.value;
    claim(events).toBe(accepted + duplicates + rejected_lines);
    claim(accepted + duplicates).toBe(taken.length);
    claim(rejected.length).toBe(Math.min(100, rejected_lines));
    for (const { detail } of rejected) claim(detail.length).toBeGreaterThan(0);
    for (const { timeUs, data, extensions, id } of taken) {
      claim([Number.isSafeInteger(timeUs), id.length > 0]).toEqual([true, true]);
      for (const part of [data, extensions]) if (part !== undefined) claim(part).not.toContain("\n");
    }
    for (const { shardIndex, places, events: sent } of calls) {
      claim([0, 1, 2, 7]).toContain(shardIndex);
      claim(places).toHaveLength(sent.length);
      for (const place of places ?? [])
        if (place !== undefined) claim(Number.isSafeInteger(place.seq) && place.seq >= 1).toBe(true);
    }
  },
  faults: {
    "a line that cannot be read is passed over": async (body) => {
      const { result, calls } = await replayIt(body);
      return {
        result: result.ok ? { ok: true, value: { ...result.value, rejected_lines: 0, rejected: [] } } : result,
        calls,
      };
    },
    "a broken section is taken all the same": async (body) => {
      const { result, calls } = await replayIt(body);
      if (result.ok) return { result, calls };
      return replayIt(encoder.encode(new TextDecoder().decode(body).replaceAll(/^\{"(export|end)".*$/gm, ""))).then(
        (lines) => ({ result, calls: lines.calls }),
      );
    },
  },
});
