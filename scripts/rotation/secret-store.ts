/**
 * Where a service's secrets are kept. Two kinds: `.dev.vars` of a local run, and Cloudflare.
 */
import type { SecretChanges } from "./plan.ts";

export interface StoredSecrets {
  /** What signs now: SSE_RESUME_SECRET, or HMAC_SECRET where that is not set. `undefined` where nobody has said. */
  readonly signing: string | undefined;
  /** Names that are set to something. */
  readonly names: ReadonlySet<string>;
}

export interface SecretStore {
  /** Where that is, for people. */
  readonly place: string;
  /** @throws a failure where they cannot be had */
  read(): Promise<StoredSecrets>;
  /** All of them in one change, or none. To do it again is harmless. */
  apply(changes: SecretChanges): Promise<void>;
  /** Asks the service once more to take them up, where it may not have noticed. */
  remind(): void;
  /** What an operator is to do where the service does not take them up. */
  readonly adviceIfUnseen: string;
}
