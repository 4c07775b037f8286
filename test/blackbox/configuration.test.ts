/**
 * Faulty configuration: told all at once, with what is allowed, and without the secrets in it.
 */
import { afterEach, describe, expect, test } from "vitest";

import { endService } from "../fixtures/end-service.ts";
import { problemOf } from "../fixtures/problems.ts";
import { parseObject } from "../fixtures/sse-reading.ts";
import { startService, type Service } from "../fixtures/workerd-service.ts";

const ROUTE = { name: "demo", upstream: "builtin:demo", allowGet: true };

let running: Service | undefined;

afterEach(async () => {
  if (running !== undefined) await endService(running);
  running = undefined;
});

interface Fault {
  readonly variable: string;
  readonly found: string;
  readonly allowed: string;
}

/** Starts a service with these variables and returns what /ready says is wrong with them. */
async function faultsOf(vars: Record<string, unknown>): Promise<Fault[]> {
  running = await startService({ vars });
  const response = await fetch(`${running.origin}/ready`);
  expect(response.status).toBe(503);
  const body = parseObject(await response.text());
  expect(body).toMatchObject({ status: "misconfigured", checks: { configuration: "failed" } });
  const faults = body["faults"];
  if (!Array.isArray(faults)) throw new Error("no list of faults");
  return faults.map((fault) => {
    expect(fault).toEqual({ variable: expect.any(String), found: expect.any(String), allowed: expect.any(String) });
    return fault;
  });
}

const faultOf = (faults: readonly Fault[], variable: string) => faults.find((fault) => fault.variable === variable);

describe("a faulty configuration", () => {
  test("is told all at once, each variable with what was found and what is allowed", async () => {
    const faults = await faultsOf({
      ROUTES: [ROUTE],
      SSE_BUFFER_MAX_EVENTS: 0,
      SSE_BUFFER_MAX_SIZE_MB: "much",
      SSE_HEARTBEAT_SEC: 91,
      SSE_RETRY_MS: 1.5,
      SSE_RESUME_TTL_SEC: -1,
      SSE_MAX_CLIENTS: true,
      SSE_CLIENT_LIMIT_POLICY: "evict-newest",
      CLIENT_AUTH: "basic",
      CLIENT_KEYS: { a: ["client-key-of-tenant-a-1"] },
      CORS_ORIGINS: "https://a.example.com/path",
    });
    expect(faults.map(({ variable }) => variable).sort()).toEqual([
      "CLIENT_AUTH",
      "CORS_ORIGINS",
      "SSE_BUFFER_MAX_EVENTS",
      "SSE_BUFFER_MAX_SIZE_MB",
      "SSE_CLIENT_LIMIT_POLICY",
      "SSE_HEARTBEAT_SEC",
      "SSE_MAX_CLIENTS",
      "SSE_RESUME_TTL_SEC",
      "SSE_RETRY_MS",
    ]);
    expect(faultOf(faults, "SSE_HEARTBEAT_SEC")).toMatchObject({ found: "91", allowed: "a whole number from 1 to 90" });
    expect(faultOf(faults, "SSE_BUFFER_MAX_SIZE_MB")).toMatchObject({ found: '"much"' });
    expect(faultOf(faults, "SSE_CLIENT_LIMIT_POLICY")).toMatchObject({ allowed: "evict-oldest or reject" });
  });

  test("leaves the service alive, not ready, and refuses every call with 503 misconfigured", async () => {
    await faultsOf({ ROUTES: [ROUTE], SSE_RETRY_MS: 0 });
    const { origin } = running ?? { origin: "" };
    const health = await fetch(`${origin}/health`);
    expect({ status: health.status, body: await health.json() }).toEqual({ status: 200, body: { status: "ok" } });
    for (const [path, method] of [
      ["/demo/stream", "POST"],
      ["/demo/stream", "GET"],
      ["/demo/resume", "GET"],
      ["/resume", "POST"],
      ["/", "GET"],
      ["/x", "PUT"],
    ] as const) {
      const response = await fetch(origin + path, { method });
      expect(await problemOf(response)).toMatchObject({ status: 503, code: "misconfigured" });
    }
  });

  test("secrets that are missing, too short or of the wrong kind are named and never shown", async () => {
    const secrets = {
      SSE_RESUME_SECRET: "tiny-secret-s3cr3t",
      SSE_RESUME_SECRET_PREVIOUS: "old-s3cr3t",
      HMAC_SECRET: "",
    };
    const keys = { CLIENT_AUTH: "bearer", CLIENT_KEYS: '{"a": ["short-s3cr3t"]}' };
    const faults = await faultsOf({ ROUTES: [ROUTE], ...secrets, ...keys });
    expect(faults.map(({ variable }) => variable).sort()).toEqual([
      "CLIENT_KEYS",
      "SSE_RESUME_SECRET",
      "SSE_RESUME_SECRET_PREVIOUS",
    ]);
    expect(faultOf(faults, "SSE_RESUME_SECRET")).toMatchObject({ found: "a secret of 18 characters" });
    const shown = JSON.stringify(faults) + (running?.lines.join("\n") ?? "");
    expect(shown).not.toContain("s3cr3t");
  });

  test("no secret at all, and no client keys where they are needed", async () => {
    const none = { SSE_RESUME_SECRET: undefined, HMAC_SECRET: undefined };
    const faults = await faultsOf({ ROUTES: [ROUTE], ...none, CLIENT_AUTH: "bearer" });
    expect(faultOf(faults, "SSE_RESUME_SECRET")).toMatchObject({ found: "nothing" });
    expect(faultOf(faults, "CLIENT_KEYS")).toMatchObject({ found: "nothing" });
  });

  test("one client key of two tenants is told without the key", async () => {
    const key = "shared-client-key-s3cr3t";
    const faults = await faultsOf({ ROUTES: [ROUTE], CLIENT_AUTH: "bearer", CLIENT_KEYS: { a: [key], b: [key] } });
    expect(faults).toMatchObject([{ variable: "CLIENT_KEYS", found: "one key for a and b" }]);
    expect(JSON.stringify(faults)).not.toContain("s3cr3t");
  });
});

