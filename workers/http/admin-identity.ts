/**
 * Which operator a request comes from: by a token, a session of the page, or Cloudflare Access.
 *
 * 1. A bearer token that is sent counts alone; what a browser adds by itself is looked at only without one.
 * 2. What never was right counts against its network ({@link FailedAttempts}). A caller without any credential,
 *    or with one that was right once, guesses nothing and is not counted: a page left open locks nobody out.
 * 3. While a network is locked no token of it is taken, not even a right one: an answer would tell which is.
 *    Sessions and assertions cannot be guessed, and go on.
 * 4. Between looking at a lock and counting nothing is awaited: calls at once are counted like calls in turn.
 */
import type { SpillwayError } from "../../protocol/errors.ts";
import type { Config } from "../config.ts";
import { bearerOf } from "../tenant-keys.ts";
import { ACCESS_HEADER, createAccessCheck, type AccessCheck } from "./access-jwt.ts";
import { AdminSessions, sessionOf } from "./admin-session.ts";
import { AdminTokens } from "./admin-tokens.ts";
import type { CredentialVerdict } from "./admin-verdict.ts";
import { addressOf, networkOf } from "./client-network.ts";
import { FailedAttempts } from "./failed-attempts.ts";
import type { RateGate } from "./rate-limit.ts";

const UNAVAILABLE_RETRY_SEC = 5;

export interface AdminIdentity {
  readonly actor: string;
  readonly via: "token" | "session" | "access";
  /** When a session or an assertion ends; a token does not. */
  readonly expiresAtMs: number | null;
}

export type Identification =
  | { readonly ok: true; readonly identity: AdminIdentity }
  | {
      readonly ok: false;
      readonly error: SpillwayError & { code: "unauthorized" | "rate_limited" | "identity_unavailable" };
      /** Whether nothing was sent that could have been right. */
      readonly isMissing: boolean;
    };

export interface DoorServices {
  readonly config: Config;
  readonly rateGate: RateGate;
  readonly clock: () => number;
  readonly fetch: typeof fetch;
}

/** One per isolate and configuration: it knows who has failed. */
export class AdminDoor {
  readonly sessions: AdminSessions;
  private readonly services: DoorServices;
  private readonly tokens: AdminTokens;
  private readonly checkAccess: AccessCheck | undefined;
  private readonly attempts = new FailedAttempts();

  constructor(services: DoorServices) {
    const { config, clock } = services;
    this.services = services;
    this.tokens = new AdminTokens(config.actorByAdminToken);
    this.sessions = new AdminSessions(config.actorByAdminToken, clock);
    this.checkAccess = config.access === undefined ? undefined : createAccessCheck(config.access, services);
  }

  /** The tokens of operators and more: what opens one action besides. */
  tokensAnd(extra: ReadonlyMap<string, string>): AdminTokens {
    return new AdminTokens(new Map([...extra, ...this.services.config.actorByAdminToken]));
  }

  async identify(request: Request, accepted: Accepted = {}): Promise<Identification> {
    const bearer = bearerOf(request.headers.get("authorization") ?? undefined);
    // Also without one: what a lookup costs must not depend on what was sent.
    const owner = await (accepted.tokens ?? this.tokens).find(bearer);
    if (bearer !== undefined) {
      const lockedForMs = this.lockedForMs(request);
      if (lockedForMs > 0) return refusal(rateLimited(lockedForMs));
      if (owner === undefined) return this.refuseGuess(request);
      return { ok: true, identity: { actor: owner.actor, via: "token", expiresAtMs: null } };
    }
    return accepted.onlyTokens === true ? refusal(UNAUTHORIZED, true) : this.identifyBrowser(request);
  }

  /** By what a browser sends without being asked. */
  private async identifyBrowser(request: Request): Promise<Identification> {
    const session = sessionOf(request);
    const assertion = request.headers.get(ACCESS_HEADER) ?? undefined;
    const verdicts: CredentialVerdict[] = [];
    if (session !== undefined) {
      const verdict = await this.sessions.verify(session);
      if (verdict.ok) return identified(verdict, "session");
      verdicts.push(verdict);
    }
    if (assertion !== undefined && this.checkAccess !== undefined) {
      const verdict = await this.checkAccess(assertion);
      if (verdict.ok) return identified(verdict, "access");
      verdicts.push(verdict);
    }
    const is = (reason: string) => verdicts.some((verdict) => !verdict.ok && verdict.reason === reason);
    if (is("forged")) return this.refuseGuess(request);
    if (is("unavailable")) return refusal({ code: "identity_unavailable", retryAfterSec: UNAVAILABLE_RETRY_SEC });
    return refusal(UNAUTHORIZED, verdicts.length === 0);
  }

  /** Counts it, here and where all isolates count. */
  private async refuseGuess(request: Request): Promise<Identification> {
    const lockedForMs = this.lockedForMs(request);
    if (lockedForMs > 0) return refusal(rateLimited(lockedForMs));
    this.attempts.fail(networkOfRequest(request), this.services.clock());
    const limit = await this.services.rateGate.check("admin", request);
    if (limit?.code !== "rate_limited") return refusal(UNAUTHORIZED);
    this.attempts.lock(networkOfRequest(request), limit.retryAfterSec * 1000, this.services.clock());
    return refusal(limit);
  }

  private lockedForMs(request: Request): number {
    return this.attempts.lockedForMs(networkOfRequest(request), this.services.clock());
  }
}

/** What opens an action, where it is not all that opens the others. */
interface Accepted {
  readonly tokens?: AdminTokens | undefined;
  readonly onlyTokens?: boolean | undefined;
}

const UNAUTHORIZED = { code: "unauthorized", credential: "admin token" } as const;

type RefusalError = (Identification & { ok: false })["error"];

function refusal(error: RefusalError, isMissing = false): Identification {
  return { ok: false, error, isMissing };
}

function identified(
  { actor, expiresAtMs }: CredentialVerdict & { ok: true },
  via: "session" | "access",
): Identification {
  return { ok: true, identity: { actor, via, expiresAtMs } };
}

function rateLimited(lockedForMs: number): RefusalError {
  return { code: "rate_limited", budget: "admin", retryAfterSec: Math.ceil(lockedForMs / 1000) };
}

function networkOfRequest(request: Request): string {
  return networkOf(addressOf(request) ?? "");
}
