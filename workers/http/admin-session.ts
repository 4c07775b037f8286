/**
 * Sessions of the operators' page: a signed cookie instead of the token, so that no script of the page can
 * read what opens the service.
 *
 * 1. A session is signed by a key derived from the very token that opened it: with the token gone from the
 *    configuration, its sessions are gone.
 * 2. Nothing is stored. Signing out takes the cookie from its browser; a copy would live until it expires, or
 *    its token is removed.
 */
import { parse, serialize } from "hono/utils/cookie";
import { errors, jwtVerify, SignJWT } from "jose";

import { isLoopback } from "../admin-config.ts";
import type { CredentialVerdict } from "./admin-verdict.ts";
import type { TokenOwner } from "./admin-tokens.ts";

const COOKIE = "spillway_admin";
const PATH = "/admin";
export const SESSION_SEC = 8 * 3600;
const AUDIENCE = "spillway-admin";

interface SessionKey {
  readonly kid: string;
  readonly key: CryptoKey;
  readonly actor: string;
}

const textEncoder = new TextEncoder();

export class AdminSessions {
  private readonly actorByToken: ReadonlyMap<string, string>;
  private readonly clock: () => number;
  /** Made when first needed: a promise of one request must not be awaited by another. */
  private keys: readonly SessionKey[] | undefined;

  constructor(actorByToken: ReadonlyMap<string, string>, clock: () => number) {
    this.actorByToken = actorByToken;
    this.clock = clock;
  }

  /** @returns the cookie's value */
  async open({ token, actor }: TokenOwner): Promise<string> {
    const { kid, key } = await deriveKey(token, actor);
    const nowSec = Math.floor(this.clock() / 1000);
    return new SignJWT()
      .setProtectedHeader({ alg: "HS256", typ: "JWT", kid })
      .setAudience(AUDIENCE)
      .setSubject(actor)
      .setIssuedAt(nowSec)
      .setExpirationTime(nowSec + SESSION_SEC)
      .sign(key);
  }

  /** Whose session it is: the name that its token has now. */
  async verify(session: string): Promise<CredentialVerdict> {
    this.keys ??= await Promise.all(Array.from(this.actorByToken, ([token, actor]) => deriveKey(token, actor)));
    const keys = this.keys;
    try {
      const { payload, key } = await jwtVerify(session, ({ kid }) => keyFor(keys, kid).key, {
        algorithms: ["HS256"],
        audience: AUDIENCE,
        currentDate: new Date(this.clock()),
        requiredClaims: ["exp", "iat"],
      });
      const actor = keys.find((candidate) => candidate.key === key)?.actor;
      if (actor === undefined) return { ok: false, reason: "forged" };
      return { ok: true, actor, expiresAtMs: (payload.exp ?? 0) * 1000 };
    } catch (error) {
      if (error instanceof errors.JWTExpired || error instanceof TokenGoneError) return { ok: false, reason: "stale" };
      if (error instanceof errors.JOSEError) return { ok: false, reason: "forged" };
      throw error;
    }
  }
}

class TokenGoneError extends Error {}

function keyFor(keys: readonly SessionKey[], kid: string | undefined): SessionKey {
  const found = keys.find((candidate) => candidate.kid === kid);
  if (found === undefined) throw new TokenGoneError();
  return found;
}

/** The key's name is derived as the key is, and tells nothing about the token. */
async function deriveKey(token: string, actor: string): Promise<SessionKey> {
  const secret = await crypto.subtle.importKey("raw", textEncoder.encode(token), "HKDF", false, [
    "deriveBits",
    "deriveKey",
  ]);
  const derivation = (info: string) => ({
    name: "HKDF",
    hash: "SHA-256",
    salt: new Uint8Array(),
    info: textEncoder.encode(info),
  });
  const hmac = { name: "HMAC", hash: "SHA-256", length: 256 };
  const [key, name] = await Promise.all([
    crypto.subtle.deriveKey(derivation("spillway admin session"), secret, hmac, false, ["sign", "verify"]),
    crypto.subtle.deriveBits(derivation("spillway admin session, name of key"), secret, 64),
  ]);
  const kid = Array.from(new Uint8Array(name), (byte) => byte.toString(16).padStart(2, "0")).join("");
  return { kid, key, actor };
}

/** @returns the session that a request carries; empty is none */
export function sessionOf(request: Request): string | undefined {
  const session = parse(request.headers.get("cookie") ?? "", COOKIE)[COOKIE];
  return session === "" ? undefined : session;
}

/** `Set-Cookie` for a session, or for none. Secure wherever a browser could keep to it. */
export function sessionCookie(session: string | undefined, requestUrl: string): string {
  const { protocol, hostname } = new URL(requestUrl);
  return serialize(COOKIE, session ?? "", {
    path: PATH,
    httpOnly: true,
    sameSite: "Strict",
    secure: !(protocol === "http:" && isLoopback(hostname)),
    maxAge: session === undefined ? 0 : SESSION_SEC,
  });
}
