/**
 * `POST /events` as docs/events.md has it, against the real service: every mode, every answer, and what is in
 * the table afterwards.
 */
import { once } from "node:events";
import { request, type IncomingMessage } from "node:http";
import { gzipSync } from "node:zlib";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { openDuckDbLake, type DuckDbLake, type LakeRecord } from "../fixtures/duckdb-lake.ts";
import {
  ACME_KEY,
  BATCH,
  flushLake,
  GLOBEX_KEY,
  numberedEvents,
  postEvents,
  sendEvents,
  STRUCTURED,
} from "../fixtures/lake-client.ts";
import { startLakeService, type LakeService } from "../fixtures/lake-service.ts";
import { problemOf } from "../fixtures/problems.ts";

const MIB = 1_048_576;
const NOTHING_REJECTED = { duplicates: 0, rejected: [] };

let service: LakeService;
let duckdb: DuckDbLake;
beforeAll(async () => {
  [service, duckdb] = await Promise.all([startLakeService(), openDuckDbLake()]);
});
afterAll(async () => {
  duckdb.close();
  await service.stop();
});

async function rowsOf(source: string): Promise<LakeRecord[]> {
  await flushLake(service);
  await duckdb.refresh(service);
  return duckdb.rowsOf(source);
}

async function expectTaken(response: Response, accepted: number): Promise<void> {
  expect({ status: response.status, body: await response.json() }).toEqual({
    status: 202,
    body: { accepted, ...NOTHING_REJECTED },
  });
  expect(response.headers.get("cache-control")).toBe("no-store");
}

/** The answer to a request's head alone: a client that is still sending would break off first. */
async function announceBody(bytes: number): Promise<Response> {
  const headers = { Authorization: `Bearer ${ACME_KEY}`, "Content-Type": "application/json", "Content-Length": bytes };
  const call = request(`${service.origin}/events`, { method: "POST", headers });
  call.flushHeaders();
  const [answer] = (await once(call, "response")) as [IncomingMessage];
  const chunks: Buffer[] = [];
  for await (const chunk of answer) chunks.push(chunk as Buffer);
  call.destroy();
  const given = Object.entries(answer.headers).map(([name, value]): [string, string] => [name, String(value)]);
  return new Response(Buffer.concat(chunks), { status: answer.statusCode ?? 0, headers: given });
}

const cloudEvent = (source: string, rest: object = {}) => ({
  specversion: "1.0",
  id: "1",
  source,
  type: "order.created",
  ...rest,
});

const sendBinary = (id: string, type: string, body: string | Uint8Array<ArrayBuffer>) =>
  postEvents(service, body, {
    "Content-Type": type,
    "ce-specversion": "1.0",
    "ce-id": id,
    "ce-source": "/binary",
    "ce-type": "note",
    "ce-subject": "caf%C3%A9",
    "ce-colour": "green",
  });

const zipped = (value: unknown) => new Uint8Array(gzipSync(JSON.stringify(value)));

const nested = (depth: number): unknown => JSON.parse("[".repeat(depth) + "]".repeat(depth));

const onDay = (day: number) =>
  cloudEvent("/days", { id: String(day), time: new Date(Date.UTC(2026, 0, 1 + day)).toISOString() });

