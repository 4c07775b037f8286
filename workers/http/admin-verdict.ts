/**
 * What checking one credential of an operator comes to.
 */
export type CredentialVerdict =
  | {
      readonly ok: true;
      readonly actor: string;
      /** `null`: as long as it is configured. */
      readonly expiresAtMs: number | null;
    }
  | { readonly ok: false; readonly reason: RefusalReason };

/** `forged`: it never was right. `stale`: it was once. `unavailable`: nobody can say just now. */
type RefusalReason = "forged" | "stale" | "unavailable";
