/**
 * Events that are not in the table yet, in operators' hands: export, reset, replay, and the table compared.
 */
import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { readRows } from "../fixtures/icebird-lake.ts";
import {
  bucketObject,
  callAdmin,
  flushLake,
  jamTable,
  lakeStatus,
  numberedEvents,
  sendEvents,
  unjamTable,
} from "../fixtures/lake-client.ts";
import { startLakeService, type LakeService } from "../fixtures/lake-service.ts";
import { problemOf } from "../fixtures/problems.ts";

interface ExportedLine {
  readonly shard: string;
  readonly seq: number;
  readonly event: Readonly<Record<string, string | null>>;
}

interface ExportReading {
  readonly text: string;
  readonly head: { readonly version: number; readonly shards: readonly string[]; readonly events: number };
  readonly events: readonly ExportedLine[];
  readonly progress: readonly { readonly events: number; readonly of: number }[];
  readonly end: { readonly events: number; readonly unreadable_rows: number; readonly sha256: string };
}

let service: LakeService;
beforeAll(async () => {
  service = await startLakeService({ vars: { ICEBERG_SHARDS: 2, ICEBERG_BUFFER_TIMEOUT_MS: 3_600_000 } });
});
afterAll(async () => {
  await service.stop();
});

async function exportBuffer(query = ""): Promise<ExportReading> {
  const response = await callAdmin(service, `buffer/export${query}`, { method: "GET" });
  expect(response.status).toBe(200);
  expect(response.headers.get("content-type")).toBe("application/x-ndjson");
  expect(response.headers.get("cache-control")).toBe("no-store");
  return readExport(await response.text());
}

function readExport(text: string): ExportReading {
  const raw = text.trimEnd().split("\n");
  const lines = raw.map((line) => JSON.parse(line) as Record<string, unknown>);
  const hash = createHash("sha256");
  for (const line of raw) if (line.includes('"event":{')) hash.update(`${line}\n`);
  const end = lines.at(-1)?.["end"] as ExportReading["end"];
  expect(end.sha256).toBe(hash.digest("hex"));
  const events = lines.filter((line) => "event" in line) as unknown as ExportedLine[];
  expect(end.events).toBe(events.length);
  return {
    text,
    head: lines[0]?.["export"] as ExportReading["head"],
    events,
    progress: lines.flatMap((line) => ("progress" in line ? [line["progress"] as { events: number; of: number }] : [])),
    end,
  };
}

async function replay(body: BodyInit, headers: Readonly<Record<string, string>> = {}) {
  const response = await callAdmin(service, "buffer/replay", { body, headers });
  const report = (await response.json()) as Record<string, unknown>;
  expect({ status: response.status, report }).toMatchObject({ status: 200 });
  return report;
}

/** Resets a shard that nobody sends to, by what its refusal expects. */
async function reset(index: number) {
  const asked = await callAdmin(service, `buffer/reset?shard=${index}`);
  const { code, expected } = await problemOf(asked);
  expect(code).toBe("confirmation_needed");
  const response = await callAdmin(service, `buffer/reset?shard=${index}`, {
    body: JSON.stringify({ confirm: expected }),
  });
  const report = (await response.json()) as {
    shard: string;
    events: number;
    bytes: number;
    exports: string[];
    delivered_events: number;
    kept_events: number;
  };
  expect({ status: response.status, report }).toMatchObject({ status: 200 });
  return report;
}

const idsOf = (rows: readonly { readonly source: unknown; readonly id: unknown }[], source: string) =>
  rows
    .filter((row) => row.source === source)
    .map(({ id }) => Number(id))
    .toSorted((left, right) => left - right);
const upTo = (count: number) => Array.from({ length: count }, (_, at) => at);

const line = (event: object) => JSON.stringify({ event });

/** An event with everything that an event may have. */
const WHOLE = {
  specversion: "1.0",
  id: "whole",
  source: "/whole",
  type: "test.whole",
  subject: "order/1",
  time: "2026-11-21T10:00:00.123456Z",
  requestid: "request-1",
  traceparent: "00-1",
  data: { big: 1, text: "ü\n\u2028", nested: [null, '"quoted"'] },
};

