/**
 * The guard before every operators' route: who is let in, from where, what is told, and how guessing is slowed.
 */
import { Hono } from "hono";
import { describe, expect, test } from "vitest";

import { createLogSink, type TelemetryRecord } from "../../protocol/telemetry.ts";
import { readConfig } from "../../workers/config.ts";
import { REFUSALS_PER_MIN } from "../../workers/http/admin-audit.ts";
import { createAdminGuard, type AdminAction, type AdminHandler } from "../../workers/http/admin-auth.ts";
import { AdminDoor } from "../../workers/http/admin-identity.ts";
import type { HonoEnv } from "../../workers/http/hono-env.ts";
import { mount } from "../../workers/http/mount.ts";
import { RateGate } from "../../workers/http/rate-limit.ts";
import { mountAdminSession } from "../../workers/routes/admin/session.ts";
import { AUDIENCE, makeAccessKeys, TEAM_DOMAIN } from "../fixtures/access-keys.ts";
import { TEST_SECRETS } from "../fixtures/test-secrets.ts";

const ANN = "token-of-ann-0123456789abcdef0123456789abcdef";
const METRICS = "token-of-metrics-0123456789abcdef0123456789";
const ORIGIN = "https://spillway.example";
const access = await makeAccessKeys("key-1");

interface Scene {
  readonly told: TelemetryRecord[];
  /** Work that goes on without the caller. */
  readonly keptAlive: Promise<unknown>[];
  nowMs: number;
  isAccessUp: boolean;
  /** How often the binding was asked, and what it says. */
  asked: string[];
  isWithinLimit: boolean;
  call(path: string, init?: RequestInit): Promise<Response>;
}

const ok: AdminHandler = (_, actor) => Response.json({ actor });

function scene(actions: readonly (readonly [AdminAction, AdminHandler])[] = []): Scene {
  const limiter = {
    limit: async ({ key }: { key: string }) => {
      current.asked.push(key);
      return { success: current.isWithinLimit };
    },
  };
  const reading = readConfig({
    ...TEST_SECRETS,
    ADMIN_TOKENS: { ann: ANN },
    ACCESS_TEAM_DOMAIN: TEAM_DOMAIN,
    ACCESS_AUD: AUDIENCE,
    RATE_LIMIT_ADMIN: limiter,
    CLIENT_AUTH: "none",
    ROUTES: [{ name: "demo", upstream: "builtin:demo" }],
  });
  if (!reading.ok) throw new Error(JSON.stringify(reading.faults));
  const { config } = reading;
  const clock = () => current.nowMs;
  const telemetry = (record: TelemetryRecord) => void current.told.push(record);
  const fetchKeys = async () => new Response(access.document, { status: current.isAccessUp ? 200 : 500 });
  const waitUntil = (work: Promise<unknown>) => void current.keptAlive.push(work);
  const rateGate = new RateGate({ config, telemetry, clock });
  const services = { config, telemetry, clock, fetch: fetchKeys, rateGate, waitUntil } as unknown as Parameters<
    typeof createAdminGuard
  >[0];
  const door = new AdminDoor(services);
  const guard = createAdminGuard(services, door);
  const app = new Hono<HonoEnv>();
  app.onError(() => new Response(null, { status: 500 }));
  mount(app, "/admin/act", { POST: guard({ name: "act" }, ok) });
  mount(app, "/admin/look", { GET: guard({ name: "look", isLook: true }, ok) });
  mountAdminSession(app, door, guard);
  for (const [action, handler] of actions) mount(app, `/admin/${action.name}`, { POST: guard(action, handler) });
  const current: Scene = {
    told: [],
    keptAlive: [],
    asked: [],
    nowMs: Date.now(),
    isAccessUp: true,
    isWithinLimit: true,
    call: async (path, init = {}) => app.request(`${ORIGIN}/admin/${path}`, { method: "POST", ...init }),
  };
  return current;
}

function bearer(token: string, address?: string) {
  return { Authorization: `Bearer ${token}`, ...(address === undefined ? {} : { "CF-Connecting-IP": address }) };
}

async function signedIn(current: Scene): Promise<string> {
  const response = await current.call("session", { headers: bearer(ANN) });
  expect(response.status).toBe(204);
  return response.headers.getSetCookie()[0]?.split(";")[0] ?? "";
}

const ACTION = { "X-Spillway-Action": "1" };

