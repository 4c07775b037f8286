/**
 * The look for secrets in all output finds them: it would be worth nothing if it could not fail.
 */
import { SignJWT } from "jose";
import { expect, test } from "vitest";

import { findLeaks, secretsIn, watchOutput } from "../fixtures/secret-scan.ts";
import { TEST_SECRETS } from "../fixtures/test-secrets.ts";

const leaksIn = (line: string) => findLeaks([{ name: "a service", lines: ["ready", line] }]);

test.each([
  ["SSE_RESUME_SECRET", TEST_SECRETS.SSE_RESUME_SECRET],
  ["HMAC_SECRET", TEST_SECRETS.HMAC_SECRET],
  ["ADMIN_TOKEN", TEST_SECRETS.ADMIN_TOKEN],
  ["INGEST_KEYS", "test-ingest-key-acme"],
  ["ICEBERG_READ_TOKEN", TEST_SECRETS.ICEBERG_READ_TOKEN],
])("%s is found in a line, also in base64, and not shown", (name, secret) => {
  const line = JSON.stringify({ event: "Planted", headers: { authorization: `Bearer ${secret}` } });
  expect(leaksIn(line)).toEqual([`a service has written ${name}: ${line.replace(secret, "***")}`]);
  expect(leaksIn(btoa(secret))).toHaveLength(1);
});

test("a signed token of any kind is found", async () => {
  const token = await new SignJWT({ sub: "x" }).setProtectedHeader({ alg: "HS256" }).sign(new Uint8Array(32));
  expect(leaksIn(`GET /resume?token=${token}`)).toEqual([
    "a service has written a signed token: GET /resume?token=***",
  ]);
});

test("a service's own secrets count, at any depth; tenants, short words and other variables do not", () => {
  watchOutput(
    { name: "nothing", lines: [] },
    {
      CLIENT_KEYS: { "tenant-of-keys": ["planted-client-key-1"] },
      ADMIN_TOKENS: '{"ann":"planted-token-of-ann-0123456789abcdef"}',
      METRICS_TOKEN: "short",
      ICEBERG_TABLE: "planted-table-name",
    },
  );
  expect(secretsIn("planted-client-key-1, planted-token-of-ann-0123456789abcdef")).toEqual([
    "CLIENT_KEYS",
    "ADMIN_TOKENS",
  ]);
  expect(secretsIn("tenant-of-keys short planted-table-name ann")).toEqual([]);
});

test("what is no secret is left alone", () => {
  for (const line of ["", "ready", '{"event":"AdminAction","actor":"admin"}', "AAAAAAAAAAAAAAAAAAAAAA"]) {
    expect(leaksIn(line)).toEqual([]);
  }
});
