/**
 * Rotation of the resume secret over a fleet of isolates: no token dies of a gradual one, whatever ends it and
 * wherever it goes on, and a service that does not follow is noticed before it matters.
 */
import { expect, test } from "vitest";

import { changesOf, firstStepBack, nextStep, rolesOf, STEPS, waitsForTokens } from "../../scripts/rotation/plan.ts";
import { verdictOf } from "../../scripts/rotation/probe.ts";
import { confirmPresent, turnBack, walk, type RotationOutcome } from "../../scripts/rotation/rotation.ts";
import type { RotationState } from "../../scripts/rotation/state-file.ts";
import { planText, statusOf, statusText } from "../../scripts/rotation/texts.ts";
import { Fleet, Killed, type FleetOptions } from "../fixtures/rotating-fleet.ts";

const LIFE_SEC = 20;
const MARGIN_SEC = 5;
const OPTIONS = { waits: true, confirming: { rounds: 5, timeoutMs: 20_000, intervalMs: 250 } };

function fleet(options: Partial<FleetOptions> = {}): Fleet {
  return new Fleet({
    secrets: { SSE_RESUME_SECRET: "old", HMAC_SECRET: "ids" },
    delaysMs: [0, 700, 3000],
    tokenLifeMs: LIFE_SEC * 1000,
    tellsSigner: true,
    ...options,
  });
}

function begun(changes: Partial<RotationState> = {}): RotationState {
  return {
    version: 1,
    target: "local",
    origin: "http://127.0.0.1:8787",
    route: "demo",
    tokenLifeSec: LIFE_SEC,
    marginSec: MARGIN_SEC,
    secrets: { oldSecret: "old", newSecret: "new", isOldFallback: false, pinsIdempotency: false },
    direction: "forward",
    step: "add",
    startedAt: "2026-11-21T00:00:00.000Z",
    ...changes,
  };
}

/** Runs until it is killed or ends. */
async function run(under: Fleet, state: RotationState): Promise<RotationOutcome | "killed"> {
  try {
    return await walk(state, OPTIONS, under.ports());
  } catch (error) {
    if (error instanceof Killed) return "killed";
    throw error;
  }
}

/** How many calls an undisturbed rotation makes. */
async function callsOf(tellsSigner: boolean): Promise<number> {
  const under = fleet({ tellsSigner });
  await run(under, begun());
  return under.calls;
}

test.each([true, false])(
  "a gradual rotation goes through, and no token dies of it (signer told: %s)",
  async (tellsSigner) => {
    const under = fleet({ tellsSigner });
    under.pass(LIFE_SEC * 1000);
    expect(await run(under, begun())).toMatchObject({ kind: "done" });
    under.pass(2 * LIFE_SEC * 1000);
    expect(under.deaths).toBe(0);
    expect([under.issued.get("old"), under.issued.get("new")]).toEqual([expect.any(Number), expect.any(Number)]);
    expect(under.stored).toEqual({ SSE_RESUME_SECRET: "new", HMAC_SECRET: "ids" });
    expect(under.saved).toBeUndefined();
  },
);

test("killed at any moment and run again, it still ends well and no token dies", async () => {
  const calls = await callsOf(true);
  expect(calls).toBeGreaterThan(100);
  for (let killAt = 1; killAt <= calls; killAt++) {
    const under = fleet();
    under.killAt = killAt;
    expect(await run(under, begun()), `killed at ${killAt}`).toBe("killed");
    under.pass(killAt % 2 === 0 ? 400 : 30_000);
    // Nothing remembered: nothing was done yet, or all of it.
    const wasOver = under.saved === undefined && under.stored["SSE_RESUME_SECRET"] === "new";
    const outcome = wasOver ? { kind: "done" } : await run(under, under.saved ?? begun());
    under.pass(2 * LIFE_SEC * 1000);
    expect(outcome, `killed at ${killAt}`).toMatchObject({ kind: "done" });
    expect(under.deaths, `killed at ${killAt}`).toBe(0);
    expect(under.stored).toEqual({ SSE_RESUME_SECRET: "new", HMAC_SECRET: "ids" });
  }
});

