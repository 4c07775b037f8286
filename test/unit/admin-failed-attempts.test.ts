/**
 * Wrong credentials slowed down: who is kept out, for how long, and within how much memory.
 */
import { assert, constantFrom, integer, property, tuple, array } from "fast-check";
import { expect, test } from "vitest";

import {
  ALLOWED_FAILURES,
  FailedAttempts,
  LOCK_MAX_MS,
  MAX_NETWORKS,
  WINDOW_MS,
} from "../../workers/http/failed-attempts.ts";

const NETWORK = "203.0.113.7";
const T0 = 1_000_000;

function failTimes(attempts: FailedAttempts, times: number, nowMs = T0, network = NETWORK): void {
  for (let n = 0; n < times; n++) attempts.fail(network, nowMs);
}

test("ten within a minute lock their network, and no other", () => {
  const attempts = new FailedAttempts();
  failTimes(attempts, ALLOWED_FAILURES - 1);
  expect(attempts.lockedForMs(NETWORK, T0)).toBe(0);
  attempts.fail(NETWORK, T0 + WINDOW_MS - 1);
  expect(attempts.lockedForMs(NETWORK, T0 + WINDOW_MS - 1)).toBe(1000);
  expect(attempts.lockedForMs("203.0.113.8", T0 + WINDOW_MS - 1)).toBe(0);
});

test("ten over more than a minute lock nobody", () => {
  const attempts = new FailedAttempts();
  for (let n = 0; n < 100; n++) attempts.fail(NETWORK, T0 + n * (WINDOW_MS / (ALLOWED_FAILURES - 1)) + n);
  expect(attempts.lockedForMs(NETWORK, T0 + 100 * WINDOW_MS)).toBe(0);
});

test("each further one doubles the lock, up to a minute", () => {
  const attempts = new FailedAttempts();
  let nowMs = T0;
  failTimes(attempts, ALLOWED_FAILURES, nowMs);
  const locks = [];
  for (let n = 0; n < 9; n++) {
    const lockMs = attempts.lockedForMs(NETWORK, nowMs);
    locks.push(lockMs / 1000);
    nowMs += lockMs;
    expect(attempts.lockedForMs(NETWORK, nowMs - 1)).toBe(1);
    expect(attempts.lockedForMs(NETWORK, nowMs)).toBe(0);
    attempts.fail(NETWORK, nowMs);
  }
  expect(locks).toEqual([1, 2, 4, 8, 16, 32, 60, 60, 60]);
});

test("a minute without one, after the last lock, and all is forgotten", () => {
  const attempts = new FailedAttempts();
  failTimes(attempts, ALLOWED_FAILURES);
  const lockedUntilMs = T0 + 1000;
  attempts.fail(NETWORK, lockedUntilMs + WINDOW_MS - 1);
  expect(attempts.lockedForMs(NETWORK, lockedUntilMs + WINDOW_MS - 1)).toBe(2000);
  const nowMs = lockedUntilMs + WINDOW_MS - 1 + 2000 + WINDOW_MS;
  failTimes(attempts, ALLOWED_FAILURES - 1, nowMs);
  expect(attempts.lockedForMs(NETWORK, nowMs)).toBe(0);
});

test("a lock from elsewhere holds as one of its own, never longer than a minute nor shorter than another", () => {
  const attempts = new FailedAttempts();
  attempts.lock(NETWORK, 10_000, T0);
  expect(attempts.lockedForMs(NETWORK, T0)).toBe(10_000);
  attempts.lock(NETWORK, 1000, T0);
  expect(attempts.lockedForMs(NETWORK, T0)).toBe(10_000);
  attempts.lock(NETWORK, 10 * LOCK_MAX_MS, T0);
  expect(attempts.lockedForMs(NETWORK, T0)).toBe(LOCK_MAX_MS);
});

test("memory is bounded, whoever calls: the network that failed longest ago is forgotten", () => {
  const attempts = new FailedAttempts();
  failTimes(attempts, ALLOWED_FAILURES, T0, "kept");
  failTimes(attempts, ALLOWED_FAILURES, T0, "dropped");
  for (let n = 0; n < 3 * MAX_NETWORKS; n++) {
    attempts.fail(`network-${n}`, T0);
    if (n % 100 === 0) attempts.lock("kept", 1000, T0);
  }
  expect(attempts.size).toBe(MAX_NETWORKS);
  expect(attempts.lockedForMs("kept", T0)).toBeGreaterThan(0);
  expect(attempts.lockedForMs("dropped", T0)).toBe(0);
});

test("however its name goes on, a network is known by its first characters", () => {
  const attempts = new FailedAttempts();
  for (let n = 0; n < 2 * ALLOWED_FAILURES; n++) attempts.fail("x".repeat(10_000) + String(n), T0);
  expect(attempts.size).toBe(1);
});

test("whatever the times, no more than ten and one a lock get through in any minute", () => {
  const steps = array(tuple(integer({ min: 0, max: 5000 }), constantFrom("a", "b")), { maxLength: 300 });
  assert(
    property(steps, (calls) => {
      const attempts = new FailedAttempts();
      const judged: { network: string; nowMs: number }[] = [];
      let nowMs = T0;
      for (const [waitMs, network] of calls) {
        nowMs += waitMs;
        const lockedMs = attempts.lockedForMs(network, nowMs);
        expect(lockedMs).toBeLessThanOrEqual(LOCK_MAX_MS);
        if (lockedMs > 0) continue;
        attempts.fail(network, nowMs);
        judged.push({ network, nowMs });
      }
      for (const { network, nowMs: from } of judged) {
        const within = judged.filter(
          (one) => one.network === network && one.nowMs >= from && one.nowMs < from + WINDOW_MS,
        );
        // Locks of 1, 2, 4, 8, 16 s leave room for six more.
        expect(within.length).toBeLessThanOrEqual(ALLOWED_FAILURES + 6);
      }
    }),
    { seed: 5, numRuns: 200 },
  );
});