describe("what opens it", () => {
  test("a token by its name, a session, an assertion of Access", async () => {
    const current = scene();
    const cookie = await signedIn(current);
    const assertion = { "Cf-Access-Jwt-Assertion": await access.sign(current.nowMs) };
    const actors = [];
    for (const headers of [bearer(ANN), bearer(TEST_SECRETS.ADMIN_TOKEN), { cookie, ...ACTION }, assertion]) {
      actors.push(await (await current.call("act", { headers })).json());
    }
    expect(actors.map((answer) => (answer as { actor: string }).actor)).toEqual([
      "ann",
      "admin",
      "ann",
      "ann@example.com",
    ]);
  });

  test("a wrong token is not made good by a session or an assertion beside it", async () => {
    const current = scene();
    const cookie = await signedIn(current);
    const headers = { cookie, ...ACTION, "Cf-Access-Jwt-Assertion": await access.sign(current.nowMs) };
    expect((await current.call("act", { headers: { ...headers, ...bearer("wrong") } })).status).toBe(401);
    expect((await current.call("act", { headers })).status).toBe(200);
    // A session that is over leaves the way by Access open.
    expect((await current.call("act", { headers: { ...headers, cookie: "spillway_admin=a.b.c" } })).status).toBe(200);
  });

  test("503 while Access's keys cannot be had, and tokens still work", async () => {
    const current = scene();
    current.isAccessUp = false;
    const headers = { "Cf-Access-Jwt-Assertion": await access.sign(current.nowMs) };
    const response = await current.call("act", { headers });
    expect([response.status, response.headers.get("retry-after")]).toEqual([503, "5"]);
    expect(await response.json()).toMatchObject({ code: "identity_unavailable" });
    expect((await current.call("act", { headers: bearer(ANN) })).status).toBe(200);
  });

  test("a token of one action opens that one alone", async () => {
    const action = { name: "metrics", extraTokens: new Map([[METRICS, "metrics"]]) };
    const current = scene([[action, ok]]);
    expect(await (await current.call("metrics", { headers: bearer(METRICS) })).json()).toEqual({ actor: "metrics" });
    expect((await current.call("metrics", { headers: bearer(ANN) })).status).toBe(200);
    for (const path of ["act", "session"]) {
      expect((await current.call(path, { headers: bearer(METRICS) })).status).toBe(401);
    }
  });

  test("a session is opened by a token alone", async () => {
    const current = scene();
    const cookie = await signedIn(current);
    const assertion = await access.sign(current.nowMs);
    for (const headers of [{ cookie, ...ACTION }, { "Cf-Access-Jwt-Assertion": assertion }]) {
      expect((await current.call("session", { headers })).status).toBe(401);
    }
  });
});

describe("another site", () => {
  test("cannot act with a session: the header is missing, or the browser says where it comes from", async () => {
    const current = scene();
    const cookie = await signedIn(current);
    const attempts: Record<string, string>[] = [
      {},
      { "X-Spillway-Action": "0" },
      { "Sec-Fetch-Site": "same-origin" },
      { ...ACTION, "Sec-Fetch-Site": "cross-site" },
      { ...ACTION, "Sec-Fetch-Site": "same-site" },
    ];
    for (const headers of attempts) {
      for (const [path, method] of [
        ["act", "POST"],
        ["session", "DELETE"],
      ] as const) {
        const response = await current.call(path, { method, headers: { cookie, ...headers } });
        expect([response.status, (await response.json()) as object]).toMatchObject([403, { code: "csrf" }]);
      }
    }
    expect(current.told.filter(({ event }) => event === "AdminRefused")).toMatchObject(
      attempts.flatMap(() => ["act", "session/close"].map((action) => ({ action, actor: "ann", result: "csrf" }))),
    );
    expect(
      (await current.call("act", { headers: { cookie, ...ACTION, "Sec-Fetch-Site": "same-origin" } })).status,
    ).toBe(200);
    expect((await current.call("look", { method: "GET", headers: { cookie } })).status).toBe(200);
  });

  test("nor by way of Access, whose cookie browsers add as well", async () => {
    const current = scene();
    const headers = { "Cf-Access-Jwt-Assertion": await access.sign(current.nowMs) };
    for (const site of ["cross-site", "same-site", "made-up"]) {
      expect((await current.call("act", { headers: { ...headers, "Sec-Fetch-Site": site } })).status).toBe(403);
    }
    expect((await current.call("act", { headers: { ...headers, "Sec-Fetch-Site": "same-origin" } })).status).toBe(200);
  });

  test("nor from a browser that says its origin alone", async () => {
    const current = scene();
    const headers = { "Cf-Access-Jwt-Assertion": await access.sign(current.nowMs) };
    for (const origin of ["https://evil.example", "null", "https://spillway.example:8443"]) {
      expect((await current.call("act", { headers: { ...headers, Origin: origin } })).status).toBe(403);
    }
    expect((await current.call("act", { headers: { ...headers, Origin: ORIGIN } })).status).toBe(200);
  });

  test("has no token to send: one is enough by itself", async () => {
    const headers = { ...bearer(ANN), "Sec-Fetch-Site": "cross-site" };
    expect((await scene().call("act", { headers })).status).toBe(200);
  });
});

