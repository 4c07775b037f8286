/**
 * Keys of tenants: read with every fault named and no key shown, and found whole or not at all.
 */
import { expect, test } from "vitest";

import type { ConfigFault } from "../../protocol/errors.ts";
import { authenticateIngest, readIngestKeys } from "../../workers/ingest/ingest-keys.ts";
import { bearerOf, readTenantKeys, tenantOfKey } from "../../workers/tenant-keys.ts";

const A = "a-key-of-acme-000001";
const B = "a-key-of-acme-000002";
const C = "a-key-of-globex-0001";
const GOOD = { acme: [A, B], globex: [C] };

function reading(given: unknown) {
  const faults: ConfigFault[] = [];
  const keys = readTenantKeys("SOME_KEYS", given, faults);
  return { keys: [...keys], faults };
}

test.each([
  ["JSON text", JSON.stringify(GOOD)],
  ["an object", GOOD],
])("tenant by key, from %s", (_name, given) => {
  const keys: [string, string][] = [
    [A, "acme"],
    [B, "acme"],
    [C, "globex"],
  ];
  expect(reading(given)).toEqual({ keys, faults: [] });
});

test.each([undefined, "", {}, "{}"])("%j is no keys, and no fault", (given) => {
  expect(reading(given)).toEqual({ keys: [], faults: [] });
});

test.each([
  "not json",
  "[]",
  "null",
  7,
  { acme: A },
  { acme: [] },
  { "": [A] },
  { acme: ["secret-15-chars"] },
  { acme: ["secret with a space"] },
  { acme: ["secret-not-ascii-ü"] },
  { acme: ["eyJhbGciOiJIUzI1NiJ9.secretsecret.secretsecret"] },
  { acme: [A, 5] },
])("%j is a fault that shows no key", (given) => {
  const { keys, faults } = reading(given);
  expect(keys).toEqual([]);
  expect(faults).toMatchObject([{ variable: "SOME_KEYS" }]);
  expect(JSON.stringify(faults)).not.toContain("secret");
  expect(faults[0]?.allowed).toContain("at least 16");
});

test("one key for two tenants is a fault that names them; twice for one is none", () => {
  expect(reading({ acme: [A], globex: [A] }).faults).toMatchObject([{ found: "one key for acme and globex" }]);
  expect(reading({ acme: [A, A] }).faults).toEqual([]);
});

test("a key is found whole, in any place, and nothing near it is", () => {
  const keys = readIngestKeys(GOOD, []);
  for (const [key, tenant] of [
    [A, "acme"],
    [B, "acme"],
    [C, "globex"],
  ] as const)
    expect(tenantOfKey(keys, key)).toBe(tenant);
  for (const near of ["", A.slice(1), A.slice(0, -1), `${A}x`, A + A, A.toUpperCase(), A.replace("1", "3"), " "]) {
    expect(tenantOfKey(keys, near), near).toBe(undefined);
  }
  expect(tenantOfKey(new Map(), A)).toBe(undefined);
});

test("the ingest key comes in a bearer header", () => {
  const keys = readIngestKeys(JSON.stringify(GOOD), []);
  expect(authenticateIngest(keys, `Bearer ${C}`)).toBe("globex");
  for (const header of [undefined, "", C, `Basic ${C}`, `Bearer ${C} x`, "Bearer "]) {
    expect(authenticateIngest(keys, header), header).toBe(undefined);
  }
  const faults: ConfigFault[] = [];
  readIngestKeys("{", faults);
  expect(faults).toMatchObject([{ variable: "INGEST_KEYS" }]);
});

test.each([
  ["Bearer abc", "abc"],
  ["bearer  abc", "abc"],
  ["Bearerabc", undefined],
  ["Bearer a b", undefined],
  [undefined, undefined],
])("the credential of %j is %j", (header, credential) => {
  expect(bearerOf(header)).toBe(credential);
});