describe("export", () => {
  test("holds every buffered event as it was sent, with progress, count and digest; and changes nothing", async () => {
    await sendEvents(service, [...numberedEvents("/exported", 2500), WHOLE]);
    const { head, events, progress } = await exportBuffer();
    expect(head).toMatchObject({ version: 1, shards: [expect.stringMatching(/^0-/), expect.stringMatching(/^1-/)] });
    expect(head.events).toBeGreaterThanOrEqual(2501);
    expect(
      idsOf(
        events.map(({ event }) => ({ source: event["source"], id: event["id"] })),
        "/exported",
      ),
    ).toEqual(upTo(2500));
    expect(progress.map(({ events: count }) => count)).toEqual([1000, 2000]);
    expect(new Set(events.map(({ shard, seq }) => `${shard}:${seq}`)).size).toBe(events.length);
    const whole = events.find(({ event }) => event["id"] === "whole")?.event;
    expect(whole).toEqual({
      id: "whole",
      source: "/whole",
      type: "test.whole",
      subject: "order/1",
      time: "2026-11-21T10:00:00.123456Z",
      request_id: "request-1",
      tenant: "acme",
      data: JSON.stringify(WHOLE.data),
      extensions: '{"traceparent":"00-1"}',
      ingest_time: expect.stringMatching(/^20\d\d-.*\.\d{6}Z$/),
    });
    const again = await exportBuffer();
    expect(again.events.length).toBeGreaterThanOrEqual(events.length);
  });

  test("of one shard holds that shard's alone", async () => {
    const { head, events } = await exportBuffer("?shard=1");
    expect(head.shards).toEqual([expect.stringMatching(/^1-/)]);
    expect(new Set(events.map(({ shard }) => shard))).toEqual(new Set(head.shards));
  });

  test("while a flush runs: each event is in the export or in the table", async () => {
    await sendEvents(service, numberedEvents("/raced", 3000));
    const [{ events }] = await Promise.all([exportBuffer(), callAdmin(service, "flush")]);
    await flushLake(service);
    const exported = new Set(
      idsOf(
        events.map(({ event }) => ({ source: event["source"], id: event["id"] })),
        "/raced",
      ),
    );
    const rows = idsOf(await readRows(service), "/raced");
    expect(rows).toEqual(upTo(3000));
    expect(exported.size).toBeLessThanOrEqual(3000);
  });
});

