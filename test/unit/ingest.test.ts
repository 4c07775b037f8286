/**
 * From a request to the shards and back: who may send, which shard takes what, and the one answer.
 */
import * as fc from "fast-check";
import { Hono } from "hono";
import { expect, test } from "vitest";

import type { AppendAnswer, AppendCall } from "../../protocol/lake-call.ts";
import type { LakeEvent } from "../../protocol/lake-event.ts";
import { answerEvents } from "../../workers/ingest/events-call.ts";
import { chooseShard, groupByShard } from "../../workers/ingest/shard-choice.ts";
import { BATCH, JSON_TYPE, REQUIRED, STRUCTURED } from "../fixtures/ingest-calls.ts";

const KEY = "ingest-key-0123456789";
const NOW_MS = Date.UTC(2026, 10, 21);
const KEYS = new Map([
  [KEY, "acme"],
  ["another-key-0123456789", "globex"],
]);

type Shard = (call: AppendCall) => AppendAnswer;

/** Shards in memory that remember ids, as the real ones do; some may answer otherwise. */
function service(
  shards: Readonly<Record<number, Shard>> = {},
  options: { keys?: Map<string, string>; count?: number } = {},
) {
  const calls: AppendCall[] = [];
  const seen = new Set<string>();
  const take: Shard = ({ events }) => {
    const duplicates: number[] = [];
    for (const [index, { source, id }] of events.entries()) {
      const name = JSON.stringify([source, id]);
      if (seen.has(name)) duplicates.push(index);
      seen.add(name);
    }
    return { ok: true, accepted: events.length - duplicates.length, duplicates };
  };
  let ids = 0;
  const services = {
    ingestKeys: options.keys ?? KEYS,
    shardCount: options.count ?? 4,
    appendToShard: async (call: AppendCall) => {
      calls.push(call);
      return (shards[call.shardIndex] ?? take)(call);
    },
    clock: () => NOW_MS,
    randomId: () => `random-${ids++}`,
  };
  const app = new Hono();
  app.post("/events", (context) => answerEvents(context.req.raw, "req-1", services));
  const post = async (body: unknown, headers: Record<string, string> = {}) => {
    const sent =
      body instanceof Uint8Array ? Uint8Array.from(body) : typeof body === "string" ? body : JSON.stringify(body);
    const defaults = { authorization: `Bearer ${KEY}`, "content-type": JSON_TYPE };
    const init = { method: "POST", body: sent, headers: { ...defaults, ...headers } };
    const response = await app.request("/events", init);
    return { response, status: response.status, answer: (await response.json()) as Record<string, unknown> };
  };
  return { post, calls };
}

function eventOf(id: string, source = "/s", tenant = "acme"): LakeEvent {
  const rest = { subject: undefined, requestId: undefined, data: undefined, extensions: undefined };
  return { id, source, type: "t", timeUs: 0, tenant, ...rest };
}

/** Ids that go to each of four shards, under the tenant's default source. */
function idsByShard(): Map<number, string> {
  const ids = new Map<number, string>();
  for (let at = 0; ids.size < 4; at++) {
    const shard = chooseShard(eventOf(`e${at}`), 4);
    if (!ids.has(shard)) ids.set(shard, `e${at}`);
  }
  return ids;
}
const BATCH_OF_ALL = [...idsByShard().values()].map((id) => ({ id, source: "/s" }));

test("what was sent reaches one shard with its tenant, and comes back as counts", async () => {
  const { post, calls } = service();
  const { response, status, answer } = await post({ ...REQUIRED, data: { a: 1 } }, { "content-type": STRUCTURED });
  expect([status, answer]).toEqual([202, { accepted: 1, duplicates: 0, rejected: [] }]);
  expect(response.headers.get("cache-control")).toBe("no-store");
  const { id, source, type } = REQUIRED;
  const row = { id, source, type, tenant: "acme", timeUs: NOW_MS * 1000, data: '{"a":1}' };
  expect(calls).toMatchObject([{ isRiding: false, events: [row] }]);
});

