/**
 * Walks a rotation from where it is to its end: sets, checks against the running service, remembers, goes on.
 *
 * Everything outside is given: store, state, probes, clock. Order of each step: remember, set, confirm, remember; a
 * run that ends at any point can be run again (plan.ts, P3).
 */
import { confirm, findingOf, type ConfirmOptions, type Finding, type RoundProgress } from "./confirming-step.ts";
import {
  changesOf,
  expectationsOf,
  firstStepBack,
  nextStep,
  rolesOf,
  settlesFirst,
  waitsForTokens,
  type Expectation,
} from "./plan.ts";
import type { Verdict } from "./probe.ts";
import type { SecretStore } from "./secret-store.ts";
import type { RotationState } from "./state-file.ts";

export interface RotationPorts {
  readonly store: SecretStore;
  readonly save: (state: RotationState) => void;
  readonly forget: () => void;
  /** Asks the service about a token of this secret. */
  readonly probe: (secret: string) => Promise<Verdict>;
  /** Asks whether the service signs by this secret; `undefined` where it cannot be asked. */
  readonly checkSigner: ((secret: string) => Promise<Finding>) | undefined;
  /** A secret that nobody has, for the probe that must be refused. */
  readonly strangeSecret: string;
  readonly nowMs: () => number;
  readonly wait: (ms: number) => Promise<void>;
  readonly tell: (event: RotationEvent) => void;
}

export interface RotationOptions {
  readonly confirming: ConfirmOptions;
  /** Whether a run stays until the last tokens are over. */
  readonly waits: boolean;
}

export type RotationEvent =
  | { readonly kind: "setting"; readonly state: RotationState }
  | ({ readonly kind: "round"; readonly state: RotationState } & RoundProgress)
  | { readonly kind: "confirmed"; readonly state: RotationState }
  | { readonly kind: "waiting"; readonly state: RotationState; readonly leftMs: number };

export type RotationOutcome =
  | { readonly kind: "done"; readonly state: RotationState }
  /** The last step is due then; until then nothing is to be done. */
  | { readonly kind: "waiting"; readonly state: RotationState; readonly untilMs: number }
  | { readonly kind: "unconfirmed"; readonly state: RotationState; readonly why: string };

const TELL_WAIT_EVERY_MS = 1_000;

export async function walk(
  begun: RotationState,
  options: RotationOptions,
  ports: RotationPorts,
): Promise<RotationOutcome> {
  let state = begun;
  if (state.confirmedAt !== undefined) {
    // Somebody may have changed something since.
    const still = await confirmStep(state, options, ports);
    if (!still.ok) return { kind: "unconfirmed", state, why: still.why };
  }
  for (;;) {
    if (state.confirmedAt === undefined) {
      ports.save(state);
      ports.tell({ kind: "setting", state });
      await ports.store.apply(changesOf(state.step, state.secrets));
      if (settlesFirst(state.step)) await waitUntil(ports.nowMs() + state.marginSec * 1000, state, ports);
      const confirmation = await confirmStep(state, options, ports);
      if (!confirmation.ok) return { kind: "unconfirmed", state, why: confirmation.why };
      state = { ...state, confirmedAt: new Date(ports.nowMs()).toISOString() };
      ports.save(state);
      ports.tell({ kind: "confirmed", state });
    }
    const step = nextStep(state.step, state.direction);
    if (step === undefined) {
      ports.forget();
      return { kind: "done", state };
    }
    if (waitsForTokens(step, state.step)) {
      const untilMs = lastTokenOverMs(state);
      if (ports.nowMs() < untilMs && !options.waits) return { kind: "waiting", state, untilMs };
      await waitUntil(untilMs, state, ports);
    }
    state = { ...state, previousStep: state.step, step, confirmedAt: undefined };
  }
}

/** The same rotation on its way back; `undefined` where there is none. */
export function turnBack(state: RotationState): RotationState | undefined {
  if (state.direction === "back") return state;
  const step = firstStepBack(state.step);
  if (step === undefined) return undefined;
  return { ...state, direction: "back", step, previousStep: state.step, confirmedAt: undefined };
}

/** When no token lives any more that was signed before the present step was confirmed. */
export function lastTokenOverMs({ confirmedAt, tokenLifeSec, marginSec }: RotationState): number {
  return Date.parse(confirmedAt ?? "") + (tokenLifeSec + marginSec) * 1000;
}

/** Before anything is changed: does the service verify, and sign, by what the store says? */
export function confirmPresent(
  secret: string,
  { confirming }: RotationOptions,
  ports: Omit<RotationPorts, "store" | "save" | "forget" | "tell">,
) {
  const expectations: readonly Expectation[] = [
    { part: "old", isVerified: true },
    { part: "neither", isVerified: false },
  ];
  const secretOf = { old: secret, new: secret, neither: ports.strangeSecret };
  const { nowMs, wait } = ports;
  return confirm(checksOf(expectations, secretOf, secret, ports), confirming, {
    nowMs,
    wait,
    tell: () => undefined,
    remind: () => undefined,
  });
}

function confirmStep(state: RotationState, { confirming }: RotationOptions, ports: RotationPorts) {
  const { oldSecret, newSecret } = state.secrets;
  const secretOf = { old: oldSecret, new: newSecret, neither: ports.strangeSecret };
  const checks = checksOf(expectationsOf(state.step), secretOf, secretOf[rolesOf(state.step).signer], ports);
  const { nowMs, wait } = ports;
  return confirm(checks, confirming, {
    nowMs,
    wait,
    tell: (progress) => ports.tell({ kind: "round", state, ...progress }),
    remind: () => ports.store.remind(),
  });
}

function checksOf(
  expectations: readonly Expectation[],
  secretOf: Readonly<Record<Expectation["part"], string>>,
  signingSecret: string,
  { probe, checkSigner }: Pick<RotationPorts, "probe" | "checkSigner">,
): (() => Promise<Finding>)[] {
  const probes = expectations.map(
    (expectation) => async () => findingOf(expectation, await probe(secretOf[expectation.part])),
  );
  return checkSigner === undefined ? probes : [...probes, () => checkSigner(signingSecret)];
}

async function waitUntil(untilMs: number, state: RotationState, { nowMs, wait, tell }: RotationPorts): Promise<void> {
  for (let leftMs = untilMs - nowMs(); leftMs > 0; leftMs = untilMs - nowMs()) {
    tell({ kind: "waiting", state, leftMs });
    await wait(Math.min(leftMs, TELL_WAIT_EVERY_MS));
  }
}