describe("modes", () => {
  test("structured: one CloudEvent, every attribute in its column", async () => {
    const event = cloudEvent("/structured", {
      subject: "order/7",
      time: "2026-11-20T23:59:59.123Z",
      requestid: "req-7",
      traceparent: "00-ab-01",
      retries: 3,
      data: { total: 12.5, big: "<", list: [1, 2] },
    });
    // Written by hand: a double would not hold it.
    const text = JSON.stringify(event).replace('"<"', "9223372036854775807");
    await expectTaken(await postEvents(service, text, { "Content-Type": STRUCTURED }), 1);
    const [row, ...others] = await rowsOf("/structured");
    expect(others).toEqual([]);
    expect(row).toMatchObject({
      id: "1",
      type: "order.created",
      subject: "order/7",
      time: "2026-11-20T23:59:59.123Z",
      request_id: "req-7",
      tenant: "acme",
      data: '{"total":12.5,"big":9223372036854775807,"list":[1,2]}',
      extensions: '{"traceparent":"00-ab-01","retries":3}',
      shard: expect.stringMatching(/^[0-3]-[0-9a-f]{8}$/),
    });
    expect(row?.seq).toBeGreaterThan(0n);
    expect(Math.abs(Date.parse(row?.ingest_time ?? "") - Date.now())).toBeLessThan(60_000);
  });

  test("batch: an array, which may be empty", async () => {
    for (const count of [3, 0]) {
      const body = JSON.stringify(numberedEvents("/batch", count));
      await expectTaken(await postEvents(service, body, { "Content-Type": BATCH }), count);
    }
    const rows = await rowsOf("/batch");
    expect(rows.map(({ id, data }) => `${id} ${data}`).toSorted()).toEqual(['0 {"n":0}', '1 {"n":1}', '2 {"n":2}']);
  });

  test("binary: attributes in headers, data of any type as the body", async () => {
    await expectTaken(await sendBinary("json", "application/json", '{ "a": 1 }'), 1);
    await expectTaken(await sendBinary("text", "text/plain", 'say "hi"'), 1);
    await expectTaken(await sendBinary("bytes", "application/octet-stream", new Uint8Array([0, 255])), 1);
    const rows = await rowsOf("/binary");
    expect(new Map(rows.map(({ id, data }) => [id, data]))).toEqual(
      new Map([
        ["json", '{"a":1}'],
        ["text", String.raw`"say \"hi\""`],
        ["bytes", '{"data_base64":"AP8="}'],
      ]),
    );
    expect(rows.every(({ subject }) => subject === "café")).toBe(true);
    expect(rows.map(({ extensions }) => JSON.parse(extensions ?? "{}") as object)).toContainEqual({
      colour: "green",
      datacontenttype: "text/plain",
    });
  });

  test("plain JSON: an object or an array, with what is missing filled in", async () => {
    await expectTaken(
      await postEvents(service, JSON.stringify({ source: "/plain", event: "click", page: "/home" })),
      1,
    );
    const named = { source: "/plain", type: "click", id: 17, data: { x: 1 }, extra: true };
    await expectTaken(await postEvents(service, JSON.stringify([named, { source: "/plain", id: "18" }])), 2);
    const rows = await rowsOf("/plain");
    const [unnamed, ...rest] = rows.filter(({ id }) => id !== "17" && id !== "18");
    expect(rest).toEqual([]);
    expect(unnamed).toMatchObject({ type: "click", data: '{"page":"/home"}' });
    expect(unnamed?.id).toMatch(/^[0-9a-f-]{36}$/);
    expect(rows.find(({ id }) => id === "17")).toMatchObject({ data: '{"x":1}', extensions: '{"extra":true}' });
    expect(rows.find(({ id }) => id === "18")).toMatchObject({ type: "event", data: null });
  });

  test("gzip in any mode", async () => {
    const gzip = { "Content-Encoding": "gzip" };
    await expectTaken(await postEvents(service, zipped([{ source: "/gzip", id: "plain" }]), gzip), 1);
    const batch = zipped(numberedEvents("/gzip", 500));
    await expectTaken(await postEvents(service, batch, { ...gzip, "Content-Type": BATCH }), 500);
    const one = zipped(cloudEvent("/gzip", { id: "one" }));
    await expectTaken(await postEvents(service, one, { ...gzip, "Content-Type": STRUCTURED }), 1);
    expect(await rowsOf("/gzip")).toHaveLength(502);
  });
});

describe("keys", () => {
  test("none, a wrong one, another scheme: 401 with a challenge, and nothing is taken", async () => {
    for (const authorization of [undefined, "Bearer test-ingest-key-acmf", `Basic ${ACME_KEY}`]) {
      const headers = new Headers({ "Content-Type": "application/json" });
      if (authorization !== undefined) headers.set("Authorization", authorization);
      const body = '{"source":"/keyless"}';
      const response = await fetch(`${service.origin}/events`, { method: "POST", headers, body });
      expect(response.headers.get("www-authenticate")).toBe('Bearer realm="spillway"');
      expect(await problemOf(response)).toMatchObject({ status: 401, code: "unauthorized" });
    }
    await sendEvents(service, numberedEvents("/keyed", 1));
    expect(await rowsOf("/keyed")).toHaveLength(1);
    expect(await duckdb.rowsOf("/keyless")).toEqual([]);
  });

  test("decide the tenant, whatever the event says, and no tenant's ids are another's duplicates", async () => {
    const event = cloudEvent("/tenants", { tenant: "globex" });
    expect(await sendEvents(service, [event], ACME_KEY)).toEqual({ accepted: 1, ...NOTHING_REJECTED });
    expect(await sendEvents(service, [event], GLOBEX_KEY)).toEqual({ accepted: 1, ...NOTHING_REJECTED });
    expect((await rowsOf("/tenants")).map(({ tenant }) => tenant).toSorted()).toEqual(["acme", "globex"]);
  });
});