describe("guessing", () => {
  const HOME = "203.0.113.7";
  const guess = (current: Scene, token = "wrong") => current.call("act", { headers: bearer(token, HOME) });

  test("is stopped after ten, for right tokens of that network too, and for longer each time", async () => {
    const current = scene();
    for (let n = 0; n < 10; n++) expect((await guess(current)).status).toBe(401);
    const waits = [];
    for (let n = 0; n < 8; n++) {
      const response = await guess(current, n % 2 === 0 ? ANN : "wrong");
      expect(await response.json()).toMatchObject({ status: 429, code: "rate_limited", budget: "admin" });
      waits.push(Number(response.headers.get("retry-after")));
      current.nowMs += Number(waits.at(-1)) * 1000;
      expect((await guess(current)).status).toBe(401);
    }
    expect(waits).toEqual([1, 2, 4, 8, 16, 32, 60, 60]);
    expect((await current.call("act", { headers: bearer(ANN, "203.0.113.8") })).status).toBe(200);
    current.nowMs += 60_000;
    expect((await guess(current, ANN)).status).toBe(200);
  });

  test("at once is counted as in turn", async () => {
    const current = scene();
    const answers = await Promise.all(Array.from({ length: 50 }, () => guess(current)));
    expect(answers.filter(({ status }) => status === 401)).toHaveLength(10);
    expect(answers.filter(({ status }) => status === 429)).toHaveLength(40);
  });

  test("of sessions and assertions counts as well; what was right once, or is nothing, does not", async () => {
    const current = scene();
    const cookie = await signedIn(current);
    const assertion = await access.sign(current.nowMs);
    current.nowMs += 9 * 3_600_000;
    const address = { "CF-Connecting-IP": HOME };
    for (let n = 0; n < 30; n++) {
      for (const headers of [
        { cookie, ...ACTION },
        { "Cf-Access-Jwt-Assertion": assertion },
        { Authorization: "Basic abc" },
        {},
      ]) {
        expect((await current.call("act", { headers: { ...headers, ...address } })).status).toBe(401);
      }
    }
    for (const headers of [{ cookie: "spillway_admin=a.b.c" }, { "Cf-Access-Jwt-Assertion": "a.b.c" }]) {
      for (let n = 0; n < 5; n++)
        expect((await current.call("act", { headers: { ...headers, ...address } })).status).toBe(401);
    }
    for (const headers of [{ cookie: "spillway_admin=a.b.c" }, bearer(ANN)]) {
      expect((await current.call("act", { headers: { ...headers, ...address } })).status).toBe(429);
    }
  });

  test("of others behind the same address throws out nobody who is signed in", async () => {
    const current = scene();
    const cookie = await signedIn(current);
    for (let n = 0; n < 11; n++) await guess(current);
    const headers = { "CF-Connecting-IP": HOME, cookie, ...ACTION };
    expect((await current.call("act", { headers })).status).toBe(200);
  });

  test("is counted by the binding across isolates: failures alone, and over its limit the network is kept out", async () => {
    const current = scene();
    expect((await guess(current, ANN)).status).toBe(200);
    expect(current.asked).toEqual([]);
    expect((await guess(current)).status).toBe(401);
    expect(current.asked).toEqual([`admin:address:${HOME}`]);
    current.isWithinLimit = false;
    const response = await guess(current);
    expect([response.status, response.headers.get("retry-after")]).toEqual([429, "60"]);
    expect((await guess(current, ANN)).status).toBe(429);
    expect(current.asked).toHaveLength(2);
    current.nowMs += 60_000;
    expect((await guess(current, ANN)).status).toBe(200);
  });
});

/** What was told, without name and time. */
const entries = ({ told }: Scene) =>
  told.map((record) => {
    const { event, time, ...rest } = record as Extract<TelemetryRecord, { event: "AdminAction" | "AdminRefused" }>;
    expect([event, Date.parse(time)]).toEqual([
      rest.actor === "unknown" ? "AdminRefused" : "AdminAction",
      expect.any(Number),
    ]);
    return rest;
  });

