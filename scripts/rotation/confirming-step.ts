/**
 * Waits until the whole service is seen to have a step's secrets: several rounds of checks in a row must
 * agree, since isolates change over one by one. Bounded.
 */
import type { Expectation } from "./plan.ts";
import type { Verdict } from "./probe.ts";

export interface ConfirmOptions {
  /** Rounds in a row. */
  readonly rounds: number;
  readonly timeoutMs: number;
  readonly intervalMs: number;
}

/** Longer than a restart takes: each of these may cause another. */
const REMIND_EVERY_MS = 6_000;

/** What one check found: nothing wrong, or what. Some faults no waiting mends. */
export type Finding = { readonly ok: true } | { readonly ok: false; readonly why: string; readonly isFinal: boolean };

export interface Confirming {
  readonly nowMs: () => number;
  readonly wait: (ms: number) => Promise<void>;
  readonly tell: (progress: RoundProgress) => void;
  /** Called now and then while the checks do not agree. */
  readonly remind: () => void;
}

export interface RoundProgress {
  readonly agreed: number;
  readonly of: number;
  readonly lastFault: string | undefined;
}

export type Confirmation = { readonly ok: true } | { readonly ok: false; readonly why: string };

export async function confirm(
  checks: readonly (() => Promise<Finding>)[],
  { rounds, timeoutMs, intervalMs }: ConfirmOptions,
  { nowMs, wait, tell, remind }: Confirming,
): Promise<Confirmation> {
  const deadlineMs = nowMs() + timeoutMs;
  let remindedMs = nowMs();
  let agreed = 0;
  let lastWhy = "";
  for (;;) {
    const findings = await Promise.all(checks.map((check) => check()));
    const faults = findings.filter((finding) => !finding.ok);
    const final = faults.find(({ isFinal }) => isFinal);
    if (final !== undefined) return { ok: false, why: final.why };
    const [fault] = faults;
    agreed = fault === undefined ? agreed + 1 : 0;
    lastWhy = fault?.why ?? lastWhy;
    tell({ agreed, of: rounds, lastFault: fault?.why });
    if (agreed >= rounds) return { ok: true };
    if (nowMs() >= deadlineMs) return { ok: false, why: lastWhy };
    if (fault !== undefined && nowMs() - remindedMs >= REMIND_EVERY_MS) {
      remindedMs = nowMs();
      remind();
    }
    await wait(intervalMs);
  }
}

const NAMES = { old: "the old secret", new: "the new secret", neither: "a secret that nobody has" } as const;

/** What an answer to a probe means for what was expected. Pure. */
export function findingOf({ part, isVerified }: Expectation, verdict: Verdict): Finding {
  switch (verdict.kind) {
    case "verified":
      return isVerified ? { ok: true } : fault(`a token of ${NAMES[part]} is still accepted somewhere`);
    case "refused":
      return isVerified ? fault(`a token of ${NAMES[part]} is refused somewhere`) : { ok: true };
    case "unknown":
      return fault(verdict.why);
    case "wrong_place":
      return { ok: false, why: verdict.why, isFinal: true };
  }
}

function fault(why: string): Finding {
  return { ok: false, why, isFinal: false };
}