test.each([
  ["no header", { authorization: "" }],
  ["another scheme", { authorization: `Basic ${KEY}` }],
  ["a key cut short", { authorization: `Bearer ${KEY.slice(1)}` }],
  ["a key and more", { authorization: `Bearer ${KEY}0` }],
])("401 without a valid key: %s; the body is not looked at", async (_name, headers) => {
  const { post, calls } = service();
  const { response, status, answer } = await post("{", headers);
  expect([status, answer["code"], calls]).toEqual([401, "unauthorized", []]);
  expect(answer["detail"]).toContain("ingest key");
  expect(response.headers.get("www-authenticate")).toContain("Bearer");
});

test("without any keys every call is 401, and each key has its tenant", async () => {
  const closed = service({}, { keys: new Map() });
  expect((await closed.post({})).status).toBe(401);
  const open = service();
  await open.post({}, { authorization: "bearer another-key-0123456789" });
  expect(open.calls[0]?.events[0]).toMatchObject({ tenant: "globex", source: "urn:spillway:tenant:globex" });
});

test("all shards are asked at once, each for its own events, in their order", async () => {
  const { post, calls } = service();
  const batch = Array.from({ length: 400 }, (_, at) => ({ id: `e${at}`, source: "/s" }));
  const { answer } = await post(batch);
  expect(answer).toEqual({ accepted: 400, duplicates: 0, rejected: [] });
  expect(new Set(calls.map(({ shardIndex }) => shardIndex))).toEqual(new Set([0, 1, 2, 3]));
  expect(calls).toHaveLength(4);
  for (const { shardIndex, events } of calls) {
    const expected = batch.map(({ id }) => id).filter((id) => chooseShard(eventOf(id), 4) === shardIndex);
    expect(events.map(({ id }) => id)).toEqual(expected);
  }
});

test("one slow shard does not keep the others from being asked", async () => {
  let asked = 0;
  const all = Promise.withResolvers<void>();
  const answerLate = async (): Promise<AppendAnswer> => {
    if (++asked === 4) all.resolve();
    await all.promise;
    return { ok: true, accepted: 1, duplicates: [] };
  };
  const services = {
    ingestKeys: KEYS,
    shardCount: 4,
    appendToShard: answerLate,
    clock: () => NOW_MS,
    randomId: () => "r",
  };
  const headers = { authorization: `Bearer ${KEY}` };
  const body = JSON.stringify(BATCH_OF_ALL);
  // As bytes, a body has no media type of its own.
  const request = new Request("http://x/events", { method: "POST", headers, body: new TextEncoder().encode(body) });
  expect(await (await answerEvents(request, "r", services)).json()).toMatchObject({ accepted: 4 });
});

test("duplicates and rejections are counted beside what is accepted; what is sent twice is stored once", async () => {
  const { post } = service();
  const batch = [REQUIRED, { ...REQUIRED, id: "" }, REQUIRED, { ...REQUIRED, source: "/other" }];
  const first = await post(batch, { "content-type": BATCH });
  expect(first.answer).toMatchObject({
    accepted: 2,
    duplicates: 1,
    rejected: [{ index: 1, code: "invalid_event", field: "id" }],
  });
  const second = await post(batch, { "content-type": BATCH });
  expect([second.status, second.answer]).toMatchObject([202, { accepted: 0, duplicates: 3, rejected: [{ index: 1 }] }]);
});

test("an empty batch is taken, without asking a shard", async () => {
  const { post, calls } = service();
  expect(await post("[]")).toMatchObject({ status: 202, answer: { accepted: 0, duplicates: 0, rejected: [] } });
  expect(calls).toEqual([]);
});

test("400 events_rejected when there was no good event at all", async () => {
  const { post, calls } = service();
  for (const body of [{ id: "" }, [{ id: "" }, 5]]) {
    const { status, answer } = await post(body);
    expect([status, answer["code"]]).toEqual([400, "events_rejected"]);
    expect(answer["rejected"]).toMatchObject([
      { index: 0, code: "invalid_event", field: "id", detail: "is empty" },
      ...[{}].slice(Array.isArray(body) ? 0 : 1),
    ]);
  }
  expect(calls).toEqual([]);
});

const full =
  (retryAfterSec: number): Shard =>
  () => ({ ok: false, code: "buffer_full", retryAfterSec });
const broken: Shard = () => {
  throw new Error("secret message of an object");
};

