/**
 * Operators' routes against whoever is no operator, and against hostile input: every route that the router knows.
 */
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import {
  CROOKED_TARGETS,
  HOSTILE_BODIES,
  HOSTILE_VALUES,
  QUERY_NAMES,
  sendRaw,
  WRONG_CREDENTIALS,
} from "../fixtures/admin-attacks.ts";
import { listAdminRoutes, otherMethods, pathOf, type AdminRoute } from "../fixtures/admin-routes.ts";
import { startLakeService, type LakeService } from "../fixtures/lake-service.ts";
import { findLeaks, secretsIn } from "../fixtures/secret-scan.ts";
import { TEST_SECRETS } from "../fixtures/test-secrets.ts";

const PUBLIC = resolve(import.meta.dirname, "../../public/admin");
const METRICS_TOKEN = "test-metrics-token-0123456789abcdef0123456789";
/** More than any route takes. */
const OVERSIZED_BYTES = 12 * 1024 * 1024;
const BEARER = { Authorization: `Bearer ${TEST_SECRETS.ADMIN_TOKEN}` };

const routes = listAdminRoutes();
/** Where the page and its files are served from. They hold nothing: what they ask for is behind the guard. */
const PAGE = /^\/admin(?:\/assets\/(.+))?$/;
const isFile = ({ method, path }: AdminRoute) => method === "GET" && PAGE.test(path);
const guarded = routes.filter((route) => !isFile(route));
const named = (list: readonly AdminRoute[]) =>
  list.map((route) => [`${route.method} ${route.pattern}`, route] as const);

let service: LakeService;
beforeAll(async () => {
  service = await startLakeService({
    vars: {
      ICEBERG_SHARDS: 1,
      // Nothing is committed by itself meanwhile.
      ICEBERG_BUFFER_TIMEOUT_MS: 3_600_000,
      CLIENT_AUTH: "bearer",
      CLIENT_KEYS: { a: ["client-key-of-tenant-a-1"] },
      METRICS_TOKEN,
    },
  });
});
afterAll(async () => {
  await service.stop();
});

let networks = 0;
/** Each attempt from a network of its own: what slows guessing down is tested elsewhere. */
function nextNetwork(): Record<string, string> {
  networks++;
  return { "CF-Connecting-IP": `10.${networks >> 16}.${(networks >> 8) & 255}.${networks & 255}` };
}

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

/** No answer, whatever was asked, holds a secret or what an attacker wanted in its head. */
async function ask(method: string, pathAndQuery: string, init: RequestInit = {}): Promise<Answer> {
  const response = await fetch(service.origin + pathAndQuery, { redirect: "manual", ...init, method });
  const { status, headers } = response;
  const text = await response.text();
  const isSession = pathAndQuery.startsWith("/admin/session") && status === 204;
  expect(isSession ? [] : secretsIn(text + JSON.stringify([...headers]))).toEqual([]);
  expect(headers.get("set-cookie") ?? "").not.toContain("planted");
  return { status, headers, text };
}

const LOST = { status: 0, headers: new Headers(), text: "" };
/** Every flush makes a snapshot, and with many of them the other actions take their time. */
const flushLast = (left: AdminRoute, right: AdminRoute) => rank(left) - rank(right);
const rank = ({ pattern }: AdminRoute) => (pattern === "/admin/flush" ? 1 : 0);

function bytesOf(body: string | Uint8Array): Uint8Array<ArrayBuffer> {
  return typeof body === "string" ? new TextEncoder().encode(body) : new Uint8Array(body);
}

test("the router tells its routes, so that none is forgotten here", () => {
  const known = routes.map(({ method, pattern }) => `${method} ${pattern}`);
  expect(known).toEqual(expect.arrayContaining(["POST /admin/flush", "GET /admin/status", "DELETE /admin/session"]));
});

