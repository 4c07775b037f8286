/**
 * Resume tokens and event ids: what was changed is refused, what is refused is told apart, nothing throws.
 */
import { SignJWT } from "jose";
import * as fc from "fast-check";

import { formatEventId, parseEventId, type EventId } from "../../protocol/event-id.ts";
import {
  createKeyRing,
  issueToken,
  looksLikeToken,
  verifyToken,
  type ResumeClaims,
  type TokenVerdict,
} from "../../protocol/resume-token.ts";
import { readPosition } from "../../protocol/sse-frame.ts";
import { claim, fuzz } from "./fuzzing.ts";
import { mutatedText } from "./mutations.ts";

const SECRET = "a-secret-for-fuzzing-0123456789";
const NOW_MS = Date.UTC(2026, 10, 21);
const TTL_MS = 900_000;
const ring = await createKeyRing(SECRET, "the-secret-before-0123456789ab");
const kid = ring.keys[0].kid;

const position: fc.Arbitrary<EventId> = fc.record({
  epoch: fc.integer({ min: 1, max: 9_999_999_999 }),
  seq: fc.integer({ min: 1, max: 999_999_999_999_999 }),
});
const claims: fc.Arbitrary<ResumeClaims> = fc.record({
  requestId: fc.string({ minLength: 1, maxLength: 40 }),
  route: fc.string({ maxLength: 20 }),
  tenant: fc.string({ unit: "binary", maxLength: 20 }).map((text) => text.toWellFormed()),
  position,
  startedAtMs: fc.option(fc.nat(), { nil: undefined }),
});

type Verify = (token: string, nowMs: number) => Promise<TokenVerdict>;
const verify: Verify = (token, nowMs) => verifyToken(ring, token, nowMs);

/** One genuine token, and what becomes of its text. */
const genuine = await issueToken(
  ring,
  { requestId: "req-1", route: "demo", tenant: "acme", position: { epoch: 1, seq: 7 }, startedAtMs: 5 },
  { nowMs: NOW_MS, ttlMs: TTL_MS },
);
const CLAIMS = (await verify(genuine.token, NOW_MS)) as { ok: true; claims: unknown };

function partsOf(token: string): string[] {
  return token.split(".").map((part) => Buffer.from(part, "base64url").toString("latin1"));
}

fuzz<{ valid: string; text: string }, Verify>({
  name: "resume tokens, changed",
  inputs: fc.oneof(
    mutatedText(fc.constant(genuine.token)),
    // Within a part, encoded again: the header and the claims, as an attacker would change them.
    fc.tuple(fc.nat(2), mutatedText(fc.constantFrom(...partsOf(genuine.token)))).map(([at, { text }]) => {
      const parts = genuine.token.split(".");
      parts[at] = Buffer.from(text).toString("base64url");
      return { valid: genuine.token, text: parts.join(".") };
    }),
    fc.string({ unit: "binary" }).map((text) => ({ valid: genuine.token, text })),
  ),
  subject: verify,
  holds: async ({ text }, verifyIt) => {
    const verdict = await verifyIt(text, NOW_MS);
    if (!verdict.ok) {
      claim(["token_invalid", "token_expired"]).toContain(verdict.error.code);
      return;
    }
    // Bits that base64url leaves over may differ: whatever verifies says what the genuine one says.
    claim(partsOf(text)).toEqual(partsOf(genuine.token));
    claim(verdict).toEqual(CLAIMS);
  },
  faults: {
    "no signature is checked": async (token, nowMs) => {
      const [, payload = ""] = partsOf(token);
      try {
        const { sub } = JSON.parse(payload) as { sub: string };
        return { ok: true, claims: { ...(CLAIMS.claims as object), requestId: sub } as never };
      } catch {
        return verify(token, nowMs);
      }
    },
    "what is malformed throws": async (token, nowMs) => {
      if (token.split(".").length !== 3) throw new TypeError("no token");
      return verify(token, nowMs);
    },
  },
});

interface Signed {
  readonly payload: Record<string, unknown>;
  readonly header: Record<string, unknown>;
  readonly nowMs: number;
}

const anyClaim = fc.oneof(
  fc.string(),
  fc.integer(),
  fc.double(),
  fc.constant(null),
  fc.boolean(),
  fc.array(fc.string()),
);
const signed: fc.Arbitrary<Signed> = fc.record({
  payload: fc.record(
    {
      sub: fc.oneof({ weight: 5, arbitrary: fc.constant<unknown>("req-1") }, anyClaim),
      rte: fc.oneof({ weight: 5, arbitrary: fc.constant<unknown>("demo") }, anyClaim),
      tnt: fc.oneof({ weight: 5, arbitrary: fc.constant<unknown>("acme") }, anyClaim),
      seq: fc.oneof(
        {
          weight: 5,
          arbitrary: fc.oneof(position.map(formatEventId), fc.constantFrom("0-1", "01-1", "1-0", "-1-1", "1-1 ")),
        },
        anyClaim,
      ),
      beg: fc.oneof(fc.nat(), anyClaim),
      iat: fc.oneof({ weight: 5, arbitrary: fc.constant<unknown>(NOW_MS / 1000) }, anyClaim),
      exp: fc.oneof({ weight: 5, arbitrary: fc.constant<unknown>(NOW_MS / 1000 + 900) }, anyClaim),
      nbf: anyClaim,
      aud: fc.oneof({ weight: 9, arbitrary: fc.constant<unknown>("spillway-resume") }, anyClaim),
    },
    { requiredKeys: ["aud"] },
  ),
  header: fc.record(
    { typ: anyClaim, kid: fc.constantFrom<unknown>(kid, "f00d", 7), cty: anyClaim },
    { requiredKeys: [] },
  ),
  nowMs: fc.oneof(fc.constant(NOW_MS), fc.constantFrom(0, NOW_MS + 10 * TTL_MS, 8.64e15)),
});

