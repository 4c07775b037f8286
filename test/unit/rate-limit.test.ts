/**
 * Admission: who counts as one client, what a limiter is handed, and what becomes of its answers.
 */
import { array, assert, constant, integer, oneof, property } from "fast-check";
import { describe, expect, it, test } from "vitest";

import type { ConfigFault, RateBudget } from "../../protocol/errors.ts";
import { describeProblem } from "../../protocol/errors.ts";
import type { TelemetryRecord } from "../../protocol/telemetry.ts";
import { networkOf } from "../../workers/http/client-network.ts";
import { identifyClient, RateGate } from "../../workers/http/rate-limit.ts";
import { readRateLimits, type RateLimiter } from "../../workers/rate-limits.ts";

const KEY = "client-key-of-tenant-a-1";
const OTHER_KEY = "client-key-of-tenant-b-1";
const TENANTS = new Map([
  [KEY, "a"],
  [OTHER_KEY, "b"],
]);
const KEYED = { clientAuth: "bearer", tenantByKey: TENANTS } as const;
const OPEN = { clientAuth: "none", tenantByKey: TENANTS } as const;

function requestFrom(address: string | undefined, key?: string): Request {
  const headers = new Headers();
  if (address !== undefined) headers.set("cf-connecting-ip", address);
  if (key !== undefined) headers.set("authorization", `Bearer ${key}`);
  return new Request("https://spillway.example/demo/stream", { headers });
}

/** The platform's own spelling: the longest run of zeros left out. */
function short(groups: readonly number[]): string {
  const text = groups.map((group) => group.toString(16)).join(":");
  return new URL(`http://[${text}]/`).hostname.slice(1, -1);
}

describe("an address", () => {
  test.each([
    ["203.0.113.7", "203.0.113.7"],
    ["", "unknown"],
    ["::ffff:203.0.113.7", "203.0.113.7"],
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
    ["2001:0DB8:0001:0002::", "2001:db8:1:2::/64"],
    ["2001:db8::1", "2001:db8:0:0::/64"],
    ["::1", "0:0:0:0::/64"],
    ["::ffff:0", "0:0:0:0::/64"],
    ["64:ff9b::203.0.113.7", "64:ff9b:0:0::/64"],
    ["no:address:at:all", "no:address:at:all"],
    ["<script>", "<script>"],
  ])("%j is the network %j", (address, network) => {
    expect(networkOf(address)).toBe(network);
  });

  it("of IPv4 is the same however IPv6 spells it", () => {
    for (const address of ["::ffff:192.0.2.128", "::FFFF:c000:280", "0:0:0:0:0:ffff:c000:0280"]) {
      expect(networkOf(address)).toBe("192.0.2.128");
    }
  });

  it("of IPv6 is its /64 in any spelling, and no other's", () => {
    const group = oneof(constant(0), integer({ min: 0, max: 0xffff }));
    const groups = array(group, { minLength: 8, maxLength: 8 }).filter((address) => !isMapped(address));
    assert(
      property(groups, groups, (left, right) => {
        const full = left.map((value) => value.toString(16).padStart(4, "0").toUpperCase()).join(":");
        expect(networkOf(short(left))).toBe(networkOf(full));
        const neighbour = [...left.slice(0, 4), ...right.slice(4)];
        if (isMapped(neighbour)) return;
        expect(networkOf(short(neighbour))).toBe(networkOf(full));
        const isSame = left.slice(0, 4).join() === right.slice(0, 4).join();
        expect(networkOf(short(right)) === networkOf(full)).toBe(isSame);
      }),
    );
  });
});

describe("a client", () => {
  const address = "203.0.113.7";
  const byAddress = { kind: "address", network: address };
  test.each([
    ["its key, where it is known", KEYED, `Bearer ${KEY}`, { kind: "key", key: KEY }],
    ["its address, where the key is made up", KEYED, "Bearer client-key-of-nobody-000", byAddress],
    ["its address, where a resume token came instead", KEYED, "Bearer aaa.bbb.ccc", byAddress],
    ["its address, where nothing came", KEYED, undefined, byAddress],
    ["its address, where keys are not in use", OPEN, `Bearer ${KEY}`, byAddress],
  ] as const)("is %s", (_, config, authorization, client) => {
    expect(identifyClient(config, { authorization, address })).toEqual(client);
  });
});

interface Scene {
  readonly gate: RateGate;
  /** Keys that each limiter was asked for. */
  readonly asked: Record<RateBudget, string[]>;
  readonly told: TelemetryRecord[];
  answer: () => boolean;
  nowMs: number;
}