test("rolled back from any moment, the old secret signs again and no token dies", async () => {
  const calls = await callsOf(true);
  for (let killAt = 1; killAt <= calls; killAt++) {
    const under = fleet();
    under.killAt = killAt;
    await run(under, begun());
    under.pass(killAt % 2 === 0 ? 400 : 10_000);
    const back = under.saved === undefined ? undefined : turnBack(under.saved);
    // Nothing is under way before the first save, and after the last step.
    if (back === undefined) continue;
    expect(await run(under, back), `killed at ${killAt}`).toMatchObject({ kind: "done" });
    under.pass(2 * LIFE_SEC * 1000);
    expect(under.deaths, `rolled back at ${killAt}`).toBe(0);
    expect(under.stored).toEqual({ SSE_RESUME_SECRET: "old", HMAC_SECRET: "ids" });
  }
});

test("where one isolate never follows, nothing is promoted: the new secret signs nowhere", async () => {
  const under = fleet({ delaysMs: [0, 500, Number.POSITIVE_INFINITY] });
  expect(await run(under, begun())).toMatchObject({
    kind: "unconfirmed",
    why: "a token of the new secret is refused somewhere",
    state: { step: "add" },
  });
  under.pass(LIFE_SEC * 1000);
  expect([under.deaths, under.issued.has("new"), under.saved?.step]).toEqual([0, false, "add"]);
});

test("the wrong order kills tokens: what the checks are for", async () => {
  const under = fleet();
  under.pass(1000);
  under.apply({ SSE_RESUME_SECRET: "new", SSE_RESUME_SECRET_PREVIOUS: "old" });
  under.pass(1000);
  expect(under.deaths).toBeGreaterThan(0);
});

test("a secret that somebody promoted by hand, unknown to the running service, is noticed at the start", async () => {
  const under = fleet({ secrets: { SSE_RESUME_SECRET: "old" } });
  expect(await confirmPresent("old", OPTIONS, under.ports())).toEqual({ ok: true });
  expect(await confirmPresent("by hand", OPTIONS, under.ports())).toMatchObject({ ok: false });
});

test("a service that takes any token is not believed", async () => {
  const ports = { ...fleet().ports(), probe: async () => ({ kind: "verified" }) as const };
  const outcome = await walk(begun(), OPTIONS, ports);
  expect(outcome).toMatchObject({
    kind: "unconfirmed",
    why: "a token of a secret that nobody has is still accepted somewhere",
  });
});

test("what does not answer as the service is not waited for", async () => {
  const under = fleet();
  const ports = { ...under.ports(), probe: async () => ({ kind: "wrong_place", why: "no such route" }) as const };
  const beforeMs = under.nowMs;
  expect(await walk(begun(), OPTIONS, ports)).toMatchObject({ kind: "unconfirmed", why: "no such route" });
  expect(under.nowMs).toBe(beforeMs);
});

test("without waiting, it ends before the last step and goes on when that is due", async () => {
  const under = fleet();
  const first = await walk(begun(), { ...OPTIONS, waits: false }, under.ports());
  expect(first).toMatchObject({ kind: "waiting", state: { step: "promote" } });
  expect(under.saved).toMatchObject({ step: "promote" });
  expect(await walk(under.saved ?? begun(), { ...OPTIONS, waits: false }, under.ports())).toMatchObject({
    kind: "waiting",
  });
  under.pass((LIFE_SEC + MARGIN_SEC) * 1000);
  expect(await walk(under.saved ?? begun(), { ...OPTIONS, waits: false }, under.ports())).toMatchObject({
    kind: "done",
  });
  under.pass(LIFE_SEC * 1000);
  expect(under.deaths).toBe(0);
});

