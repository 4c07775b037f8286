/**
 * R1–R3 with real storage, bucket and objects: a reset that dies at any of its steps loses nothing and doubles
 * nothing, whatever had become of the batch before it. Afterwards an operator does what the documents say:
 * what is neither in the shard nor in the table is replayed from the bucket.
 */
import { abortAllDurableObjects, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { IcebergTable } from "../../durable-objects/iceberg-table.ts";
import type { StageCall } from "../../protocol/lake-call.ts";
import { TEST_SECRETS } from "../fixtures/test-secrets.ts";
import { admin, emptyLake, flushAll, idsInTable, idsOf, makeEvents, post, shard, SHARD, table } from "./lake-scene.ts";
import { crashPointsOf, StepWatch, type CrashPoint } from "./lake-steps.ts";
import { call } from "./reading.ts";

const LONG_MS = 600_000;
/** Of the steps that a reset has beside those of every call. */
const RESET_STEP = /reset|withdraw|export|stage|data file/;

beforeEach(() => {
  vi.spyOn(console, "log").mockImplementation(() => {});
  vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + LONG_MS });
});
afterEach(async () => {
  vi.restoreAllMocks();
  vi.useRealTimers();
  await emptyLake();
});

interface ResetReport {
  readonly events: number;
  readonly delivered_events: number;
  readonly kept_events: number;
  readonly exports: readonly string[];
}

async function adminPost(path: string, body: string): Promise<Response> {
  const headers = { authorization: `Bearer ${TEST_SECRETS.ADMIN_TOKEN}` };
  return call(`/admin/${path}`, { method: "POST", headers, body });
}

async function reset(): Promise<ResetReport & { readonly status: number }> {
  const asked = await (await admin(`buffer/reset?shard=${SHARD}`)).json<{ expected: string }>();
  const body = JSON.stringify({ confirm: asked.expected });
  const response = await adminPost(`buffer/reset?shard=${SHARD}`, body);
  return { ...(await response.json<ResetReport>()), status: response.status };
}

async function replayExports(): Promise<{ accepted: number; duplicates: number }> {
  const sum = { accepted: 0, duplicates: 0 };
  for (const { key } of (await env.LAKE_BUCKET.list({ prefix: "exports/" })).objects) {
    const body = await (await env.LAKE_BUCKET.get(key))?.text();
    const response = await adminPost("buffer/replay", body ?? "");
    expect(response.status).toBe(200);
    const { accepted, duplicates, rejected_lines: rejected } = await response.json<Record<string, number>>();
    expect(rejected).toBe(0);
    sum.accepted += accepted ?? 0;
    sum.duplicates += duplicates ?? 0;
  }
  return sum;
}

type Stage = (this: IcebergTable, call: StageCall) => Promise<unknown>;

/** What became of the batch that was tried before the reset. */
const PASTS = {
  "nothing was tried": undefined,
  "a batch never reached the table object": "before",
  "a batch was staged and the answer lost": "after",
} as const;
type Past = keyof typeof PASTS;

/** Two events that a flush has tried to deliver, where that is the past, and two that came later. */
async function prepare(past: Past) {
  const [tried, fresh] = [makeEvents("tried", 2), makeEvents("fresh", 2)];
  await post(tried);
  const side = PASTS[past];
  if (side !== undefined) {
    // Called on the object that is met, below.
    const { stage } = IcebergTable.prototype as unknown as Record<"stage", Stage>;
    const spy = vi.spyOn(IcebergTable.prototype, "stage").mockImplementationOnce(async function (
      this: IcebergTable,
      staged,
    ) {
      if (side === "after") await stage.call(this, staged);
      throw new Error("the connection was lost");
    });
    await flushAll();
    spy.mockRestore();
  }
  await post(fresh);
  return idsOf(tried, fresh);
}