describe("limits", () => {
  test("10 MiB of body, as announced and after decompression: 413", async () => {
    const tooLarge = { status: 413, code: "body_too_large", max_bytes: 10 * MIB };
    expect(await problemOf(await announceBody(10 * MIB + 1))).toMatchObject(tooLarge);
    const bomb = new Uint8Array(gzipSync(Buffer.alloc(10 * MIB + 1, " ")));
    expect(await problemOf(await postEvents(service, bomb, { "Content-Encoding": "gzip" }))).toMatchObject(tooLarge);
  });

  test("10,000 events of one request: one more is refused whole, 10,000 are taken", async () => {
    const events = numberedEvents("/many", 10_001);
    const response = await postEvents(service, JSON.stringify(events), { "Content-Type": BATCH });
    expect(await problemOf(response)).toMatchObject({ status: 400, code: "invalid_request" });
    expect(await sendEvents(service, events.slice(1))).toMatchObject({ accepted: 10_000 });
    const rows = await rowsOf("/many");
    expect(new Set(rows.map(({ id }) => id)).size).toBe(10_000);
    expect(rows).toHaveLength(10_000);
  });

  test("one event of 1 MiB is taken, one byte more is rejected by its index, beside good ones", async () => {
    const ofBytes = (id: string, bytes: number) => {
      const bare = JSON.stringify(cloudEvent("/large", { id, data: "" }));
      return cloudEvent("/large", { id, data: "x".repeat(bytes - bare.length) });
    };
    const counts = await sendEvents(service, [ofBytes("fits", MIB), ofBytes("over", MIB + 1), cloudEvent("/large")]);
    expect(counts).toMatchObject({ accepted: 2, rejected: [{ index: 1, code: "event_too_large", field: "event" }] });
    expect((await rowsOf("/large")).map(({ id }) => id).toSorted()).toEqual(["1", "fits"]);
  });
});

describe("answers", () => {
  test("each rejected event by index, code and field; the rest is taken", async () => {
    const events = [
      cloudEvent("/partial"),
      cloudEvent("/partial", { id: "" }),
      cloudEvent("/partial", { id: "2", specversion: "0.3" }),
      "not an event",
      cloudEvent("/partial", { id: "4", time: "yesterday" }),
      cloudEvent("/partial", { id: "5" }),
    ];
    const response = await postEvents(service, JSON.stringify(events), { "Content-Type": BATCH });
    expect(response.status).toBe(202);
    expect(await response.json()).toMatchObject({
      accepted: 2,
      duplicates: 0,
      rejected: [
        { index: 1, code: "invalid_event", field: "id", detail: expect.stringMatching(/\w/) },
        { index: 2, code: "unsupported_specversion", field: "specversion" },
        { index: 3, code: "invalid_event", field: "event" },
        { index: 4, code: "invalid_event", field: "time" },
      ],
    });
    expect((await rowsOf("/partial")).map(({ id }) => id).toSorted()).toEqual(["1", "5"]);
  });

  test("400 where no event is good, the body is no JSON or no gzip; 415 for other types and encodings", async () => {
    const bad = await problemOf(await postEvents(service, JSON.stringify([cloudEvent("/bad", { id: "" })])));
    expect(bad).toMatchObject({ status: 400, code: "events_rejected", rejected: [{ index: 0, field: "id" }] });
    for (const [body, headers, expected] of [
      ["{", {}, { status: 400, code: "invalid_request" }],
      ["{}", { "Content-Encoding": "gzip" }, { status: 400, code: "invalid_request" }],
      ["{}", { "Content-Encoding": "br" }, { status: 415, code: "unsupported_media_type" }],
      ["{}", { "Content-Type": "application/cloudevents+avro" }, { status: 415, code: "unsupported_media_type" }],
      ["a=1", { "Content-Type": "application/x-www-form-urlencoded" }, { status: 415 }],
    ] as const) {
      expect(await problemOf(await postEvents(service, body, headers))).toMatchObject(expected);
    }
    const got = await fetch(`${service.origin}/events`);
    expect(got.headers.get("allow")).toBe("POST, OPTIONS");
    expect(await problemOf(got)).toMatchObject({ status: 405, code: "method_not_allowed" });
  });

  test("duplicates are counted across requests and after a flush, within a request too", async () => {
    const events = numberedEvents("/again", 40);
    expect(await sendEvents(service, [...events.slice(0, 20), ...events.slice(0, 5)])).toMatchObject({
      accepted: 20,
      duplicates: 5,
    });
    expect(await sendEvents(service, events)).toMatchObject({ accepted: 20, duplicates: 20 });
    await flushLake(service);
    expect(await sendEvents(service, events)).toMatchObject({ accepted: 0, duplicates: 40 });
    expect(await rowsOf("/again")).toHaveLength(40);
  });
});

test("64 levels deep, and 100 days in one request", async () => {
  const deep = [63, 64].map((depth) => cloudEvent("/deep", { id: String(depth), data: nested(depth) }));
  expect(await sendEvents(service, deep)).toMatchObject({ accepted: 1, rejected: [{ index: 1, code: "too_deep" }] });
  const days = Array.from({ length: 102 }, (_, day) => onDay(day));
  expect(await sendEvents(service, [...days, onDay(0)])).toMatchObject({
    accepted: 100,
    duplicates: 1,
    rejected: [
      { index: 100, code: "too_many_days" },
      { index: 101, code: "too_many_days" },
    ],
  });
  expect(await rowsOf("/days")).toHaveLength(100);
});
