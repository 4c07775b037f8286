/**
 * Storage that is really full: the files of a running service cannot grow any more.
 *
 * The platform then fails to commit after a turn, and resets the object: no code of ours is asked. What
 * must hold is what readers are told: a cut connection and never a clean end, 503 while it lasts, and the
 * truth afterwards. B2, B7.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

import { FrameChecker } from "../fixtures/process-checker.ts";
import { SMALL_EVENTS } from "../fixtures/process-plan.ts";
import { openReader, until } from "../fixtures/process-reader.ts";
import { idOf, readStatus, TrackedStream, type BufferLimits } from "../fixtures/process-recovery.ts";
import { ProcessScene } from "../fixtures/process-scene.ts";
import { objectsWithTables } from "../fixtures/process-storage.ts";
import type { Upstream } from "../fixtures/upstream.ts";
import { startService, type Service } from "../fixtures/workerd-service.ts";

const LIMITS: BufferLimits = { commitIntervalMs: 50, maxEvents: 1024, maxBytes: 1_572_864 };
const SCRIPT = { ...SMALL_EVENTS, seed: 5, events: 3000, burst: 1, pauseMs: 4 };

const scene = new ProcessScene();
let upstream: Upstream;

beforeAll(async () => {
  upstream = await scene.start();
});
afterAll(() => scene.end());

/** @param fileMaxBytes what no file of the service may grow beyond */
function limitFiles({ pid }: Service, fileMaxBytes: number | "unlimited"): void {
  execFileSync("prlimit", ["--pid", String(pid), `--fsize=${fileMaxBytes}:`]);
}

test("full in mid-stream: readers are cut, refused while it lasts, and find what was committed afterwards", async () => {
  const persistTo = mkdtempSync(join(tmpdir(), "spillway-full-"));
  scene.folders.push(persistTo);
  const service = await startService({
    persistTo,
    canBeFilled: true,
    vars: {
      ROUTES: [{ upstream: upstream.origin, method: "GET", allowGet: true, name: "t" }],
      SSE_COMMIT_INTERVAL_MS: LIMITS.commitIntervalMs,
      SSE_BUFFER_MAX_EVENTS: LIMITS.maxEvents,
      SSE_SNAPSHOT_TTL_SEC: 3,
    },
  });
  scene.services.push(service);
  const stream = new TrackedStream("full", SCRIPT, LIMITS);
  scene.runs.set(stream.name, stream.run);
  await stream.start(service.origin);
  await until(() => stream.seenSeq >= 50, "events");

  limitFiles(service, 4096);
  // Without an end: nobody may take this for one.
  expect(await stream.reader?.toEnd()).toBe("broken");
  expect([stream.end, stream.faults]).toEqual([undefined, []]);
  const own = { "X-Resume-Token": stream.token, "Last-Event-ID": idOf(stream.seenSeq) };
  const refused = await fetch(`${service.origin}/t/resume`, { headers: own });
  expect([refused.status, refused.headers.get("retry-after")]).toEqual([503, "2"]);
  expect(await refused.json()).toMatchObject({ code: "storage_unavailable" });

  // Whoever starts meanwhile gets the upstream's events, and a word about it.
  scene.runs.set("meanwhile", new TrackedStream("meanwhile", { ...SCRIPT, events: 20 }, LIMITS).run);
  const meanwhile = await openReader(`${service.origin}/t/stream?run=meanwhile`);
  expect(meanwhile.header("x-spillway-degraded")).toBe("object");
  expect(await meanwhile.toEnd()).toBe("ended");
  expect(meanwhile.frames.filter(({ data }) => data !== "")).toHaveLength(20);

  expect(service.telemetry("SseDegraded")).toMatchObject([{ kind: "object", request_id: meanwhile.requestId }]);
  expect(scene.runs.get("meanwhile")?.calls).toBe(1);

  limitFiles(service, "unlimited");
  await until(async () => (await readStatus(service.origin, stream.token))["http_status"] === 200, "storage");
  const status = await readStatus(service.origin, stream.token);
  expect(status).toMatchObject({ state: "interrupted", reason: "object_restarted", degraded: false });
  const durableSeq = Number(String(status["last_id"]).split("-")[1]);
  expect(durableSeq).toBeGreaterThan(0);
  const whole = new FrameChecker(stream.run, 0);
  const fromStart = { ...own, "Last-Event-ID": "0-0" };
  await (await openReader(`${service.origin}/t/resume`, { headers: fromStart, onFrame: whole.take })).toEnd();
  expect([whole.faults, whole.gaps, whole.nextSeq - 1]).toEqual([[], [], durableSeq]);
  expect(whole.end).toMatchObject({ status: "interrupted", last_id: idOf(durableSeq) });

  const rest = new FrameChecker(stream.run, stream.seenSeq);
  const reader = await openReader(`${service.origin}/t/resume`, { headers: own, onFrame: rest.take });
  await reader.toEnd();
  const isRewound = stream.seenSeq > durableSeq;
  expect([rest.faults, rest.rewinds.length]).toEqual([[], isRewound ? 1 : 0]);
  expect(reader.status === 204 || rest.end?.["status"] === "interrupted").toBe(true);
  await until(() => objectsWithTables(persistTo).length === 0, "empty storage");
});