describe("export, reset, replay, flush", () => {
  test("nothing is lost, nothing is there twice, and every column is what it was", async () => {
    await flushLake(service);
    await sendEvents(service, [...numberedEvents("/cycled", 700), { ...WHOLE, id: "whole-2" }]);
    const before = await exportBuffer();
    const reports = [await reset(0), await reset(1)];
    expect(reports.map(({ shard }) => shard)).toEqual(before.head.shards);
    expect(reports.reduce((sum, { events }) => sum + events, 0)).toBeGreaterThanOrEqual(before.events.length);
    expect(reports).toMatchObject([{ delivered_events: 0 }, { delivered_events: 0 }]);
    await flushLake(service);
    expect(idsOf(await readRows(service), "/cycled")).toEqual([]);
    // From what the reset wrote; and then from the export, which by then holds nothing new.
    const parts: string[] = [];
    for (const key of reports.flatMap(({ exports }) => exports)) {
      expect(key).toMatch(/^exports\/[01]-[0-9a-f]{8}\/[\dT.Z-]+-1\.ndjson$/);
      parts.push(await (await bucketObject(service, key)).text());
    }
    for (const part of parts) {
      const { events } = readExport(part);
      expect(await replay(part)).toEqual({
        events: events.length,
        accepted: events.length,
        duplicates: 0,
        rejected: [],
        rejected_lines: 0,
      });
    }
    expect(await replay(parts.join(""))).toMatchObject({ accepted: 0, rejected_lines: 0 });
    const again = await replay(gzipSync(before.text), { "Content-Encoding": "gzip" });
    expect(again).toMatchObject({ events: before.events.length, accepted: 0, duplicates: before.events.length });
    await flushLake(service);
    const rows = await readRows(service);
    expect(idsOf(rows, "/cycled")).toEqual(upTo(700));
    const twice = rows.map(({ source, id }) => `${source} ${id}`);
    expect(new Set(twice).size).toBe(twice.length);
    expect(rows.find(({ id }) => id === "whole-2")).toMatchObject({
      source: "/whole",
      type: "test.whole",
      subject: "order/1",
      time: "2026-11-21T10:00:00.123Z",
      request_id: "request-1",
      tenant: "acme",
      data: JSON.stringify(WHOLE.data),
      extensions: '{"traceparent":"00-1"}',
    });
    const status = await lakeStatus(service);
    expect(status.shards.map(({ last_error: error }) => error)).toEqual([null, null]);
  });

  test("where nothing can be delivered: reset makes room, and what is replayed later arrives once", async () => {
    const jammed = await startLakeService({ vars: { ICEBERG_SHARDS: 1, ICEBERG_BUFFER_TIMEOUT_MS: 3_600_000 } });
    const usual = service;
    service = jammed;
    try {
      await jamTable(jammed);
      await sendEvents(jammed, numberedEvents("/jammed", 300));
      expect((await callAdmin(jammed, "flush")).status).toBe(207);
      const report = await reset(0);
      expect(report.events).toBeGreaterThanOrEqual(300);
      await unjamTable(jammed);
      await sendEvents(jammed, numberedEvents("/later", 20));
      await flushLake(jammed);
      const [key = ""] = report.exports;
      await replay(await (await bucketObject(jammed, key)).text());
      await flushLake(jammed);
      const rows = await readRows(jammed);
      expect(idsOf(rows, "/jammed")).toEqual(upTo(300));
      expect(idsOf(rows, "/later")).toEqual(upTo(20));
    } finally {
      service = usual;
      await jammed.stop();
    }
  });
});

