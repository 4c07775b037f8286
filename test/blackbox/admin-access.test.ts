/**
 * Ways in for operators, over HTTP: named tokens and their rotation, sessions of the page, Cloudflare Access
 * against a key server, and what slows guessing down.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { AUDIENCE, makeAccessKeys, type AccessKeys } from "../fixtures/access-keys.ts";
import { endService } from "../fixtures/end-service.ts";
import { startLakeService } from "../fixtures/lake-service.ts";
import { untilLogged } from "../fixtures/log-lines.ts";
import { problemOf } from "../fixtures/problems.ts";
import { secretsIn } from "../fixtures/secret-scan.ts";
import { TEST_SECRETS } from "../fixtures/test-secrets.ts";
import { startService, type Service } from "../fixtures/workerd-service.ts";

const OLD = "old-token-of-ann-0123456789abcdef0123456789abcdef";
const NEW = "new-token-of-ann-0123456789abcdef0123456789abcdef";
const ACTION = { "X-Spillway-Action": "1" };
const SESSION = "/admin/session";

let keyServer: Server;
/** What the key server answers; none: it breaks connections off. */
let document: string | undefined;
let keyRequests: string[];
let keys: AccessKeys;
let service: Service;
let vars: Record<string, unknown>;

beforeAll(async () => {
  keyRequests = [];
  keyServer = createServer((request, response) => {
    keyRequests.push(request.url ?? "");
    if (document === undefined) response.destroy();
    else response.end(document);
  });
  await new Promise<void>((done) => keyServer.listen(0, "127.0.0.1", done));
  const teamDomain = `http://127.0.0.1:${(keyServer.address() as AddressInfo).port}`;
  keys = await makeAccessKeys("key-1", teamDomain);
  vars = { ADMIN_TOKENS: { ann: [OLD, NEW] }, ACCESS_TEAM_DOMAIN: teamDomain, ACCESS_AUD: AUDIENCE };
  service = await startService({ vars });
});
afterAll(async () => {
  await endService(service);
  keyServer.closeAllConnections();
  await new Promise((done) => keyServer.close(done));
});

function call(path: string, method: string, headers: Record<string, string> = {}, at = service): Promise<Response> {
  return fetch(at.origin + path, { method, headers });
}

const bearer = (token: string) => ({ Authorization: `Bearer ${token}` });

async function signIn(token: string, at = service): Promise<string> {
  const response = await call(SESSION, "POST", bearer(token), at);
  expect([response.status, await response.text()]).toEqual([204, ""]);
  expect(response.headers.get("cache-control")).toBe("no-store");
  const [cookie = "", ...others] = response.headers.getSetCookie();
  expect(others).toEqual([]);
  return cookie;
}

const valueOf = (cookie: string) => cookie.split(";")[0] ?? "";

async function whoAmI(headers: Record<string, string>, at = service): Promise<unknown> {
  const response = await call(SESSION, "GET", headers, at);
  return response.status === 200 ? response.json() : response.status;
}

describe("a session", () => {
  test("is opened by a token, tells whose it is and until when, and is closed", async () => {
    const cookie = await signIn(NEW);
    expect(cookie).toMatch(/^spillway_admin=[\w-]+\.[\w-]+\.[\w-]+; /);
    expect(cookie.split("; ").slice(1).toSorted()).toEqual([
      "HttpOnly",
      "Max-Age=28800",
      "Path=/admin",
      "SameSite=Strict",
    ]);
    const session = (await whoAmI({ cookie: valueOf(cookie) })) as { actor: string; expires_at: string };
    expect(session.actor).toBe("ann");
    const lifeMs = Date.parse(session.expires_at) - Date.now();
    expect(lifeMs).toBeGreaterThan(8 * 3_600_000 - 60_000);
    expect(lifeMs).toBeLessThanOrEqual(8 * 3_600_000);
    const closed = await call(SESSION, "DELETE", { cookie: valueOf(cookie), ...ACTION });
    expect([closed.status, closed.headers.getSetCookie()[0]]).toEqual([
      204,
      expect.stringMatching(/^spillway_admin=; Max-Age=0; Path=\/admin; HttpOnly; SameSite=Strict$/),
    ]);
    await untilLogged(service, "AdminAction", { action: "session/close", actor: "ann", result: "204" });
  });

  test("serves for looking as it is, and for acting from our own page alone", async () => {
    const cookie = valueOf(await signIn(OLD));
    expect((await call("/admin/status", "GET", { cookie })).status).toBe(200);
    const attempts: Record<string, string>[] = [{}, { ...ACTION, "Sec-Fetch-Site": "cross-site" }];
    for (const headers of attempts) {
      const refused = await call(SESSION, "DELETE", { cookie, ...headers });
      expect(await problemOf(refused)).toMatchObject({ status: 403, code: "csrf" });
    }
    // A form of another site can send this much.
    const form = { cookie, "Content-Type": "application/x-www-form-urlencoded", Origin: "https://evil.example" };
    expect((await call("/admin/flush", "POST", form)).status).toBe(403);
  });

  test("ends with the token that opened it: rotation from the old to the new one", async () => {
    const folder = mkdtempSync(join(tmpdir(), "spillway-rotation-"));
    const [old, current] = [valueOf(await signIn(OLD)), valueOf(await signIn(NEW))];
    const rotated = await startService({
      vars: { ...vars, ADMIN_TOKENS: JSON.stringify({ ann: NEW }) },
      persistTo: folder,
    });
    try {
      expect(await whoAmI({ cookie: current }, rotated)).toMatchObject({ actor: "ann" });
      expect(await whoAmI({ cookie: old }, rotated)).toBe(401);
      expect(await whoAmI(bearer(OLD), rotated)).toBe(401);
      expect(await whoAmI(bearer(NEW), rotated)).toEqual({ actor: "ann", expires_at: null });
      expect(await whoAmI(bearer(TEST_SECRETS.ADMIN_TOKEN), rotated)).toEqual({ actor: "admin", expires_at: null });
    } finally {
      await endService(rotated);
      rmSync(folder, { recursive: true });
    }
  });
});

