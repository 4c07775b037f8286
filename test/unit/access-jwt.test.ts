/**
 * Cloudflare Access's assertions: who they name, and what is not one. Keys are real, the network is not.
 */
import { SignJWT, UnsecuredJWT, type JWTPayload } from "jose";
import { assert, asyncProperty, base64String, jsonValue, oneof, string } from "fast-check";
import { beforeAll, expect, test } from "vitest";

import { createAccessCheck } from "../../workers/http/access-jwt.ts";
import { AUDIENCE, makeAccessKeys, TEAM_DOMAIN, type AccessKeys } from "../fixtures/access-keys.ts";

const T0 = Date.parse("2026-11-21T10:00:00Z");
const FORGED = { ok: false, reason: "forged" };
const STALE = { ok: false, reason: "stale" };
const UNAVAILABLE = { ok: false, reason: "unavailable" };

let keys: AccessKeys;
let others: AccessKeys;
beforeAll(async () => {
  [keys, others] = await Promise.all([makeAccessKeys("key-1"), makeAccessKeys("key-1")]);
});

interface Scene {
  readonly check: (assertion: string) => Promise<unknown>;
  readonly fetched: string[];
  nowMs: number;
  answer: () => Promise<Response>;
}

function scene(): Scene {
  const fetched: string[] = [];
  const current: Scene = {
    check: createAccessCheck(
      { teamDomain: TEAM_DOMAIN, audience: AUDIENCE },
      {
        fetch: (input) => {
          fetched.push(input instanceof Request ? input.url : String(input));
          return current.answer();
        },
        clock: () => current.nowMs,
      },
    ),
    fetched,
    nowMs: T0,
    answer: async () => new Response(keys.document),
  };
  return current;
}

test("an assertion names a person by e-mail and a program by its token, until it ends", async () => {
  const { check } = scene();
  const expiresAtMs = T0 + 3_600_000;
  expect(await check(await keys.sign(T0))).toEqual({ ok: true, actor: "ann@example.com", expiresAtMs });
  const program = { email: undefined, common_name: "e367.access", sub: "" };
  expect(await check(await keys.sign(T0, program))).toEqual({ ok: true, actor: "access/e367.access", expiresAtMs });
  const posing = { ...program, common_name: "admin" };
  expect(await check(await keys.sign(T0, posing))).toMatchObject({ actor: "access/admin" });
  expect(await check(await keys.sign(T0, { email: "admin" }))).toEqual(FORGED);
});

test("keys are fetched once, from the team's domain", async () => {
  const { check, fetched } = scene();
  for (let n = 0; n < 5; n++) expect(await check(await keys.sign(T0))).toMatchObject({ ok: true });
  expect(fetched).toEqual([`${TEAM_DOMAIN}/cdn-cgi/access/certs`]);
});

test("an assertion ends, by the injected clock, with five seconds for clocks that differ", async () => {
  const current = scene();
  const assertion = await keys.sign(T0);
  current.nowMs = T0 + 3_604_000;
  expect(await current.check(assertion)).toMatchObject({ ok: true });
  current.nowMs = T0 + 3_606_000;
  expect(await current.check(assertion)).toEqual(STALE);
});

test.each<[string, Record<keyof JWTPayload, unknown>]>([
  ["another application", { aud: ["f".repeat(64)] }],
  ["no application", { aud: undefined }],
  ["another team", { iss: "https://other.cloudflareaccess.com" }],
  ["a look-alike of the team", { iss: `${TEAM_DOMAIN}/` }],
  ["tomorrow", { nbf: T0 / 1000 + 86_400 }],
  ["ever", { exp: undefined }],
  ["nobody", { email: undefined }],
  ["an empty name", { email: "", common_name: "" }],
  ["a name with a line end", { email: "ann@example.com\nActor: root" }],
  ["a name without end", { email: `${"a".repeat(300)}@example.com` }],
  ["a name that is no text", { email: { $ne: "" } }],
])("one for %s is refused though its signature holds", async (_, claims) => {
  const { check } = scene();
  expect(await check(await keys.sign(T0, claims as JWTPayload))).toEqual(FORGED);
});

test("one that Access has not signed is refused", async () => {
  const { check } = scene();
  const claims = { iss: TEAM_DOMAIN, aud: [AUDIENCE], email: "ann@example.com" };
  const good = await keys.sign(T0);
  const [head = "", body = "", signature = ""] = good.split(".");
  const byHmac = new SignJWT(claims)
    .setProtectedHeader({ alg: "HS256", kid: "key-1" })
    .setIssuedAt()
    .setExpirationTime("1h");
  const forged = [
    await others.sign(T0),
    await keys.sign(T0, {}, { kid: "key-2" }),
    new UnsecuredJWT(claims).setExpirationTime("1h").encode(),
    // The public key's text as an HMAC secret, which a verifier that minds no algorithm would take.
    await byHmac.sign(new TextEncoder().encode(keys.document)),
    `${head}.${body}.${signature.slice(0, -4)}AAAA`,
    `${head}.${body}.`,
    "a.b.c",
    "",
    "x".repeat(8000),
  ];
  for (const given of forged) expect(await check(given), given.slice(0, 100)).toEqual(FORGED);
});

test("made-up keys do not make us ask for keys again and again", async () => {
  const { check, fetched } = scene();
  for (let n = 0; n < 10; n++) await check(await keys.sign(T0, {}, { kid: `key-${n}` }));
  expect(fetched).toHaveLength(1);
});

test.each([
  ["is not there", () => Promise.reject(new TypeError("connection refused"))],
  ["takes too long", () => Promise.reject(new DOMException("", "TimeoutError"))],
  ["is broken", async () => new Response("oops", { status: 502 })],
  ["answers something else", async () => new Response("<html>")],
  ["answers no keys", async () => Response.json({ errors: [] })],
  ["sends us elsewhere", async () => Response.redirect("https://elsewhere.example/keys")],
] as const)("while the key server %s nobody can say; once it answers all is well", async (_, answer) => {
  const current = scene();
  const assertion = await keys.sign(T0);
  const { answer: good } = current;
  current.answer = answer;
  expect(await current.check(assertion)).toEqual(UNAVAILABLE);
  expect(await current.check("not even one")).toEqual(FORGED);
  current.answer = good;
  expect(await current.check(assertion)).toMatchObject({ ok: true });
});

const encoded = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");

test("whatever is sent for an assertion is refused, and breaks nothing", async () => {
  const { check, fetched } = scene();
  const header = jsonValue().map((value) =>
    encoded({ alg: "RS256", kid: "key-1", jwk: value, crit: value, x5u: value }),
  );
  const anyPart = oneof(header, jsonValue().map(encoded), base64String(), string());
  await assert(
    asyncProperty(anyPart, anyPart, anyPart, async (head, body, signature) => {
      expect(await check([head, body, signature].join("."))).toEqual(FORGED);
    }),
    { seed: 5, numRuns: 500 },
  );
  expect(fetched.length).toBeLessThanOrEqual(1);
});
