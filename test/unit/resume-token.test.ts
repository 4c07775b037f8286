/**
 * Resume tokens: what is accepted, what is refused and why, and rotation.
 */
import { SignJWT } from "jose";
import { expect, test } from "vitest";

import { createKeyRing, issueToken, looksLikeToken, verifyToken } from "../../protocol/resume-token.ts";

const SECRET = "current-secret-0123456789abcdef0123456789";
const OLD_SECRET = "previous-secret-0123456789abcdef012345678";
const NOW_MS = 1_800_000_000_000;
const CLAIMS = { requestId: "r-1", route: "assist/draft-graph", tenant: "acme", position: { epoch: 2, seq: 17 } };
const LIFE = { nowMs: NOW_MS, ttlMs: 900_000 };

test("a token carries stream, route, tenant and position, and verifies until it expires", async () => {
  const ring = await createKeyRing(SECRET);
  const { token, expiresAtMs } = await issueToken(ring, CLAIMS, LIFE);
  expect(looksLikeToken(token)).toBe(true);
  expect(await verifyToken(ring, token, NOW_MS)).toEqual({
    ok: true,
    claims: { ...CLAIMS, issuedAtSec: NOW_MS / 1000 },
  });
  expect(await verifyToken(ring, token, expiresAtMs - 1000)).toMatchObject({ ok: true });
  expect(await verifyToken(ring, token, expiresAtMs)).toEqual({ ok: false, error: { code: "token_expired" } });
});

test("a token says when its stream began, to the millisecond; one that says it wrongly is refused", async () => {
  const ring = await createKeyRing(SECRET);
  const startedAtMs = NOW_MS - 1234;
  const { token } = await issueToken(ring, { ...CLAIMS, startedAtMs }, LIFE);
  expect(await verifyToken(ring, token, NOW_MS)).toMatchObject({ ok: true, claims: { startedAtMs } });
  const key = new TextEncoder().encode(SECRET);
  const forged = await new SignJWT({ rte: "r", tnt: "t", seq: "1-1", beg: "yesterday" })
    .setProtectedHeader({ alg: "HS256", kid: ring.keys[0].kid })
    .setAudience("spillway-resume")
    .setSubject("r-1")
    .setIssuedAt(NOW_MS / 1000)
    .setExpirationTime(NOW_MS / 1000 + 900)
    .sign(key);
  const refused = { ok: false, error: { code: "token_invalid", reason: "bad_claims" } };
  expect(await verifyToken(ring, forged, NOW_MS)).toEqual(refused);
});

test("rotation: the new key signs, the previous one still verifies, a forgotten one does not", async () => {
  const before = await createKeyRing(OLD_SECRET);
  const after = await createKeyRing(SECRET, OLD_SECRET);
  const { token } = await issueToken(before, CLAIMS, LIFE);
  expect(await verifyToken(after, token, NOW_MS)).toMatchObject({ ok: true });
  const fresh = await issueToken(after, CLAIMS, LIFE);
  expect(await verifyToken(await createKeyRing(SECRET), fresh.token, NOW_MS)).toMatchObject({ ok: true });
  const refused = { ok: false, error: { code: "token_invalid", reason: "unknown_key" } };
  expect(await verifyToken(await createKeyRing(SECRET), token, NOW_MS)).toEqual(refused);
});

test("a token with a single character changed is refused, wherever the change is", async () => {
  const ring = await createKeyRing(SECRET);
  const { token } = await issueToken(ring, CLAIMS, LIFE);
  for (let at = 0; at < token.length; at++) {
    const other = token[at] === "A" ? "B" : "A";
    const forged = token.slice(0, at) + other + token.slice(at + 1);
    const verdict = await verifyToken(ring, forged, NOW_MS);
    // The last character of a part may carry unused bits: the bytes, and so the token, are then the same.
    const isSame = bytesOf(forged).equals(bytesOf(token));
    expect(verdict.ok ? "accepted" : verdict.error.code).toBe(isSame ? "accepted" : "token_invalid");
  }
});

function bytesOf(token: string): Buffer {
  return Buffer.concat(token.split(".").map((part) => Buffer.from(part, "base64url")));
}

test.each([
  ["nothing", ""],
  ["no token at all", "hello"],
  ["the algorithm none", "eyJhbGciOiJub25lIn0.e30."],
  ["three empty parts", ".."],
])("%s is malformed", async (_, token) => {
  const ring = await createKeyRing(SECRET);
  const verdict = await verifyToken(ring, token, NOW_MS);
  expect(verdict).toMatchObject({ ok: false, error: { code: "token_invalid" } });
});

test("the right key does not make up for another audience or missing claims", async () => {
  const ring = await createKeyRing(SECRET);
  const [{ kid, key }] = ring.keys;
  const sign = (claims: Record<string, unknown>, audience: string) =>
    new SignJWT(claims)
      .setProtectedHeader({ alg: "HS256", kid })
      .setAudience(audience)
      .setSubject("r-1")
      .setIssuedAt(NOW_MS / 1000)
      .setExpirationTime(NOW_MS / 1000 + 60)
      .sign(key);
  const good = { rte: "demo", tnt: "acme", seq: "1-1" };
  const reasonOf = async (token: string) => {
    const verdict = await verifyToken(ring, token, NOW_MS);
    return verdict.ok || verdict.error.code !== "token_invalid" ? "accepted" : verdict.error.reason;
  };
  expect(await reasonOf(await sign(good, "spillway-resume"))).toBe("accepted");
  expect(await reasonOf(await sign(good, "another-service"))).toBe("wrong_audience");
  for (const claim of ["rte", "tnt", "seq"]) {
    expect(await reasonOf(await sign({ ...good, [claim]: undefined }, "spillway-resume"))).toBe("bad_claims");
  }
  expect(await reasonOf(await sign({ ...good, seq: "17" }, "spillway-resume"))).toBe("bad_claims");
});
