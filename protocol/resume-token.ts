/**
 * Resume tokens: JWT (RFC 7519), HS256, signed by one key of a ring and verified by any.
 *
 * A token is a capability: whoever holds it may read on, so it is bound to one stream, tenant and
 * route and lives only `SSE_RESUME_TTL_SEC`. Rotation: the new secret signs, the previous one still
 * verifies, so that no reader loses its stream on the day of the change.
 */
import { errors, jwtVerify, SignJWT } from "jose";

import { formatEventId, parseEventId, type EventId } from "./event-id.ts";
import type { SpillwayError } from "./errors.ts";

const AUDIENCE = "spillway-resume";

export interface VerifiedClaims extends ResumeClaims {
  /** To the second: all that a JWT's `iat` says. */
  readonly issuedAtSec: number;
}

export interface ResumeClaims {
  readonly requestId: string;
  readonly route: string;
  readonly tenant: string;
  /** Where a reader goes on that holds this token and no Last-Event-ID. */
  readonly position: EventId;
  /** When the stream began: ids of idempotent starts may have several lives, one after the other. */
  readonly startedAtMs?: number | undefined;
}

interface RingKey {
  readonly kid: string;
  readonly key: CryptoKey;
}

/** `keys[0]` signs; all verify. */
export interface KeyRing {
  readonly keys: readonly [RingKey, ...RingKey[]];
}

export interface IssuedToken {
  readonly token: string;
  readonly issuedAtMs: number;
  readonly expiresAtMs: number;
}

const textEncoder = new TextEncoder();

/** Imports the secrets once; keep the ring, not the secrets. */
export async function createKeyRing(secret: string, previousSecret?: string): Promise<KeyRing> {
  const first = await importKey(secret);
  return previousSecret === undefined || previousSecret === secret
    ? { keys: [first] }
    : { keys: [first, await importKey(previousSecret)] };
}

async function importKey(secret: string): Promise<RingKey> {
  const bytes = textEncoder.encode(secret);
  const key = await crypto.subtle.importKey("raw", bytes, { name: "HMAC", hash: "SHA-256" }, false, ["sign", "verify"]);
  // A fingerprint, so that a token names its key without anybody numbering keys by hand.
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", textEncoder.encode(`spillway-kid:${secret}`)));
  const kid = Array.from(digest.subarray(0, 4), (byte) => byte.toString(16).padStart(2, "0")).join("");
  return { kid, key };
}

export async function issueToken(
  ring: KeyRing,
  claims: ResumeClaims,
  life: { nowMs: number; ttlMs: number },
): Promise<IssuedToken> {
  const issuedAtSec = Math.floor(life.nowMs / 1000);
  const expiresAtSec = Math.floor((life.nowMs + life.ttlMs) / 1000);
  const [signer] = ring.keys;
  const { route, tenant, position, startedAtMs } = claims;
  const token = await new SignJWT({ rte: route, tnt: tenant, seq: formatEventId(position), beg: startedAtMs })
    .setProtectedHeader({ alg: "HS256", typ: "JWT", kid: signer.kid })
    .setAudience(AUDIENCE)
    .setSubject(claims.requestId)
    .setIssuedAt(issuedAtSec)
    .setExpirationTime(expiresAtSec)
    .sign(signer.key);
  return { token, issuedAtMs: life.nowMs, expiresAtMs: expiresAtSec * 1000 };
}

export type TokenVerdict =
  | { readonly ok: true; readonly claims: VerifiedClaims }
  | { readonly ok: false; readonly error: SpillwayError };

/**
 * Checks signature, audience, life and claims; says nothing about whether the stream exists.
 * An expired token is told apart only once its signature holds.
 */
export async function verifyToken(ring: KeyRing, token: string, nowMs: number): Promise<TokenVerdict> {
  try {
    const { payload } = await jwtVerify(token, (header) => keyFor(ring, header.kid), {
      algorithms: ["HS256"],
      audience: AUDIENCE,
      currentDate: new Date(nowMs),
      requiredClaims: ["sub", "iat", "exp"],
    });
    const claims = readClaims(payload);
    return claims === undefined ? rejected("bad_claims") : { ok: true, claims };
  } catch (error) {
    return classify(error);
  }
}

class UnknownKeyError extends Error {}

function keyFor(ring: KeyRing, kid: string | undefined): CryptoKey {
  const found = ring.keys.find((candidate) => candidate.kid === kid);
  if (found === undefined) throw new UnknownKeyError();
  return found.key;
}

function readClaims(payload: Record<string, unknown>): VerifiedClaims | undefined {
  const { sub, rte, tnt, seq, iat, beg } = payload;
  if (typeof iat !== "number") return undefined;
  if (beg !== undefined && typeof beg !== "number") return undefined;
  if (typeof sub !== "string" || typeof rte !== "string" || typeof tnt !== "string" || typeof seq !== "string") {
    return undefined;
  }
  const position = parseEventId(seq);
  if (position === undefined) return undefined;
  return { requestId: sub, route: rte, tenant: tnt, position, issuedAtSec: iat, startedAtMs: beg };
}

function rejected(reason: (SpillwayError & { code: "token_invalid" })["reason"]): TokenVerdict {
  return { ok: false, error: { code: "token_invalid", reason } };
}

function classify(error: unknown): TokenVerdict {
  if (error instanceof errors.JWTExpired) return { ok: false, error: { code: "token_expired" } };
  if (error instanceof UnknownKeyError) return rejected("unknown_key");
  if (error instanceof errors.JWSSignatureVerificationFailed) return rejected("bad_signature");
  if (error instanceof errors.JWTClaimValidationFailed) {
    return rejected(error.claim === "aud" ? "wrong_audience" : "bad_claims");
  }
  if (error instanceof errors.JOSEError) return rejected("malformed");
  throw error;
}

/** A compact JWS by its looks: three base64url parts. Tells a resume token from a client key. */
export function looksLikeToken(text: string): boolean {
  return /^[\w-]+\.[\w-]+\.[\w-]+$/.test(text);
}
