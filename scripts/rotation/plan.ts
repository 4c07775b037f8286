/**
 * The steps of a rotation: what is set at each, what must then verify, and which comes next. No I/O.
 *
 * P1  No secret signs before every isolate verifies it: `add` is confirmed before `promote` begins.
 * P2  No secret stops verifying while a token of it may live: the last step waits for a token life.
 * P3  Doing a step twice is the same as doing it once.
 */

export const STEPS = ["add", "promote", "retire", "replace", "restore", "roll_back", "withdraw"] as const;
export type Step = (typeof STEPS)[number];
export type Direction = "forward" | "back";

/** Both secrets of a rotation, by their part in it. */
export type Part = "old" | "new";

export interface KeyRoles {
  readonly signer: Part;
  readonly verifier: Part | undefined;
}

/** Which secret signs, and which only verifies, once a step is done. */
export function rolesOf(step: Step): KeyRoles {
  switch (step) {
    case "add":
      return { signer: "old", verifier: "new" };
    case "promote":
    case "restore":
      return { signer: "new", verifier: "old" };
    case "retire":
    case "replace":
      return { signer: "new", verifier: undefined };
    case "roll_back":
      return { signer: "old", verifier: "new" };
    case "withdraw":
      return { signer: "old", verifier: undefined };
  }
}

/** What comes after a confirmed step; `undefined`: the rotation is over. */
export function nextStep(step: Step, direction: Direction): Step | undefined {
  if (direction === "back") return backStep(step);
  if (step === "add") return "promote";
  return step === "promote" ? "retire" : undefined;
}

/** From wherever a rotation is back to the old signer: the first step that is not on the way already. */
export function firstStepBack(step: Step): Step | undefined {
  switch (step) {
    case "add":
      // The new secret never signed: nothing waits for it.
      return "withdraw";
    case "promote":
      return "roll_back";
    case "retire":
      // The old secret may verify nowhere any more: first it must again, then it may sign.
      return "restore";
    case "restore":
    case "roll_back":
    case "withdraw":
      return step;
    case "replace":
      // The old secret has leaked: nobody goes back to it.
      return undefined;
  }
}

function backStep(step: Step): Step | undefined {
  if (step === "restore") return "roll_back";
  return step === "roll_back" ? "withdraw" : undefined;
}

/** Whether a step takes a secret away whose tokens may live on. */
export function waitsForTokens(step: Step, before: Step | undefined): boolean {
  return (step === "retire" && before === "promote") || (step === "withdraw" && before === "roll_back");
}

/**
 * Whether checks count only after the margin: the step before, given up half-way, may still be arriving somewhere,
 * and what is seen there now be what was before it.
 */
export function settlesFirst(step: Step): boolean {
  return step === "restore";
}

export interface Expectation {
  readonly part: Part | "neither";
  readonly isVerified: boolean;
}

/** What tokens of each secret, and of one that nobody has, must be answered before the next step may begin. */
export function expectationsOf(step: Step): readonly Expectation[] {
  const { signer, verifier } = rolesOf(step);
  const isKnown = (part: Part) => part === signer || part === verifier;
  return [
    { part: "old", isVerified: isKnown("old") },
    { part: "new", isVerified: isKnown("new") },
    // A service that accepts anything, or a proxy that answers for it, would confirm everything.
    { part: "neither", isVerified: false },
  ];
}

export interface RotationSecrets {
  readonly oldSecret: string;
  readonly newSecret: string;
  /** Where SSE_RESUME_SECRET was not set, HMAC_SECRET signed. */
  readonly isOldFallback: boolean;
  /** Where HMAC_SECRET was not set, the old secret also derives stream ids, and has to go on doing so. */
  readonly pinsIdempotency: boolean;
}

/** `null` takes a variable away. */
export type SecretChanges = Readonly<Record<string, string | null>>;

export function changesOf(step: Step, secrets: RotationSecrets): SecretChanges {
  const { oldSecret, newSecret, isOldFallback, pinsIdempotency } = secrets;
  const { signer, verifier } = rolesOf(step);
  const valueOf = (part: Part) => (part === "old" ? oldSecret : newSecret);
  return {
    SSE_RESUME_SECRET: signer === "old" && isOldFallback ? null : valueOf(signer),
    SSE_RESUME_SECRET_PREVIOUS: verifier === undefined ? null : valueOf(verifier),
    // Retried starts find their streams by it (PROTOCOL.md): it stays when the resume secret goes.
    ...(pinsIdempotency ? { HMAC_SECRET: oldSecret } : {}),
  };
}
