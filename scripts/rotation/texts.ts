/**
 * What a rotation says about itself: plan, status, outcome. Names of variables and fingerprints, no secrets. No I/O.
 */
import { duration } from "../cli/units.ts";
import { changesOf, expectationsOf, nextStep, rolesOf, waitsForTokens, type Part, type Step } from "./plan.ts";
import { lastTokenOverMs } from "./rotation.ts";
import type { RotationState } from "./state-file.ts";

export interface Fingerprints {
  readonly old: string;
  readonly new: string;
}

const MEANING: Readonly<Record<Step, string>> = {
  add: "the new secret verifies everywhere, before it signs anywhere",
  promote: "the new secret signs, the old one still verifies",
  retire: "the old secret is dropped, now that none of its tokens lives",
  replace: "the new secret signs, and the old one verifies no longer: its tokens are dead",
  restore: "the old secret verifies again everywhere, before it signs anywhere",
  roll_back: "the old secret signs, the new one still verifies",
  withdraw: "the new secret is dropped, now that none of its tokens lives",
};

export function stepTitle({ step }: Pick<RotationState, "step">): string {
  return `${step}: ${MEANING[step]}`;
}

/** Every step from the present one on. */
export function planText(state: RotationState, kids: Fingerprints): string {
  const lines = [
    `Rotation of ${state.target} at ${state.origin}; old secret ${kids.old}, new secret ${kids.new}`,
    `Tokens live ${duration(state.tokenLifeSec * 1000)}; margin ${duration(state.marginSec * 1000)}`,
  ];
  let before: Step | undefined;
  for (let step: Step | undefined = state.step; step !== undefined; step = nextStep(step, state.direction)) {
    if (waitsForTokens(step, before)) {
      lines.push("", `wait ${duration((state.tokenLifeSec + state.marginSec) * 1000)}: the last tokens end`);
    }
    lines.push("", stepTitle({ step }), ...settingLines(step, state, kids), ...checkLines(step));
    before = step;
  }
  return lines.join("\n");
}

function settingLines(step: Step, { secrets }: RotationState, kids: Fingerprints): string[] {
  return Object.entries(changesOf(step, secrets)).map(([name, value]) => {
    if (value === null) return `  delete  ${name}`;
    return `  set     ${name} = ${value === secrets.oldSecret ? `old (${kids.old})` : `new (${kids.new})`}`;
  });
}

function checkLines(step: Step): string[] {
  const names: Readonly<Record<Part | "neither", string>> = { old: "old", new: "new", neither: "unknown" };
  return expectationsOf(step).map(
    ({ part, isVerified }) =>
      `  check   tokens of the ${names[part]} secret are ${isVerified ? "accepted" : "refused"}`,
  );
}

export interface StatusReport {
  readonly under_way: boolean;
  readonly target?: string;
  readonly url?: string;
  readonly step?: Step;
  readonly direction?: "forward" | "back";
  readonly confirmed_at?: string | null;
  readonly next?: Step | null;
  /** When the next step is due. */
  readonly due_at?: string | null;
  readonly signs?: string;
  readonly verifies?: string | null;
  readonly started_at?: string;
}

export function statusOf(state: RotationState | undefined, kids: Fingerprints | undefined): StatusReport {
  if (state === undefined || kids === undefined) return { under_way: false };
  const next = nextStep(state.step, state.direction);
  const isTimed = next !== undefined && state.confirmedAt !== undefined && waitsForTokens(next, state.step);
  const { signer, verifier } = rolesOf(state.step);
  return {
    under_way: true,
    target: state.target,
    url: state.origin,
    step: state.step,
    direction: state.direction,
    confirmed_at: state.confirmedAt ?? null,
    next: next ?? null,
    due_at: isTimed ? new Date(lastTokenOverMs(state)).toISOString() : null,
    signs: kids[signer],
    verifies: verifier === undefined ? null : kids[verifier],
    started_at: state.startedAt,
  };
}

export function statusText(report: StatusReport): string {
  if (!report.under_way || report.step === undefined) return "No rotation is under way.";
  const { step, confirmed_at: at, due_at: due, next } = report;
  return [
    `A rotation of ${report.target} (${report.url}) is under way since ${report.started_at}.`,
    `${stepTitle({ step })}; ${at === null ? "not confirmed yet" : `confirmed ${at}`}.`,
    `Signs: ${report.signs}. Verifies too: ${report.verifies ?? "none"}.`,
    next === null ? "" : `Next: ${next}${due === null ? "" : `, from ${due} on`}.`,
  ]
    .filter(Boolean)
    .join("\n");
}
