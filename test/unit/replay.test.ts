/**
 * What a replay takes from lines that anybody may have edited, and where it sends it.
 */
import { createHash } from "node:crypto";

import { describe, expect, it } from "vitest";

import { exportLine } from "../../protocol/buffer-export.ts";
import type { AppendCall } from "../../protocol/lake-call.ts";
import type { LakeEvent, LakeRow } from "../../protocol/lake-event.ts";
import { shardOf } from "../../protocol/shard-choice.ts";
import { exportText } from "../../workers/buffer-export.ts";
import { chooseShard } from "../../workers/ingest/shard-choice.ts";
import { checkSections } from "../../workers/replay/export-body.ts";
import { readExportedLine } from "../../workers/replay/exported-line.ts";
import { replay } from "../../workers/replay/replay.ts";
import { DAY_MS, eventOf, eventsOf, START_MS } from "../fixtures/lake-parts.ts";

const SHARD = "0-3fa9c1d2";
const bytes = (text: string) => new TextEncoder().encode(text);

function rowsOf(events: readonly LakeEvent[], shard = SHARD): LakeRow[] {
  return events.map((event, at) => ({ ...event, shard, seq: at + 1, ingestTimeUs: START_MS * 1000 }));
}

function lineOf(event: LakeEvent, place: object): string {
  const [line = ""] = rowsOf([event]).map(exportLine.event);
  return JSON.stringify({ ...place, event: (JSON.parse(line) as { event: object }).event });
}

/** A whole export, its lines given in pages of `pageSize`. */
async function exportOf(events: readonly LakeEvent[], pageSize = 3, shard = SHARD): Promise<string> {
  const lines = rowsOf(events, shard).map(exportLine.event);
  const shards = [{ index: 0, shard, events: events.length, uptoSeq: events.length }];
  let text = "";
  const pages = exportText(shards, "2026-11-21T09:00:00.000Z", async (_, { afterSeq, uptoSeq }) => {
    const end = Math.min(afterSeq + pageSize, uptoSeq);
    const nextAfterSeq = end < uptoSeq ? end : undefined;
    return { lines: lines.slice(afterSeq, end), unreadableRows: 0, nextAfterSeq };
  });
  for await (const page of pages) text += page;
  return text;
}

const read = (event: unknown) => readExportedLine(JSON.stringify({ event }));

type Answer = (call: AppendCall) => "full" | "broken" | undefined;

function makePort(shardCount = 4, answer: Answer = () => undefined, known: readonly number[] | null = []) {
  const calls: AppendCall[] = [];
  const appendToShard = async (call: AppendCall) => {
    const fault = answer(call);
    if (fault === "broken") throw new Error("out of reach");
    if (fault === "full") return { ok: false, code: "buffer_full", retryAfterSec: 7 } as const;
    calls.push(call);
    return { ok: true, accepted: call.events.length, duplicates: [] } as const;
  };
  const findShards = async () =>
    known === null ? { indexes: [], error: "no table object" } : { indexes: known, error: null };
  return { calls, port: { shardCount, appendToShard, findShards } };
}

describe("an export", () => {
  it("comes back as the events it was made of, with every microsecond and every digit", async () => {
    const events = [
      eventOf({ timeUs: START_MS * 1000 + 123_456, data: '{"big":9223372036854775807,"far":1e400}' }),
      eventOf({ subject: "ü/1", requestId: "r1", extensions: '{"traceparent":"00-1"}', data: undefined }),
      eventOf({ source: "spillway/lake", tenant: "spillway", timeUs: 0 }),
    ];
    const { calls, port } = makePort(1);
    const report = await replay(bytes(await exportOf(events)), port);
    expect(report).toMatchObject({ ok: true, value: { events: 3, accepted: 3, rejected: [] } });
    expect(calls.flatMap((call) => call.events)).toEqual(events);
    expect(calls).toMatchObject([{ isRiding: false, isReplayed: true }]);
  });

  it("says how far it has come every thousand events, also in the middle of a page", async () => {
    const text = await exportOf(eventsOf(2100), 700);
    const lines = text.trimEnd().split("\n");
    expect(lines.map((line, at) => (line.startsWith('{"progress"') ? at : 0)).filter((at) => at > 0)).toEqual([
      1001, 2002,
    ]);
    expect(checkSections(bytes(text))).toBeUndefined();
    expect(checkSections(bytes(text + text))).toBeUndefined();
    expect(checkSections(bytes(text.replaceAll("\n", "\r\n")))).toBeUndefined();
  });

  it("breaks off without an end where a page cannot be had", async () => {
    const shards = [{ index: 0, shard: SHARD, events: 5, uptoSeq: 5 }];
    const pages = exportText(shards, "2026-11-21T09:00:00.000Z", async () => Promise.reject(new Error("gone")));
    let text = "";
    await expect(
      (async () => {
        for await (const page of pages) text += page;
      })(),
    ).rejects.toThrow("gone");
    expect(text).not.toContain('"end"');
  });

  it("is checked by whole sections alone: count, digest, version", async () => {
    const text = await exportOf(eventsOf(5));
    const lines = text.trimEnd().split("\n");
    const digest = createHash("sha256").update("").digest("hex");
    const wrong: Record<string, string> = {
      "a line less": lines.filter((_, at) => at !== 2).join("\n"),
      "a line twice": [...lines.slice(0, 3), ...lines.slice(2)].join("\n"),
      "two lines in another order": [lines[0], lines[2], lines[1], ...lines.slice(3)].join("\n"),
      "another digest": text.replace(/"sha256":"\w+"/, `"sha256":"${digest}"`),
      "an end cut short": text.slice(0, -10),
    };
    for (const [what, body] of Object.entries(wrong)) {
      expect(checkSections(bytes(body)), what).toMatchObject({ code: "invalid_request", field: "end" });
    }
    for (const part of [lines.slice(0, 4), lines.slice(1), lines.slice(2, 4)]) {
      expect(checkSections(bytes(part.join("\n")))).toBeUndefined();
    }
  });
});