function scene(budgets: readonly RateBudget[] = ["start", "resume"], secret = "s".repeat(32)): Scene {
  const asked: Scene["asked"] = { start: [], resume: [], admin: [] };
  const told: TelemetryRecord[] = [];
  const limiter = (budget: RateBudget): RateLimiter => ({
    limit: async ({ key }) => {
      asked[budget].push(key);
      return { success: current.answer() };
    },
  });
  const limiters = Object.fromEntries(budgets.map((budget) => [budget, limiter(budget)]));
  const gate = new RateGate({
    config: { ...KEYED, idempotencySecret: secret, rateLimits: { limiters, periodSec: 10 } },
    telemetry: (record) => told.push(record),
    clock: () => current.nowMs,
  });
  const current: Scene = { gate, asked, told, answer: () => true, nowMs: 1_000_000 };
  return current;
}

describe("the gate", () => {
  it("lets everybody through where no limiter is bound", async () => {
    const { gate, asked } = scene(["resume"]);
    expect(await gate.check("start", requestFrom("203.0.113.7"))).toBeUndefined();
    expect(asked).toEqual({ start: [], resume: [], admin: [] });
  });

  it("asks the budget's own limiter, under a key of that budget", async () => {
    const { gate, asked } = scene();
    await gate.check("start", requestFrom("203.0.113.7"));
    await gate.check("resume", requestFrom(undefined));
    expect(asked).toMatchObject({ start: ["start:address:203.0.113.7"], resume: ["resume:address:unknown"] });
  });

  it("hands limiters a hash of a client key: the same for the same one, and of no use without the secret", async () => {
    const { gate, asked } = scene();
    for (const key of [KEY, OTHER_KEY, KEY]) await gate.check("start", requestFrom("203.0.113.7", key));
    const elsewhere = scene(["start"], "t".repeat(32));
    await elsewhere.gate.check("start", requestFrom("203.0.113.7", KEY));
    const [first, second, third] = asked.start;
    expect(first).toMatch(/^start:key:[\da-f]{64}$/);
    expect(third).toBe(first);
    expect(new Set([first, second, ...elsewhere.asked.start]).size).toBe(3);
    expect(asked.start.join()).not.toContain(KEY);
  });

  it("refuses with the budget and the period", async () => {
    const current = scene();
    current.answer = () => false;
    const error = await current.gate.check("resume", requestFrom("203.0.113.7"));
    expect(error).toEqual({ code: "rate_limited", budget: "resume", retryAfterSec: 10 });
    expect(error && describeProblem(error)).toMatchObject({
      status: 429,
      headers: { "Retry-After": "10" },
      extensions: { budget: "resume" },
    });
    expect(current.told).toEqual([]);
  });

  it("is open while a limiter fails, and says so once a minute, without the error's message", async () => {
    const current = scene();
    current.answer = () => {
      throw new RangeError("for start:address:203.0.113.7");
    };
    const call = () => current.gate.check("start", requestFrom("203.0.113.7"));
    for (let n = 0; n < 5; n++) expect(await call()).toBeUndefined();
    current.nowMs += 59_999;
    await call();
    expect(current.told).toEqual([
      {
        event: "RateLimiterFailed",
        budget: "start",
        reason: "RangeError",
        failures: 1,
        time: "1970-01-01T00:16:40.000Z",
      },
    ]);
    current.nowMs += 1;
    await call();
    expect(current.told.slice(1)).toMatchObject([{ failures: 6 }]);
  });
});

function read(variables: Record<string, unknown>) {
  const faults: ConfigFault[] = [];
  return { limits: readRateLimits(variables, faults), faults };
}

describe("settings", () => {
  const binding = { limit: async () => ({ success: true }) };
  it("are no limits and a minute by default", () => {
    expect(read({})).toEqual({ limits: { limiters: {}, periodSec: 60 }, faults: [] });
    expect(read({ RATE_LIMIT_START: "", RATE_LIMIT_PERIOD_SEC: "" })).toEqual(read({}));
  });

  it("take either binding alone, and the platform's periods as number or text", () => {
    expect(read({ RATE_LIMIT_RESUME: binding }).limits.limiters).toEqual({ resume: binding });
    expect(read({ RATE_LIMIT_START: binding }).limits.limiters).toEqual({ start: binding });
    for (const given of [10, "10"]) expect(read({ RATE_LIMIT_PERIOD_SEC: given }).limits.periodSec).toBe(10);
  });

  test.each([true, 5, "yes", null, {}, { limit: 5 }, () => undefined])("no limiter, and named: %j", (given) => {
    const { limits, faults } = read({ RATE_LIMIT_START: given, RATE_LIMIT_RESUME: binding });
    expect(limits.limiters).toEqual({ resume: binding });
    expect(faults).toEqual([
      { variable: "RATE_LIMIT_START", found: expect.stringMatching(/\w/), allowed: "a rate limit binding, or none" },
    ]);
  });

  test.each([0, 30, 61, "1e1", true, {}])("a period the platform has not is named: %j", (given) => {
    const { faults } = read({ RATE_LIMIT_PERIOD_SEC: given });
    expect(faults).toEqual([{ variable: "RATE_LIMIT_PERIOD_SEC", found: JSON.stringify(given), allowed: "10 or 60" }]);
  });
});

function isMapped(address: readonly number[]): boolean {
  return address.slice(0, 6).join() === "0,0,0,0,0,65535";
}