test("429 when a shard was full: what the others took is said, and the longest pause asked for", async () => {
  const { post } = service({ 1: full(3), 2: full(7) });
  const { response, status, answer } = await post([...BATCH_OF_ALL, { id: "" }]);
  expect([status, answer["code"], response.headers.get("retry-after")]).toEqual([429, "buffer_full", "7"]);
  expect(answer).toMatchObject({ accepted: 2, duplicates: 0, rejected: [{ index: 4 }] });
  expect((await service({ 0: full(1) }, { count: 1 }).post({})).answer).toMatchObject({
    accepted: 0,
    code: "buffer_full",
  });
});

test("503 when a shard could not be reached, whatever the others say; nothing of its error is told", async () => {
  const { post, calls } = service({ 0: broken, 1: full(7) });
  const { response, status, answer } = await post(BATCH_OF_ALL);
  expect([status, answer["code"], calls.length]).toEqual([503, "storage_unavailable", 4]);
  expect(Number(response.headers.get("retry-after"))).toBeGreaterThan(0);
  expect(JSON.stringify(answer)).not.toContain("secret");
});

test("a request refused as a whole is a problem with its reason, and reaches no shard", async () => {
  const { post, calls } = service();
  const cases: [unknown, Record<string, string>, number, string][] = [
    ["{", {}, 400, "invalid_request"],
    [new Uint8Array([0xff]), {}, 400, "invalid_request"],
    ["{}", { "content-type": "text/plain" }, 415, "unsupported_media_type"],
    ["{}", { "content-encoding": "br" }, 415, "unsupported_media_type"],
    ["{}", { "content-encoding": "gzip" }, 400, "invalid_request"],
    [" ".repeat(10 * 1_048_576 + 1), {}, 413, "body_too_large"],
  ];
  for (const [body, headers, status, code] of cases) {
    const given = await post(body, headers);
    expect([given.status, given.answer["code"], given.answer["request_id"]]).toEqual([status, code, "req-1"]);
  }
  expect(calls).toEqual([]);
});

test("binary mode goes the same way", async () => {
  const { post, calls } = service();
  const headers = {
    "content-type": "text/plain",
    "ce-specversion": "1.0",
    "ce-id": "1",
    "ce-source": "/s",
    "ce-type": "t%20t",
  };
  expect((await post("hello", headers)).status).toBe(202);
  expect(calls[0]?.events).toMatchObject([
    { type: "t t", data: '"hello"', extensions: '{"datacontenttype":"text/plain"}' },
  ]);
});

test("the shard of an event never changes: it is where its duplicate is looked for", () => {
  // Computed apart from this code: a new version that chose otherwise would store duplicates.
  const shards = ["1", "2", "evt-3", "ü😀", "6e8bc430-9c3a-11d9-9669-0800200c9a66"].map((id) =>
    chooseShard(eventOf(id), 1024),
  );
  expect(shards).toEqual([19, 850, 126, 79, 404]);
  expect(chooseShard(eventOf("b", "a"), 1 << 20)).not.toBe(chooseShard(eventOf("", "ab"), 1 << 20));
  expect(chooseShard(eventOf("1", "/s", "acme"), 1 << 20)).not.toBe(chooseShard(eventOf("1", "/s", "globex"), 1 << 20));
});

test("similar ids spread evenly over any number of shards", () => {
  for (const count of [1, 2, 3, 4, 7, 16, 64]) {
    const sizes = Array.from({ length: count }, () => 0);
    const total = 1000 * count;
    for (let at = 0; at < total; at++) {
      const shard = chooseShard(eventOf(`event-${at}`), count);
      sizes[shard] = (sizes[shard] ?? 0) + 1;
    }
    // Six standard deviations of a fair throw.
    for (const size of sizes) expect(Math.abs(size - 1000), `${count} shards`).toBeLessThan(6 * Math.sqrt(1000));
  }
});

test("grouping loses nothing and repeats nothing", () => {
  fc.assert(
    fc.property(fc.array(fc.string()), fc.integer({ min: 1, max: 9 }), (ids, count) => {
      const events = ids.map((id, index) => ({ index, event: eventOf(id) }));
      const groups = [...groupByShard(events, count)];
      expect(groups.flatMap(([, group]) => group).toSorted((left, right) => left.index - right.index)).toEqual(events);
      for (const [shard, group] of groups) {
        for (const { event } of group) expect(chooseShard(event, count)).toBe(shard);
      }
    }),
  );
});
