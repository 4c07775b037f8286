/**
 * Cloudflare Access as a way in: its signed assertion of who calls, in `Cf-Access-Jwt-Assertion`.
 *
 * Who of a team may be an operator is the Access application's policy; here it is checked that the assertion is
 * Access's own, for this application, and alive. Keys are fetched when first needed and kept for ten minutes (jose).
 *
 * Source: Cloudflare Zero Trust, "Validate JWTs" and "Application token".
 */
import { createRemoteJWKSet, customFetch, errors, jwtVerify, type JWTVerifyGetKey } from "jose";

import type { AccessSettings } from "../admin-config.ts";
import type { CredentialVerdict } from "./admin-verdict.ts";

export const ACCESS_HEADER = "Cf-Access-Jwt-Assertion";

const KEYS_PATH = "/cdn-cgi/access/certs";
const KEYS_TIMEOUT_MS = 5000;
/** Between the clocks of who issues and who checks. */
const CLOCK_TOLERANCE_SEC = 5;
/** The longest an e-mail address can be (RFC 5321). */
const NAME_MAX_CHARS = 254;

interface AccessDeps {
  readonly fetch: typeof fetch;
  readonly clock: () => number;
}

export type AccessCheck = (assertion: string) => Promise<CredentialVerdict>;

export function createAccessCheck({ teamDomain, audience }: AccessSettings, deps: AccessDeps): AccessCheck {
  const keys = createRemoteJWKSet(new URL(KEYS_PATH, teamDomain), {
    [customFetch]: (url, init) => deps.fetch(url, init),
    timeoutDuration: KEYS_TIMEOUT_MS,
  });
  const keyOf: JWTVerifyGetKey = async (header, token) => {
    try {
      return await keys(header, token);
    } catch (error) {
      if (error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWKSMultipleMatchingKeys) throw error;
      throw new KeysUnavailableError("no keys", { cause: error });
    }
  };
  return async (assertion) => {
    try {
      const { payload } = await jwtVerify(assertion, keyOf, {
        algorithms: ["RS256"],
        issuer: teamDomain,
        audience,
        currentDate: new Date(deps.clock()),
        clockTolerance: CLOCK_TOLERANCE_SEC,
        requiredClaims: ["exp", "iat"],
      });
      const actor = personOf(payload["email"]) ?? programOf(payload["common_name"]);
      if (actor === undefined) return { ok: false, reason: "forged" };
      return { ok: true, actor, expiresAtMs: (payload.exp ?? 0) * 1000 };
    } catch (error) {
      return classify(error);
    }
  };
}

class KeysUnavailableError extends Error {}

function classify(error: unknown): CredentialVerdict {
  if (error instanceof KeysUnavailableError) return { ok: false, reason: "unavailable" };
  // Told apart only once the signature holds.
  if (error instanceof errors.JWTExpired) return { ok: false, reason: "stale" };
  if (error instanceof errors.JOSEError) return { ok: false, reason: "forged" };
  throw error;
}

/** An address: no other way in has it for a name that it was not given. */
function personOf(claim: unknown): string | undefined {
  const name = nameOf(claim);
  return name?.includes("@") === true ? name : undefined;
}

/** A service token's, which whoever makes it chooses: told so that it is no operator's of another way in. */
function programOf(claim: unknown): string | undefined {
  const name = nameOf(claim);
  return name === undefined ? undefined : `access/${name}`;
}

function nameOf(claim: unknown): string | undefined {
  const isName = typeof claim === "string" && claim.length <= NAME_MAX_CHARS && /^[\x21-\x7e]+$/.test(claim);
  return isName ? claim : undefined;
}