describe("what is not as it should be", () => {
  const sound = { id: "r1", source: "/replayed", type: "t", time: "2026-11-21T10:00:00Z", tenant: "acme" };

  test("bad lines are named, each with its number, and the others are taken", async () => {
    const body = [
      line(sound),
      "{not json",
      "[]",
      "",
      line({ ...sound, id: 7 }),
      line({ ...sound, time: "yesterday" }),
      line({ ...sound, data: "{" }),
      line({ ...sound, data: { a: 1 } }),
      line({ ...sound, extensions: "[]" }),
      line({ ...sound, id: "r2", data: '{"a":1e400}', subject: null }),
      JSON.stringify({ unreadable: { shard: "0-1", seq: 1, events: 3, text: "?" } }),
      "[".repeat(100_000),
    ].join("\r\n");
    const report = await replay(body);
    expect(report).toMatchObject({ events: 11, accepted: 2, duplicates: 0, rejected_lines: 9 });
    const rejected = report["rejected"] as { line: number; detail: string }[];
    expect(rejected.map(({ line: number }) => number)).toEqual([2, 3, 5, 6, 7, 8, 9, 11, 12]);
    expect(rejected[2]?.detail).toMatch(/^id: /);
  });

  test("a changed, a cut and a foreign export: 400, and nothing is taken", async () => {
    await sendEvents(service, numberedEvents("/kept", 30));
    const { text, events } = await exportBuffer();
    expect(events.length).toBeGreaterThan(10);
    const lines = text.trimEnd().split("\n");
    const cut = lines.filter((_, at) => at !== 3).join("\n");
    const changed = text.replace('"tenant":"acme"', '"tenant":"zcme"');
    for (const body of [cut, changed]) {
      const response = await callAdmin(service, "buffer/replay", { body });
      expect(await problemOf(response)).toMatchObject({ status: 400, code: "invalid_request", field: "end" });
    }
    const foreign = await callAdmin(service, "buffer/replay", { body: text.replace('"version":1', '"version":2') });
    expect(await problemOf(foreign)).toMatchObject({ status: 400, field: "export" });
    // Its beginning alone, as a broken download leaves it, has no end that could be wrong.
    expect(await replay(lines.slice(0, 5).join("\n"))).toMatchObject({ events: 4, accepted: 0, duplicates: 4 });
  });

  test("bodies that are too large, no gzip, or of another encoding", async () => {
    const large = "x".repeat(10 * 1024 * 1024 + 1);
    // It is refused before it is read: a client that is still writing may find the connection closed instead.
    const refusal = async () => callAdmin(service, "buffer/replay", { body: large }).then(problemOf, () => undefined);
    await expect.poll(refusal, { timeout: 20_000 }).toMatchObject({ status: 413 });
    const bomb = await callAdmin(service, "buffer/replay", {
      body: gzipSync(large),
      headers: { "Content-Encoding": "gzip" },
    });
    expect(await problemOf(bomb)).toMatchObject({ status: 413 });
    const broken = await callAdmin(service, "buffer/replay", { body: "x", headers: { "Content-Encoding": "gzip" } });
    expect(await problemOf(broken)).toMatchObject({ status: 400 });
    const other = await callAdmin(service, "buffer/replay", { body: "x", headers: { "Content-Encoding": "br" } });
    expect(await problemOf(other)).toMatchObject({ status: 415 });
    expect(await replay("")).toMatchObject({ events: 0, accepted: 0 });
    const noise = await replay("?\n".repeat(200_000));
    expect(noise).toMatchObject({ events: 200_000, rejected_lines: 200_000 });
    expect(noise["rejected"]).toHaveLength(100);
  });

  test("a reset without the right word, of no shard or of none there is: nothing is dropped", async () => {
    await sendEvents(service, numberedEvents("/reset", 10));
    const { events } = await exportBuffer("?shard=0");
    for (const body of [undefined, '{"confirm":"0-00000000 1"}', '{"confirm":""}']) {
      const response = await callAdmin(service, "buffer/reset?shard=0", body === undefined ? {} : { body });
      const problem = await problemOf(response);
      expect(problem).toMatchObject({ status: 409, code: "confirmation_needed" });
      expect(problem["expected"]).toMatch(/^0-[0-9a-f]{8} \d+$/);
    }
    for (const [path, expected] of [
      ["buffer/reset", { status: 400, field: "shard" }],
      ["buffer/reset?shard=x", { status: 400, field: "shard" }],
      ["buffer/reset?shard=200", { status: 404, code: "shard_not_found" }],
      ["flush?shard=200", { status: 404, code: "shard_not_found" }],
      ["flush?shard=-1", { status: 400, field: "shard" }],
    ] as const) {
      expect(await problemOf(await callAdmin(service, path)), path).toMatchObject(expected);
    }
    for (const body of ["{", "[]", '{"confirm":1}', '{"force":true}']) {
      const response = await callAdmin(service, "buffer/reset?shard=0", { body });
      expect(await problemOf(response), body).toMatchObject({ status: 400, code: "invalid_request" });
    }
    expect((await exportBuffer("?shard=0")).events.length).toBeGreaterThanOrEqual(events.length);
  });

  test("a confirmed count that has changed since is refused with the new one", async () => {
    const { expected } = await problemOf(await callAdmin(service, "buffer/reset?shard=0"));
    await sendEvents(service, numberedEvents("/changed", 40));
    const body = JSON.stringify({ confirm: expected });
    const problem = await problemOf(await callAdmin(service, "buffer/reset?shard=0", { body }));
    expect(problem).toMatchObject({ status: 409 });
    expect(problem["expected"]).not.toBe(expected);
  });
});

test("POST /admin/flush?shard=1 flushes that shard, and commits", async () => {
  await sendEvents(service, numberedEvents("/one-shard", 40));
  const response = await callAdmin(service, "flush?shard=1");
  const report = (await response.json()) as { shards: { name: string; events: number }[]; committed_records: number };
  expect(response.status).toBe(200);
  expect(report).toMatchObject({ ok: true, shards: [{ name: "shard-1" }] });
  expect(report.committed_records).toBeGreaterThan(0);
  const status = await lakeStatus(service);
  expect(status.shards[0]?.events).toBeGreaterThan(0);
});
