/**
 * `/admin/dead-letters` from outside: what a pipeline finds too large is listed across shards, sent back, and let
 * go.
 */
import { afterAll, beforeAll, expect, test } from "vitest";

import { bucketObject, callAdmin, flushLake, lakeStatus, sendEvents } from "../fixtures/lake-client.ts";
import { startLakeService, type LakeService } from "../fixtures/lake-service.ts";
import { problemOf } from "../fixtures/problems.ts";
import { startUpstream, type Upstream } from "../fixtures/upstream.ts";

interface Letter {
  readonly shard_index: number;
  readonly shard: string;
  readonly letter_id: number;
  readonly reason: string;
  readonly event: { readonly id: string; readonly request_id: string | null } | null;
}
interface List {
  readonly letters: readonly Letter[];
  readonly next: string | null;
  readonly total: number;
}

/** As events they are within the limit, as records of a pipeline they are not. */
const LARGE = "x".repeat(1_000_000);
const COUNT = 6;

let pipeline: Upstream;
let service: LakeService;
beforeAll(async () => {
  pipeline = await startUpstream();
  pipeline.handle((_, response) => void response.end());
  const vars = { ANALYTICS_SINK: "pipelines", ICEBERG_SHARDS: 2, ICEBERG_BUFFER_TIMEOUT_MS: 3_600_000 };
  service = await startLakeService({ pipelineUrl: pipeline.origin, vars });
  for (let at = 0; at < COUNT; at++) {
    const id = `large-${at}`;
    await sendEvents(service, [
      { specversion: "1.0", id, source: "/large", type: "t", requestid: `r-${at}`, data: LARGE },
    ]);
  }
  await flushLake(service);
});
afterAll(async () => {
  await service.stop();
  await pipeline.stop();
});

async function list(query = ""): Promise<List> {
  const response = await callAdmin(service, `dead-letters${query}`, { method: "GET" });
  expect(response.status).toBe(200);
  return (await response.json()) as List;
}

async function listAll(query: string): Promise<readonly Letter[]> {
  const letters: Letter[] = [];
  for (let after = ""; ;) {
    const page = await list(`?${query}${after}`);
    expect(page.total).toBe(COUNT);
    letters.push(...page.letters);
    if (page.next === null) return letters;
    after = `&after=${page.next}`;
  }
}

async function act(action: "redrive" | "purge", body: object): Promise<Response> {
  return callAdmin(service, `dead-letters/${action}`, { body: JSON.stringify(body) });
}

test("the list goes through all shards, whatever the page's size", async () => {
  const letters = await listAll("limit=1");
  expect(letters.map(({ event }) => String(event?.id)).toSorted()).toEqual(
    Array.from({ length: COUNT }, (_, at) => `large-${at}`),
  );
  expect(new Set(letters.map(({ shard_index: index }) => index))).toEqual(new Set([0, 1]));
  for (const letter of letters) {
    expect(letter.event?.request_id).toMatch(/^r-\d$/);
    expect(letter.reason).toMatch(/a pipeline takes/);
    expect(letter.shard).toMatch(new RegExp(`^${letter.shard_index}-`));
  }
  expect(await listAll("limit=200")).toEqual(letters);
});

test("those sent back are in the buffer, and letters again where they still cannot be delivered", async () => {
  const [first] = (await list("?shard=1&limit=1")).letters;
  if (first === undefined) throw new Error("no letter");
  const some = await act("redrive", { shard: 1, ids: [first.letter_id] });
  expect(await some.json()).toMatchObject({ redriven: 1, unreadable: 0, full: [], failed: [] });
  const all = await act("redrive", {});
  expect([all.status, await all.json()]).toMatchObject([200, { redriven: COUNT - 1, remaining: 0 }]);
  const { shards } = await lakeStatus(service);
  expect(shards.map(({ dead_letters: letters }) => letters)).toEqual([0, 0]);
  expect(shards.reduce((sum, { events }) => sum + events, 0)).toBeGreaterThanOrEqual(COUNT);
  await flushLake(service);
  expect((await listAll("limit=50")).map(({ event }) => String(event?.request_id)).toSorted()).toEqual(
    Array.from({ length: COUNT }, (_, at) => `r-${at}`),
  );
});

test("what is let go lies in the bucket, and needs the right word", async () => {
  const { letters } = await list("?shard=0&limit=1");
  const ids = letters.map(({ letter_id: id }) => id);
  const { expected, code } = await problemOf(await act("purge", { shard: 0, ids }));
  expect([code, expected]).toEqual(["confirmation_needed", `${letters[0]?.shard} 1`]);
  const response = await act("purge", { shard: 0, ids, confirm: expected });
  const { purged, written_to: keys } = (await response.json()) as { purged: number; written_to: string[] };
  expect([response.status, purged, keys.length]).toEqual([200, 1, 1]);
  expect(await (await bucketObject(service, keys[0] ?? "")).text()).toContain(letters[0]?.event?.id);
  expect((await list()).total).toBe(COUNT - 1);
});

const get = (path: string) => callAdmin(service, path, { method: "GET" });

test.each<[string, () => Promise<Response>, { status: number; field?: string }]>([
  ["a limit of none", () => get("dead-letters?limit=0"), { status: 400, field: "limit" }],
  ["a foreign position", () => get("dead-letters?after=x"), { status: 400, field: "after" }],
  ["what is no shard", () => get("dead-letters?shard=9999"), { status: 400, field: "shard" }],
  ["a shard there is not", () => get("dead-letters?shard=77"), { status: 404 }],
  ["ids without their shard", () => act("redrive", { ids: [1] }), { status: 400, field: "shard" }],
  ["ids that are none", () => act("redrive", { shard: 0, ids: ["1"] }), { status: 400, field: "ids.0" }],
  ["half a shard", () => act("redrive", { shard: 0.5 }), { status: 400, field: "shard" }],
  ["another shard there is not", () => act("redrive", { shard: 77 }), { status: 404 }],
  ["a purge of no shard", () => act("purge", {}), { status: 400, field: "shard" }],
  ["a word that means nothing here", () => act("purge", { shard: 0, all: true }), { status: 400, field: "all" }],
])("%s is refused", async (_, ask, expected) => {
  expect(await problemOf(await ask())).toMatchObject(expected);
});