describe("Cloudflare Access", () => {
  test("503 while its key server is away, then its assertions name who calls", async () => {
    const assertion = { "Cf-Access-Jwt-Assertion": await keys.sign(Date.now()) };
    document = undefined;
    const away = await call("/admin/status", "GET", assertion);
    expect(away.headers.get("retry-after")).toBe("5");
    expect(await problemOf(away)).toMatchObject({ status: 503, code: "identity_unavailable" });
    expect(await whoAmI(bearer(NEW))).toMatchObject({ actor: "ann" });

    ({ document } = keys);
    keyRequests.length = 0;
    const session = (await whoAmI(assertion)) as { actor: string; expires_at: string };
    expect(session).toMatchObject({ actor: "ann@example.com" });
    expect(Date.parse(session.expires_at)).toBeGreaterThan(Date.now());
    expect((await call("/admin/status", "GET", assertion)).status).toBe(200);
    expect(keyRequests).toEqual(["/cdn-cgi/access/certs"]);
  });

  test("401 for another's signature, another application, and an assertion that is over", async () => {
    ({ document } = keys);
    const forger = await makeAccessKeys("key-1", String(vars["ACCESS_TEAM_DOMAIN"]));
    const nowMs = Date.now();
    for (const assertion of [
      await forger.sign(nowMs),
      await keys.sign(nowMs, { aud: ["f".repeat(64)] }),
      await keys.sign(nowMs, { iss: "https://other.cloudflareaccess.com" }),
      await keys.sign(nowMs - 2 * 3_600_000),
    ]) {
      const refused = await call("/admin/status", "GET", { "Cf-Access-Jwt-Assertion": assertion });
      expect(await problemOf(refused)).toMatchObject({ status: 401, code: "unauthorized" });
    }
  });
});

test("ten wrong tokens lock their network for a second, and longer each time; others are let in", async () => {
  const home = { "CF-Connecting-IP": "203.0.113.7" };
  const attempt = (token: string, address = home) => call(SESSION, "GET", { ...bearer(token), ...address });
  for (let n = 0; n < 10; n++) expect((await attempt(`wrong-${n}`)).status).toBe(401);
  const locked = await attempt(NEW);
  expect(locked.headers.get("retry-after")).toBe("1");
  expect(await problemOf(locked)).toMatchObject({ status: 429, code: "rate_limited", budget: "admin" });
  expect((await attempt(NEW, { "CF-Connecting-IP": "203.0.113.8" })).status).toBe(200);
  await untilLogged(service, "AdminRefused", { action: "session", actor: "unknown", result: "rate_limited" });
  await expect.poll(async () => (await attempt(NEW)).status, { timeout: 10_000, interval: 100 }).toBe(200);
  expect((await attempt("wrong-again")).status).toBe(401);
  expect((await attempt(NEW)).headers.get("retry-after")).toBe("2");
});

test("RATE_LIMIT_ADMIN counts wrong tokens across isolates, and right ones never", async () => {
  const limited = await startLakeService({
    vars: { ...vars, ICEBERG_SHARDS: 1 },
    rateLimits: { RATE_LIMIT_ADMIN: { limit: 2, period: 60 } },
  });
  try {
    const attempt = (token: string) =>
      fetch(limited.origin + SESSION, { headers: { ...bearer(token), "CF-Connecting-IP": "203.0.113.9" } });
    for (let n = 0; n < 6; n++) expect((await attempt(NEW)).status).toBe(200);
    const statuses: number[] = [];
    // Twice the limit at most, where a window of the binding ends meanwhile; ten would lock by themselves.
    for (let n = 0; n < 6 && statuses.at(-1) !== 429; n++) statuses.push((await attempt(`wrong-${n}`)).status);
    expect(statuses.at(-1)).toBe(429);
    expect(statuses.slice(0, 2)).toEqual([401, 401]);
    const refused = await attempt(NEW);
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(10);
    expect(await problemOf(refused)).toMatchObject({ status: 429, budget: "admin" });
  } finally {
    await limited.stop();
  }
});

test("what is logged tells who did what, and none of what opened the door", async () => {
  const cookie = valueOf(await signIn(NEW));
  await call(SESSION, "GET", { cookie: `${cookie}x` });
  await call(SESSION, "DELETE", { cookie: "spillway_admin=planted.session.value", ...ACTION });
  await untilLogged(service, "AdminRefused", { action: "session/close", actor: "unknown", result: "unauthorized" });
  const output = service.lines.join("\n");
  expect(secretsIn(output)).toEqual([]);
  for (const secret of [OLD, NEW, cookie.slice(20), "planted.session"]) expect(output).not.toContain(secret);
});