fuzz<Signed, Verify>({
  name: "resume tokens, signed with any claims",
  inputs: signed,
  subject: verify,
  holds: async ({ payload, header, nowMs }, verifyIt) => {
    let token: string;
    try {
      token = await new SignJWT(payload).setProtectedHeader({ kid, ...header, alg: "HS256" }).sign(ring.keys[0].key);
    } catch {
      // What cannot be signed cannot be sent.
      return;
    }
    const verdict = await verifyIt(token, nowMs);
    if (!verdict.ok) {
      claim(["token_invalid", "token_expired"]).toContain(verdict.error.code);
      return;
    }
    const { requestId, route, tenant, startedAtMs } = verdict.claims;
    claim([requestId, route, tenant, startedAtMs]).toEqual([
      payload["sub"],
      payload["rte"],
      payload["tnt"],
      payload["beg"],
    ]);
    claim(formatEventId(verdict.claims.position)).toBe(payload["seq"]);
    claim(payload["aud"]).toSatisfy((aud: unknown) => [aud].flat().includes("spillway-resume"));
    claim(Number(payload["exp"])).toBeGreaterThan(Math.floor(nowMs / 1000));
  },
  faults: {
    "no expiry is looked at": (token) => verify(token, 0),
    "a position that is none counts as the start": async (token, nowMs) => {
      const verdict = await verify(token, nowMs);
      if (verdict.ok || verdict.error.code !== "token_invalid" || verdict.error.reason !== "bad_claims") return verdict;
      const { sub, rte, tnt, beg } = JSON.parse(partsOf(token)[1] ?? "") as Record<string, never>;
      const rest = { position: { epoch: 0, seq: 0 }, issuedAtSec: 0 };
      return {
        ok: true,
        claims: { requestId: sub as never, route: rte as never, tenant: tnt as never, startedAtMs: beg, ...rest },
      };
    },
  },
});

fuzz<ResumeClaims, (given: ResumeClaims) => Promise<TokenVerdict>>({
  name: "resume tokens, issued and verified",
  inputs: claims,
  subject: async (given) => verify((await issueToken(ring, given, { nowMs: NOW_MS, ttlMs: TTL_MS })).token, NOW_MS),
  holds: async (given, pass) => {
    const verdict = await pass(given);
    claim(verdict).toEqual({ ok: true, claims: { ...given, issuedAtSec: NOW_MS / 1000 } });
  },
  faults: {
    "another ring's token passes for none": async () => ({ ok: false, error: { code: "token_expired" } }),
    "seqs are kept as 32 bits": async (given) => {
      const short = { ...given, position: { ...given.position, seq: given.position.seq | 0 || 1 } };
      return verify((await issueToken(ring, short, { nowMs: NOW_MS, ttlMs: TTL_MS })).token, NOW_MS);
    },
  },
});

fuzz<string, typeof parseEventId>({
  name: "event ids",
  inputs: fc.oneof(
    position.map(formatEventId),
    mutatedText(position.map(formatEventId)).map(({ text }) => text),
    fc.string({ unit: "binary", maxLength: 30 }),
    fc.constantFrom("0-0", "", "1-", "-1", "1-1-1", "1–1", "１-１", "1-1\n", "0x1-1", "1e3-1", "__proto__"),
  ),
  subject: parseEventId,
  holds: (text, parse) => {
    const id = parse(text);
    if (id !== undefined) {
      claim(formatEventId(id)).toBe(text);
      claim(Number.isSafeInteger(id.seq) && Number.isSafeInteger(id.epoch)).toBe(true);
      claim(id.seq === 0).toBe(id.epoch === 0);
    } else if (/^[1-9]\d{0,9}-[1-9]\d{0,14}$/.test(text)) throw new Error(`${text} is an id`);
    const read = readPosition(text);
    claim(typeof read === "string" ? undefined : read).toEqual(parseEventId(text));
    claim(typeof looksLikeToken(text)).toBe("boolean");
  },
  faults: {
    "numbers are read leniently": (text) => {
      const [epoch, seq] = text.split("-").map((part) => Number.parseInt(part, 10));
      return epoch === undefined || seq === undefined || Number.isNaN(epoch + seq) ? undefined : { epoch, seq };
    },
    "zero counts as an event": (text) =>
      parseEventId(text) ?? (text.startsWith("0-") ? { epoch: 0, seq: 1 } : undefined),
  },
});
