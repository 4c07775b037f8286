/**
 * The gate against the real service, with one fault that answers 200 and loses an event: it fails by resume success,
 * in time, and what it writes has the shape that others read. `npm run perf:gate:self-test` has all the faults.
 */
import { expect, test } from "vitest";

import { resultsOf, windowedOf } from "../../bench/gate/results.ts";
import { faultOf } from "../../bench/gate/self-test/expectation.ts";
import { play } from "../../bench/gate/self-test/play.ts";
import { SCENARIOS } from "../../bench/gate/self-test/scenarios.ts";

const BUNDLE = new URL("../../dist/index.js", import.meta.url).pathname;

test("resumes that answer 200 and lose one event make the gate fail, by resume success and early", async () => {
  const scenario = SCENARIOS.find(({ proxy }) => proxy?.fault === "lose");
  if (scenario === undefined) throw new Error("there is one");
  const { run, fault } = await play(scenario, { bundle: BUNDLE, seed: 6 });
  expect(fault).toBeUndefined();
  expect(faultOf({ ...scenario, expects: "window_trim_rate" }, run)).toBeDefined();
  expect(run.endMs).toBeLessThan(scenario.byDeadlineSec * 1000);
  expect(run.failures.map(({ detail }) => detail).join()).toContain("lost without a word");

  const record = {
    ...run,
    date: "2026-01-01T00:00:00Z",
    command: "test",
    notMeasured: [],
    options: { seconds: 60, streams: 20, cut_share: 0.5, rate: 20, seed: 6, url: null, route: null },
    limits: scenario.limits,
    machine: { cores: 1, cpu: "", memory_gb: 1, platform: "", load_average: 0 },
    versions: { node: "", workerd: "", commit: null },
  };
  expect(resultsOf(record)).toMatchObject({
    verdict: "failed",
    failures: [{ rule: "window_resume_success", limit: 0.95, value: expect.any(Number) }],
    summary: {
      streams_started: expect.any(Number),
      resume_attempts: expect.any(Number),
      resume_success_rate: expect.any(Number),
      resume_latency_ms: { p50: expect.any(Number), p95: expect.any(Number), p99: expect.any(Number) },
      buffer_trims: 0,
      buffer_trim_rate: 0,
      errors: 0,
      memory_mb: { max: expect.any(Number) },
    },
  });
  // Before the fault all was well: what fails is the fault.
  expect(windowedOf(record)).toMatchObject({ windows: [{ from_sec: 0, resume_success_rate: 1, error_rate: 0 }, {}] });
});