test("where HMAC_SECRET signed, it stays as it is, and rolling back leaves no trace", async () => {
  const secrets = { HMAC_SECRET: "old" };
  const state = begun({ secrets: { oldSecret: "old", newSecret: "new", isOldFallback: true, pinsIdempotency: false } });
  const there = fleet({ secrets });
  expect(await run(there, state)).toMatchObject({ kind: "done" });
  there.pass(LIFE_SEC * 1000);
  expect([there.stored, there.deaths]).toEqual([{ HMAC_SECRET: "old", SSE_RESUME_SECRET: "new" }, 0]);
  const back = fleet({ secrets });
  await walk(state, { ...OPTIONS, waits: false }, back.ports());
  expect(await run(back, turnBack(back.saved ?? state) ?? state)).toMatchObject({ kind: "done" });
  expect([back.stored, back.deaths]).toEqual([secrets, 0]);
});

test("where there was no HMAC_SECRET, the old secret goes on deriving stream ids", async () => {
  const under = fleet({ secrets: { SSE_RESUME_SECRET: "old" } });
  await run(
    under,
    begun({ secrets: { oldSecret: "old", newSecret: "new", isOldFallback: false, pinsIdempotency: true } }),
  );
  expect(under.stored).toEqual({ SSE_RESUME_SECRET: "new", HMAC_SECRET: "old" });
});

test("an immediate rotation takes the old secret's tokens, and there is no way back", async () => {
  const under = fleet({ delaysMs: [0, 100, 200] });
  under.pass(1000);
  expect(await run(under, begun({ step: "replace" }))).toMatchObject({ kind: "done" });
  expect(under.deaths).toBeGreaterThan(0);
  expect(under.stored).toEqual({ SSE_RESUME_SECRET: "new", HMAC_SECRET: "ids" });
  expect(turnBack(begun({ step: "replace" }))).toBeUndefined();
});

test("P1, P2: by the plan no secret signs first where it did not verify, nor is dropped unwaited where it signed", () => {
  for (const direction of ["forward", "back"] as const) {
    for (const step of STEPS) {
      const next = nextStep(step, direction) ?? step;
      const [now, then] = [rolesOf(step), rolesOf(next)];
      expect([now.signer, now.verifier], `${step} to ${next}`).toContain(then.signer);
      expect(waitsForTokens(next, step), `${step} to ${next}`).toBe(next !== step && then.verifier === undefined);
    }
  }
  expect(STEPS.map(firstStepBack)).toEqual([
    "withdraw",
    "roll_back",
    "restore",
    undefined,
    "restore",
    "roll_back",
    "withdraw",
  ]);
});

test("every change names both variables, so that one is never left behind", () => {
  for (const step of STEPS) {
    expect(Object.keys(changesOf(step, begun().secrets))).toEqual(["SSE_RESUME_SECRET", "SSE_RESUME_SECRET_PREVIOUS"]);
  }
});

test.each([
  [401, "token_invalid", "refused"],
  [410, "stream_expired", "verified"],
  [404, "stream_not_found", "verified"],
  [410, "token_expired", "verified"],
  [404, "not_found", "wrong_place"],
  [404, undefined, "wrong_place"],
  [200, undefined, "wrong_place"],
  [401, "unauthorized", "wrong_place"],
  [429, "rate_limited", "unknown"],
  [503, "misconfigured", "unknown"],
  [502, undefined, "unknown"],
])("a probe answered %i %s is %s", (status, code, kind) => {
  expect(verdictOf(status, code).kind).toBe(kind);
});

test("plan and status name secrets by their fingerprints alone", () => {
  const state = begun({
    secrets: { oldSecret: "OLD-VALUE", newSecret: "NEW-VALUE", isOldFallback: true, pinsIdempotency: false },
  });
  const kids = { old: "0a0a0a0a", new: "0b0b0b0b" };
  const confirmed = { ...state, step: "promote", confirmedAt: "2026-11-21T00:00:00.000Z" } as const;
  const shown = [
    planText(state, kids),
    statusText(statusOf(confirmed, kids)),
    JSON.stringify(statusOf(confirmed, kids)),
  ].join();
  expect(shown).toContain("delete  SSE_RESUME_SECRET\n");
  expect(shown).toContain("from 2026-11-21T00:00:25.000Z on");
  expect(shown).not.toMatch(/OLD-VALUE|NEW-VALUE/);
});