describe("faults of ROUTES", () => {
  test("each is told with its place", async () => {
    const faults = await faultsOf({
      ROUTES: [
        { ...ROUTE, name: "Upper" },
        { ...ROUTE, name: "resume" },
        { ...ROUTE, name: "v1/stream" },
        { ...ROUTE, name: "url", upstream: "ftp://example.com/" },
        { ...ROUTE, name: "relative", upstream: "/path" },
        { ...ROUTE, name: "credentials", upstream: "https://user:s3cr3t@example.com/" },
        { ...ROUTE, name: "method", method: "DELETE" },
        { ...ROUTE, name: "timeout", connectTimeoutMs: 1 },
        { ...ROUTE, name: "typo", alowGet: true },
        { ...ROUTE, name: "alias", alias: "no-slash" },
        { ...ROUTE, name: "rule", priority: [{ event: "x", priority: "urgent" }] },
        { upstream: "builtin:demo" },
        { ...ROUTE, name: "header", headers: { "Authorization:": "Bearer s3cr3t" } },
      ],
    });
    expect(faults.map(({ variable }) => variable).sort()).toEqual(
      [
        "ROUTES[0].name",
        "ROUTES[1].name",
        "ROUTES[2].name",
        "ROUTES[3].upstream",
        "ROUTES[4].upstream",
        "ROUTES[5].upstream",
        "ROUTES[6].method",
        "ROUTES[7].connectTimeoutMs",
        "ROUTES[8]",
        "ROUTES[9].alias",
        "ROUTES[10].priority[0].priority",
        "ROUTES[11].name",
        "ROUTES[12].headers.Authorization:",
      ].sort(),
    );
    expect(faultOf(faults, "ROUTES[8]")?.allowed).toContain("alowGet");
    expect(JSON.stringify(faults) + (running?.lines.join("\n") ?? "")).not.toContain("s3cr3t");
  });

  test("a header that asks for an unknown secret", async () => {
    const headers = { Authorization: "Bearer ${NO_SUCH_KEY}", "X-Fine": "${SSE_RESUME_SECRET}" };
    const faults = await faultsOf({ ROUTES: [{ ...ROUTE, headers }] });
    expect(faults).toMatchObject([{ variable: "ROUTES[0].headers.Authorization", found: "${NO_SUCH_KEY}" }]);
  });

  test("two routes of one name, and an alias that is another route's path", async () => {
    const faults = await faultsOf({
      ROUTES: [
        ROUTE,
        ROUTE,
        { ...ROUTE, name: "a", alias: "/demo/stream" },
        { ...ROUTE, name: "b", alias: "/demo/resume" },
      ],
    });
    const found = faults.map((fault) => fault.found).join("; ");
    expect(found).toContain("/demo/stream twice");
    expect(found).toContain("/demo/resume");
    expect(faults.every(({ variable }) => variable.startsWith("ROUTES"))).toBe(true);
  });

  test.each(["/health", "/ready", "/resume", "/v1/stream/x", "/"])(
    "an alias that is a path of ours: %s",
    async (alias) => {
      const faults = await faultsOf({ ROUTES: [{ ...ROUTE, alias }] });
      expect(faults[0]?.variable).toMatch(/^ROUTES/);
    },
  );

  test.each([
    ["no JSON", "nonsense"],
    ["no array", '{"name":"x"}'],
    ["an empty array", "[]"],
    ["nothing", undefined],
  ])("%s", async (_, routes) => {
    const faults = await faultsOf({ ROUTES: routes });
    expect(faults.map(({ variable }) => variable)).toEqual(["ROUTES"]);
  });
});