for (const past of Object.keys(PASTS) as Past[]) {
  test(`${past}: what is dropped is in the bucket, and the table has each event once after a replay`, async () => {
    const ids = await prepare(past);
    const report = await reset();
    const isStaged = PASTS[past] === "after";
    expect(report).toMatchObject({ status: 200, delivered_events: isStaged ? 2 : 0 });
    await flushAll();
    expect(await idsInTable()).toEqual(isStaged ? ids.filter((id) => id.startsWith("tried")) : []);
    // Own telemetry of the shard lies among them.
    expect((await replayExports()).duplicates).toBe(0);
    expect((await replayExports()).accepted).toBe(0);
    await flushAll();
    expect(await idsInTable()).toEqual(ids);
  });
}

test("a delivery that arrives after its batch was given up is refused, and its events are not doubled", async () => {
  const events = makeEvents("late", 3);
  await post(events);
  let late: StageCall | undefined;
  vi.spyOn(IcebergTable.prototype, "stage").mockImplementationOnce(async (staged) => {
    late = staged;
    throw new Error("took too long");
  });
  await flushAll();
  expect(await reset()).toMatchObject({ status: 200, delivered_events: 0 });
  await replayExports();
  if (late === undefined) throw new Error("nothing was staged");
  expect(await table().stage(late)).toBe("withdrawn");
  await abortAllDurableObjects();
  expect(await table().stage(late)).toBe("withdrawn");
  await flushAll();
  expect(await idsInTable()).toEqual(idsOf(events));
});

test("a bucket that takes no export: 503, nothing dropped, and the events are delivered", async () => {
  const ids = await prepare("a batch never reached the table object");
  const bucket = Object.getPrototypeOf(env.LAKE_BUCKET) as { put: R2Bucket["put"] };
  const put = vi
    .spyOn(bucket, "put")
    .mockImplementation(async () => Promise.reject(new Error("put: internal (10001)")));
  const before = await shard().status();
  expect(await reset()).toMatchObject({ status: 503 });
  // With what the service has told of it.
  expect((await shard().status())?.events).toBeGreaterThanOrEqual(before?.events ?? 0);
  put.mockRestore();
  await flushAll();
  expect(await idsInTable()).toEqual(ids);
  expect((await replayExports()).accepted).toBe(0);
});

async function stepsOf(past: Past): Promise<readonly string[]> {
  await prepare(past);
  const watch = new StepWatch();
  await reset();
  await watch.endObjects();
  // What is staged would be committed by an alarm, in the middle of what comes next.
  await flushAll();
  await emptyLake();
  return watch.steps.filter((step) => RESET_STEP.test(step));
}

async function crashAt(past: Past, point: CrashPoint): Promise<boolean> {
  const name = `${past}; ${point.side} ${point.step} (${point.occurrence})`;
  const ids = await prepare(past);
  const watch = new StepWatch(point);
  let isDone = false;
  const going = reset().catch(() => {});
  void going.then(() => (isDone = true));
  await vi.waitFor(() => expect(watch.isOver || isDone, name).toBe(true), { timeout: 20_000, interval: 2 });
  await watch.endObjects();
  await going;
  vi.setSystemTime(Date.now() + LONG_MS);
  await runInDurableObject(shard(), (object) => object.alarm());
  await runDurableObjectAlarm(table());
  await flushAll();
  const before = await idsInTable();
  expect(new Set(before).size, name).toBe(before.length);
  await replayExports();
  await flushAll();
  expect(await idsInTable(), name).toEqual(ids);
  return watch.isOver;
}

for (const past of ["a batch never reached the table object", "a batch was staged and the answer lost"] as const) {
  test(
    `${past}: a crash at any step of the reset loses nothing and doubles nothing`,
    { timeout: 120_000 },
    async () => {
      const steps = await stepsOf(past);
      expect(steps).toContain("putIfAbsent export");
      expect(steps.includes("table.stage")).toBe(PASTS[past] === "after");
      let crashes = 0;
      for (const point of crashPointsOf(steps)) {
        if (await crashAt(past, point)) crashes++;
        await emptyLake();
      }
      expect(crashes).toBeGreaterThan(5);
    },
  );
}
