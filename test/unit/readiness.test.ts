/**
 * Readiness: which failure makes a service unavailable and which only degraded, and how little a storm of
 * probes asks of the objects.
 */
import { describe, expect, test } from "vitest";

import { FRESH_MS, judge, Readiness, type CheckResult, type ReadinessChecks } from "../../workers/readiness.ts";

const ALL_OK: ReadinessChecks = {
  configuration: "ok",
  stream_objects: "ok",
  event_shards: "ok",
  table: "ok",
  catalog: "ok",
  bucket: "ok",
};

describe("what a failed check means", () => {
  test.each(["configuration", "stream_objects"] as const)("without %s there are no streams", (name) => {
    expect(judge({ ...ALL_OK, [name]: "failed" }).status).toBe("unavailable");
    expect(judge({ ...ALL_OK, [name]: "failed", table: "failed" }).status).toBe("unavailable");
  });

  test.each(["event_shards", "table", "catalog", "bucket"] as const)("streams work without %s", (name) => {
    expect(judge({ ...ALL_OK, [name]: "failed" }).status).toBe("degraded");
  });

  test.each<CheckResult>(["ok", "not_checked", "not_used"])("%s is no failure", (result) => {
    expect(judge({ ...ALL_OK, catalog: result, bucket: result }).status).toBe("ready");
  });
});

/** A service on a clock of its own, which counts what is asked of it. */
class Scene {
  nowMs = 1_000_000;
  readonly asked: string[] = [];
  readonly failing = new Set<string>();
  /** What is asked and has not been answered. */
  readonly held: (() => void)[] = [];
  isHolding = false;
  hasTable = true;
  readonly readiness: Readiness;

  constructor(hasTable = true) {
    const ask = async (name: string) => {
      this.asked.push(name);
      if (this.isHolding) await new Promise<void>((resolve) => this.held.push(resolve));
      if (this.failing.has(name)) throw new Error(`${name}: a reason that is nobody's business`);
    };
    this.readiness = new Readiness({
      asks: {
        streamObjects: () => ask("stream"),
        eventShards: (isDeep) => ask(isDeep ? "all shards" : "shard"),
        table: () => ask("table"),
        foundations: async () => {
          await ask("foundations");
          return { catalog: "ok", bucket: "failed" };
        },
      },
      hasTable,
      clock: () => this.nowMs,
      sleep: () => Promise.resolve(),
      within: async (call, name, timeoutMs) => {
        if (!this.isHolding) return call;
        this.nowMs += timeoutMs;
        void call.catch(() => undefined);
        throw new Error(`${name} took too long`);
      },
    });
  }
}

test("a plain look asks one object of each kind, and says that the rest was not checked", async () => {
  const scene = new Scene();
  expect(await scene.readiness.look(false)).toEqual({
    status: "ready",
    checks: { ...ALL_OK, catalog: "not_checked", bucket: "not_checked" },
  });
  expect(scene.asked).toEqual(["stream", "shard", "table"]);
});

test("a deep look asks every shard, and the table object for catalog and bucket", async () => {
  const scene = new Scene();
  expect(await scene.readiness.look(true)).toEqual({ status: "degraded", checks: { ...ALL_OK, bucket: "failed" } });
  expect(scene.asked).toEqual(["stream", "all shards", "table", "foundations"]);
});

test("where events go to a pipeline there is no table to ask", async () => {
  const scene = new Scene(false);
  expect((await scene.readiness.look(true)).checks).toMatchObject({ table: "not_used", catalog: "not_used" });
  expect(scene.asked).not.toContain("table");
});

test("a failure is told by its place alone", async () => {
  const scene = new Scene();
  for (const name of ["stream", "all shards", "table", "foundations"]) scene.failing.add(name);
  const report = await scene.readiness.look(true);
  expect(report).toEqual({
    status: "unavailable",
    checks: {
      configuration: "ok",
      stream_objects: "failed",
      event_shards: "failed",
      table: "failed",
      catalog: "failed",
      bucket: "failed",
    },
  });
});

test("an answer holds for five seconds, also one that is bad, and is then asked again", async () => {
  const scene = new Scene();
  scene.failing.add("shard");
  expect((await scene.readiness.look(false)).status).toBe("degraded");
  scene.failing.clear();
  scene.nowMs += FRESH_MS - 1;
  expect((await scene.readiness.look(false)).status).toBe("degraded");
  expect(scene.asked).toHaveLength(3);
  scene.nowMs += 1;
  expect((await scene.readiness.look(false)).status).toBe("ready");
  expect(scene.asked).toHaveLength(6);
});

test("of a storm of probes one asks, and all are answered", async () => {
  const scene = new Scene();
  const reports = await Promise.all(Array.from({ length: 100 }, () => scene.readiness.look(false)));
  expect(new Set(reports.map(({ status }) => status))).toEqual(new Set(["ready"]));
  expect(scene.asked).toEqual(["stream", "shard", "table"]);
});

test("what does not answer has failed in time", async () => {
  const scene = new Scene();
  scene.isHolding = true;
  const startedMs = scene.nowMs;
  expect((await scene.readiness.look(true)).checks).toEqual({ ...ALL_FAILED, configuration: "ok" });
  expect(scene.nowMs - startedMs).toBeGreaterThan(0);
});

test("a probe whose caller went away while it asked holds nobody back for good", async () => {
  const scene = new Scene();
  // Asked, and never told: its request is gone.
  scene.readiness.look(false).catch(() => undefined);
  const asked = scene.asked.length;
  scene.nowMs += 10_000;
  expect((await scene.readiness.look(false)).status).toBe("ready");
  expect(scene.asked.length).toBeGreaterThan(asked);
});

const ALL_FAILED: ReadinessChecks = {
  configuration: "failed",
  stream_objects: "failed",
  event_shards: "failed",
  table: "failed",
  catalog: "failed",
  bucket: "failed",
};