describe("the record", () => {
  test("tells every action with actor, result and target, and no look that went well", async () => {
    const target: AdminAction = { name: "reset", target: (context) => context.req.query("shard"), query: ["shard"] };
    const current = scene([[target, () => new Response(null, { status: 409 })]]);
    await current.call("act", { headers: bearer(ANN) });
    await current.call("look", { method: "GET", headers: bearer(ANN) });
    await current.call(`reset?shard=${"7".repeat(1000)}`, { headers: bearer(ANN) });
    await current.call("reset", { headers: bearer(ANN) });
    expect(entries(current)).toEqual([
      { action: "act", actor: "ann", result: "200" },
      { action: "reset", actor: "ann", result: "409", target: "7".repeat(254) },
      { action: "reset", actor: "ann", result: "409" },
    ]);
  });

  test("tells who was not let in as unknown, without what they were after", async () => {
    const current = scene([[{ name: "reset", target: () => "a target" }, ok]]);
    await current.call("reset");
    await current.call("look", { method: "GET", headers: bearer("wrong") });
    expect(entries(current)).toEqual([
      { action: "reset", actor: "unknown", result: "unauthorized" },
      { action: "look", actor: "unknown", result: "unauthorized" },
    ]);
    await current.call("session", { method: "GET" });
    expect(current.told).toHaveLength(2);
  });

  test.each([
    ["its handler", { name: "break" }, () => Promise.reject(new Error("broken"))],
    ["its handler, at once", { name: "break", isLook: true }, () => raise()],
    ["naming its target", { name: "break", target: () => raise() }, ok],
  ] as const)("tells an action that broke in %s", async (_, action, handler) => {
    const current = scene([[action, handler as AdminHandler]]);
    expect((await current.call("break", { headers: bearer(ANN) })).status).toBe(500);
    expect(entries(current)).toEqual([{ action: "break", actor: "ann", result: "500" }]);
  });

  test("a flood of refusals is cut short and counted; actions are told all the same", async () => {
    const current = scene();
    for (let n = 0; n < REFUSALS_PER_MIN + 25; n++) await current.call("act");
    await current.call("act", { headers: bearer(ANN) });
    expect(current.told).toHaveLength(REFUSALS_PER_MIN + 1);
    expect(entries(current).at(-1)).toEqual({ action: "act", actor: "ann", result: "200" });
    current.nowMs += 60_000;
    await current.call("act");
    expect(entries(current).at(-1)).toEqual({ action: "act", actor: "unknown", result: "unauthorized", untold: 25 });
  });

  test("what is done is logged whatever came before it in the same second: refusals, or many actions", async () => {
    const lines: string[] = [];
    const current = scene();
    const log = createLogSink((line) => lines.push(line));
    const logged = () => {
      for (const record of current.told.splice(0)) log(record);
      return lines.splice(0).map((line) => JSON.parse(line) as Record<string, unknown>);
    };
    for (let n = 0; n < REFUSALS_PER_MIN; n++) await current.call("act");
    await current.call("act", { headers: bearer(ANN) });
    expect(logged().at(-1)).toMatchObject({ event: "AdminAction", action: "act", actor: "ann" });
    for (let n = 0; n < 3 * REFUSALS_PER_MIN; n++) await current.call("act", { headers: bearer(ANN) });
    expect(logged()).toHaveLength(3 * REFUSALS_PER_MIN);
  });

  test("is written also where the caller has hung up before the action was through", async () => {
    const through = Promise.withResolvers<Response>();
    const current = scene([[{ name: "reset" }, () => through.promise]]);
    void current.call("reset", { headers: bearer(ANN) });
    await expect.poll(() => current.keptAlive).toHaveLength(1);
    expect(current.told).toEqual([]);
    through.resolve(new Response(null));
    await current.keptAlive[0];
    expect(entries(current)).toEqual([{ action: "reset", actor: "ann", result: "200" }]);
  });

  test("holds no token and no session", async () => {
    const current = scene();
    const cookie = await signedIn(current);
    await current.call("act", { headers: { cookie } });
    await current.call("act", { headers: bearer(`${ANN}x`) });
    const told = JSON.stringify(current.told);
    for (const secret of [ANN, TEST_SECRETS.ADMIN_TOKEN, cookie.split("=")[1] ?? "none"])
      expect(told).not.toContain(secret);
  });
});

function raise(): never {
  throw new Error("broken");
}