describe("without a credential nothing opens", () => {
  test.each(named(guarded))("%s", async (_, { method, path }) => {
    for (const { name, headers = {}, query } of WRONG_CREDENTIALS) {
      const target = query === undefined ? path : `${path}?${query}`;
      const {
        status,
        headers: answered,
        text,
      } = await ask(method, target, { headers: { ...nextNetwork(), ...headers } });
      expect({ name, status, text }).toMatchObject({ status: 401, text: expect.stringMatching(/"unauthorized"/) });
      expect(answered.get("www-authenticate")).toBe('Bearer realm="spillway"');
      expect(answered.get("cache-control")).toBe("no-store");
    }
  });

  test.each(named(guarded.filter(({ pattern }) => !pattern.startsWith("/metrics"))))(
    "the metrics token does not open %s",
    async (_, { method, path }) => {
      const headers = { ...nextNetwork(), Authorization: `Bearer ${METRICS_TOKEN}` };
      expect((await ask(method, path, { headers })).status).toBe(401);
    },
  );

  test("nor does another method, with a token or without", async () => {
    for (const pattern of new Set(guarded.map((route) => route.pattern))) {
      for (const method of otherMethods(routes, pattern)) {
        for (const headers of [{}, BEARER]) {
          const { status, text } = await ask(method, pathOf(pattern), { headers });
          expect({ method, pattern, status, text }).toMatchObject({
            status: 405,
            text: expect.stringMatching(/"method_not_allowed"/),
          });
        }
      }
    }
    for (const { path } of guarded) {
      const { status, text } = await ask("HEAD", path, { headers: BEARER });
      expect({ path, status, text }).toEqual({ path, status: 405, text: "" });
    }
  });

  test.each(CROOKED_TARGETS)("nor by a crooked way: %s", async (target) => {
    const answer = await sendRaw(service.origin, `GET ${target} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close`);
    expect(answer).toMatch(/^(?:$|HTTP\/1\.1 4\d\d )/);
    expect(answer).not.toContain('"shards"');
  });

  test.each([
    ["two credentials", `Authorization: Bearer wrong\r\nAuthorization: Bearer ${TEST_SECRETS.ADMIN_TOKEN}`],
    ["a folded header", `Authorization: Bearer\r\n ${TEST_SECRETS.ADMIN_TOKEN}x`],
    ["NUL in it", `Authorization: Bearer ${TEST_SECRETS.ADMIN_TOKEN}\0`],
    ["a carriage return in it", `Authorization: Bearer ${TEST_SECRETS.ADMIN_TOKEN}\rX: y`],
    ["bytes above ASCII", `Authorization: Bearer ${TEST_SECRETS.ADMIN_TOKEN}\xff`],
    ["a cookie that splits", `Cookie: spillway_admin=a\r\n;b=c; spillway_admin="${TEST_SECRETS.ADMIN_TOKEN}"`],
  ])("nor by a crooked header: %s", async (_, header) => {
    const address = nextNetwork()["CF-Connecting-IP"] ?? "";
    const head = `GET /admin/status HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nCF-Connecting-IP: ${address}`;
    const answer = await sendRaw(service.origin, `${head}\r\n${header}`);
    expect(answer).toMatch(/^(?:$|HTTP\/1\.1 4\d\d )/);
    expect(answer).not.toContain('"shards"');
  });
});

describe("hostile input of an operator breaks nothing", () => {
  const withId = guarded.filter(({ pattern }) => pattern.includes(":"));

  test.each(named(withId))("in the path of %s", async (_, route) => {
    for (const [name, value] of HOSTILE_VALUES) {
      const { status, text } = await ask(route.method, pathOf(route.pattern, value), { headers: BEARER });
      expect({ name, status, text }).toMatchObject({ status: expect.toSatisfy(isRefusal) });
    }
  });

  test.each(named(guarded.toSorted(flushLast)))("in query and body of %s", async (_, { method, path }) => {
    const tell = async (name: string, target: string, init: RequestInit) => {
      const { status, text } = await ask(method, target, init);
      expect({ name, target: target.slice(0, 200), status, text }).toMatchObject({
        status: expect.toSatisfy(isNoFault),
      });
    };
    const queries = HOSTILE_VALUES.map(
      ([name, value]) => [name, QUERY_NAMES.map((query) => `${query}=${value}`)] as const,
    );
    for (const [name, query] of queries) await tell(name, `${path}?${query.join("&")}`, { headers: BEARER });
    for (const name of QUERY_NAMES) await tell("twice", `${path}?${name}=%00&${name}=-1`, { headers: BEARER });
    if (method === "GET") return;
    const type = { "Content-Type": "application/json" };
    for (const [name, body, headers] of HOSTILE_BODIES) {
      await tell(name, path, { body: bytesOf(body), headers: { ...BEARER, ...type, ...headers } });
    }
    const body = bytesOf(" ".repeat(OVERSIZED_BYTES));
    // Refused before it is sent whole, the connection may be cut.
    const answer = await ask(method, path, { body, headers: { ...BEARER, ...type } }).catch(() => LOST);
    expect(answer).toMatchObject({ status: expect.toSatisfy(isNoFault) });
  });
});

describe("the page", () => {
  test.each(named(routes.filter(isFile)))("%s is a file as it lies there, without a secret", async (_, route) => {
    const { status, text } = await ask(route.method, route.path);
    expect(status).toBe(200);
    const name = PAGE.exec(route.path)?.[1];
    const file = readFileSync(join(PUBLIC, name ?? "index.html"), "utf8");
    expect(secretsIn(file)).toEqual([]);
    // The disk behind this service has no index for a folder, as Cloudflare's assets do.
    expect(name === undefined ? file : text).toBe(file);
  });
});

test("the look for secrets in what this service has written can fail: a planted line is found", () => {
  const lines = service.lines as string[];
  const line = JSON.stringify({ event: "Planted", token: METRICS_TOKEN });
  lines.push(line);
  try {
    expect(findLeaks()).toEqual([`the service has written METRICS_TOKEN: ${line.replace(METRICS_TOKEN, "***")}`]);
  } finally {
    lines.splice(lines.indexOf(line), 1);
  }
  expect(findLeaks()).toEqual([]);
});

function isNoFault(status: number): boolean {
  return status < 500;
}

function isRefusal(status: number): boolean {
  return status >= 400 && status < 500;
}
