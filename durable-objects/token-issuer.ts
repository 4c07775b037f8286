/**
 * Issues resume tokens for a stream object, by the Worker's own secrets.
 */
import type { EventId } from "../protocol/event-id.ts";
import { createKeyRing, issueToken, type IssuedToken, type KeyRing } from "../protocol/resume-token.ts";
import type { StreamSession } from "./stream/stream-session.ts";

/** The same ring as the Worker's, which verifies what is issued here. */
export interface StreamSecrets {
  readonly SSE_RESUME_SECRET?: string;
  readonly HMAC_SECRET?: string;
  readonly SSE_RESUME_SECRET_PREVIOUS?: string;
}

export class TokenIssuer {
  private readonly secrets: StreamSecrets;
  /** Imported once per object: importing a key costs more than using it. */
  private ring: Promise<KeyRing> | undefined;

  constructor(secrets: StreamSecrets) {
    this.secrets = secrets;
  }

  /** A token for this stream that goes on after `position`. */
  async issue(
    session: Pick<StreamSession, "identity" | "settings" | "startedAtMs">,
    position: EventId,
  ): Promise<IssuedToken> {
    this.ring ??= importRing(this.secrets);
    const { requestId, route, tenant } = session.identity;
    const life = { nowMs: Date.now(), ttlMs: session.settings.resumeTtlMs };
    const { startedAtMs } = session;
    return issueToken(await this.ring, { requestId, route, tenant, position, startedAtMs }, life);
  }
}

async function importRing(secrets: StreamSecrets): Promise<KeyRing> {
  // As in the Worker's configuration, an empty secret is none.
  const secret = secrets.SSE_RESUME_SECRET || secrets.HMAC_SECRET;
  if (!secret) throw new Error("the Worker admits no request without a resume secret");
  return createKeyRing(secret, secrets.SSE_RESUME_SECRET_PREVIOUS || undefined);
}