describe("a line", () => {
  const sound = { id: "1", source: "/s", type: "t", time: "2026-11-21T10:00:00.5Z", tenant: "acme" };

  it("needs id, source, type, time and tenant alone", () => {
    expect(read(sound)).toMatchObject({ ok: true, place: undefined, event: { id: "1", data: undefined } });
  });

  it.each([
    ["id", { ...sound, id: "" }],
    ["id", { ...sound, id: "x".repeat(257) }],
    ["source", { ...sound, source: "a\nb" }],
    ["type", { ...sound, type: null }],
    ["tenant", { ...sound, tenant: 7 }],
    ["time", { ...sound, time: "2026-02-30T00:00:00Z" }],
    ["time", { ...sound, time: 7 }],
    ["subject", { ...sound, subject: [] }],
    ["request_id", { ...sound, request_id: "\ud800" }],
    ["data", { ...sound, data: "{}{}" }],
    ["data", { ...sound, data: '{"a":\n1}' }],
    ["data", { ...sound, data: "" }],
    ["data", { ...sound, data: "[".repeat(500_000) }],
    ["data", { ...sound, data: `${"[".repeat(80)}${"]".repeat(80)}` }],
    ["extensions", { ...sound, extensions: "7" }],
    ["has", { ...sound, data: `"${"x".repeat(1_950_000)}"` }],
    ["event", null],
    ["event", []],
  ])("with a bad %s is refused, in words without its value", (field, event) => {
    const reading = read(event);
    expect(reading).toMatchObject({ ok: false, detail: expect.stringMatching(new RegExp(`^${field}`)) });
  });
});

describe("where an event goes", () => {
  it("is the shard of its life, with its place; of a life that no shard has, always the same other one", async () => {
    const { calls, port } = makePort(4, undefined, [0, 1, 2, 3, 9]);
    const lives = ["3-3fa9c1d2", "9-3fa9c1d2", "8-3fa9c1d2"];
    const lines = lives.flatMap((shard) => eventsOf(5).map((event, at) => lineOf(event, { shard, seq: at + 1 })));
    expect(await replay(bytes(lines.join("\n")), port)).toMatchObject({ ok: true, value: { accepted: 15 } });
    const byLife = Map.groupBy(calls, ({ places }) => places?.[0]?.life);
    expect(byLife.get("3-3fa9c1d2")).toMatchObject([{ shardIndex: 3 }]);
    expect(byLife.get("9-3fa9c1d2")).toMatchObject([{ shardIndex: 9 }]);
    expect(byLife.get("8-3fa9c1d2")).toMatchObject([{ shardIndex: shardOf(["8-3fa9c1d2"], 4) }]);
    for (const [life, [call]] of byLife) {
      expect(call?.places).toEqual([1, 2, 3, 4, 5].map((seq) => ({ life, seq })));
    }
  });

  it("cannot be told while the table object is away and the life is no configured shard's: nothing is sent", async () => {
    const { calls, port } = makePort(4, undefined, null);
    const [event] = eventsOf(1);
    if (event === undefined) throw new Error("no event");
    const gone = await replay(bytes(lineOf(event, { shard: "9-3fa9c1d2", seq: 1 })), port);
    expect(gone).toMatchObject({ ok: false, error: { code: "storage_unavailable", reason: "no table object" } });
    expect(calls).toEqual([]);
    expect(await replay(bytes(lineOf(event, { shard: "3-3fa9c1d2", seq: 1 })), port)).toMatchObject({ ok: true });
  });

  it.each([{}, { shard: "0-3fa9c1d2" }, { shard: "x", seq: 1 }, { shard: "0-3fa9c1d2", seq: 0 }, { seq: "1" }])(
    "without a whole place, as in %j, is where ingest would send it",
    async (place) => {
      const { calls, port } = makePort(4);
      const events = eventsOf(20);
      await replay(bytes(events.map((event) => lineOf(event, place)).join("\n")), port);
      expect(calls.flatMap((call) => call.events)).toHaveLength(20);
      for (const { events: sent, places, shardIndex } of calls) {
        expect(sent.every((event) => chooseShard(event, 4) === shardIndex)).toBe(true);
        expect(new Set(places)).toEqual(new Set([undefined]));
      }
    },
  );

  it("never brings more days at once than a request may", async () => {
    const events = Array.from({ length: 250 }, (_, day) => eventOf({ timeUs: (START_MS - day * DAY_MS) * 1000 }));
    const { calls, port } = makePort(1);
    await replay(bytes(await exportOf(events)), port);
    expect(calls.map((call) => call.events.length)).toEqual([100, 100, 50]);
  });
});

describe("a shard that does not take them", () => {
  it.each([
    ["full", { code: "buffer_full", retryAfterSec: 7, duplicates: 0 }],
    ["broken", { code: "storage_unavailable" }],
  ] as const)("because it is %s: the replay ends, and says so", async (fault, error) => {
    const { calls, port } = makePort(2, ({ shardIndex }) => (shardIndex === 1 ? fault : undefined));
    const text = (await exportOf(eventsOf(40))) + (await exportOf(eventsOf(40), 3, "1-3fa9c1d2"));
    expect(await replay(bytes(text), port)).toMatchObject({ ok: false, error });
    expect(calls.every(({ shardIndex }) => shardIndex === 0)).toBe(true);
  });
});
