/**
 * Sessions of the operators' page: whose they are, how long, and what a forger is told.
 */
import { SignJWT, decodeJwt, decodeProtectedHeader, UnsecuredJWT } from "jose";
import { assert, asyncProperty, base64String, jsonValue, oneof, string } from "fast-check";
import { describe, expect, test } from "vitest";

import { AdminSessions, SESSION_SEC, sessionCookie, sessionOf } from "../../workers/http/admin-session.ts";

const A = "token-a-0123456789abcdef0123456789abcdef";
const B = "token-b-0123456789abcdef0123456789abcdef";
const T0 = Date.parse("2026-11-21T10:00:00Z");
const ANN = { token: A, actor: "ann" };

function sessionsAt(tokens: Readonly<Record<string, string>>, clock = () => T0): AdminSessions {
  return new AdminSessions(new Map(Object.entries(tokens)), clock);
}

describe("a session", () => {
  test("is of whoever has its token, for eight hours", async () => {
    let nowMs = T0;
    const sessions = sessionsAt({ [A]: "ann", [B]: "bob" }, () => nowMs);
    const session = await sessions.open(ANN);
    const expiresAtMs = T0 + 8 * 3_600_000;
    expect(await sessions.verify(session)).toEqual({ ok: true, actor: "ann", expiresAtMs });
    nowMs = expiresAtMs - 1;
    expect(await sessions.verify(session)).toMatchObject({ ok: true });
    nowMs = expiresAtMs;
    expect(await sessions.verify(session)).toEqual({ ok: false, reason: "stale" });
  });

  test("holds in another isolate, and after other tokens have come and gone", async () => {
    const session = await sessionsAt({ [A]: "ann", [B]: "bob" }).open(ANN);
    expect(await sessionsAt({ [A]: "ann" }).verify(session)).toMatchObject({ ok: true, actor: "ann" });
    expect(await sessionsAt({ [A]: "anne" }).verify(session)).toMatchObject({ ok: true, actor: "anne" });
  });

  test("is gone with its token", async () => {
    const session = await sessionsAt({ [A]: "ann", [B]: "bob" }).open(ANN);
    expect(await sessionsAt({ [B]: "ann" }).verify(session)).toEqual({ ok: false, reason: "stale" });
    expect(await sessionsAt({}).verify(session)).toEqual({ ok: false, reason: "stale" });
  });

  test("names its actor and nothing of the token", async () => {
    const session = await sessionsAt({ [A]: "ann" }).open(ANN);
    const claims = { sub: "ann", aud: "spillway-admin", iat: T0 / 1000, exp: T0 / 1000 + SESSION_SEC };
    expect(decodeJwt(session)).toEqual(claims);
    expect(decodeProtectedHeader(session)).toEqual({
      alg: "HS256",
      typ: "JWT",
      kid: expect.stringMatching(/^[\da-f]{16}$/),
    });
  });

  test("of anybody else's making is forged", async () => {
    const sessions = sessionsAt({ [A]: "ann", [B]: "bob" });
    const session = await sessions.open(ANN);
    const [head = "", body = "", signature = ""] = session.split(".");
    const bobs = await sessions.open({ token: B, actor: "bob" });
    const { kid = "" } = decodeProtectedHeader(session);
    const sign = (claims: object, audience = "spillway-admin", key = A) =>
      new SignJWT({ ...claims })
        .setProtectedHeader({ alg: "HS256", kid })
        .setAudience(audience)
        .setIssuedAt(T0 / 1000)
        .setExpirationTime(T0 / 1000 + 60)
        .sign(new TextEncoder().encode(key));
    const forged = [
      `${head}.${body}.${signature.slice(0, -2)}AA`,
      `${head}.${bobs.split(".")[1] ?? ""}.${signature}`,
      `${head}.${body}.`,
      `${head}.${body}`,
      "x",
      A,
      // The token itself is not the key.
      await sign({ sub: "ann" }),
      await sign({ sub: "ann" }, "spillway-resume"),
      new UnsecuredJWT({ sub: "ann" }).setAudience("spillway-admin").setExpirationTime("1h").encode(),
      "{}.{}.{}",
      "\u0000",
    ];
    for (const given of forged) expect(await sessions.verify(given), given).toEqual({ ok: false, reason: "forged" });
  });
});

const parts = (cookie: string) => cookie.split("; ").toSorted();

const encoded = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");

test("whatever is sent for a session is refused, and breaks nothing", async () => {
  const sessions = sessionsAt({ [A]: "ann" });
  const { kid } = decodeProtectedHeader(await sessions.open(ANN));
  const header = jsonValue().map((value) => encoded({ alg: "HS256", kid, b64: value, crit: value, typ: value }));
  const anyPart = oneof(header, jsonValue().map(encoded), base64String(), string());
  await assert(
    asyncProperty(oneof(header, anyPart), anyPart, anyPart, async (head, body, signature) => {
      expect(await sessions.verify([head, body, signature].join("."))).toMatchObject({ ok: false });
    }),
    { seed: 5, numRuns: 500 },
  );
});

describe("its cookie", () => {
  test.each([
    ["https://spillway.example/admin/session", true],
    ["http://spillway.example/admin/session", true],
    ["http://127.0.0.1.example/admin/session", true],
    ["http://127.0.0.1:8787/admin/session", false],
    ["http://localhost:8787/admin/session", false],
    ["http://[::1]:8787/admin/session", false],
    ["https://localhost/admin/session", true],
  ])("from %s: out of reach of scripts and other sites, Secure: %s", (url, isSecure) => {
    const secure = isSecure ? "; Secure" : "";
    expect(parts(sessionCookie("abc", url))).toEqual(
      parts(`spillway_admin=abc; Max-Age=28800; Path=/admin; HttpOnly${secure}; SameSite=Strict`),
    );
    expect(parts(sessionCookie(undefined, url))).toEqual(
      parts(`spillway_admin=; Max-Age=0; Path=/admin; HttpOnly${secure}; SameSite=Strict`),
    );
  });

  test.each([
    ["spillway_admin=abc", "abc"],
    ["a=1; spillway_admin=abc; b=2", "abc"],
    ["spillway_admin=", undefined],
    ["spillway_admin2=abc; xspillway_admin=abc", undefined],
    ["other=spillway_admin=abc", undefined],
    ["", undefined],
  ])("is read from %j: %j", (cookie, session) => {
    expect(sessionOf(new Request("https://spillway.example/admin", { headers: { cookie } }))).toBe(session);
  });
});
