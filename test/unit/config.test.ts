/**
 * Configuration: all faults at once, nothing secret repeated, and documents that say what the code does.
 */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";

import { expect, test } from "vitest";
import { experimental_readRawConfig } from "wrangler";

import { LAKE_NUMBER_VARIABLES } from "../../protocol/lake-settings.ts";
import { SECRET_MIN_CHARS } from "../../protocol/variable-reading.ts";
import { NUMBER_VARIABLES, readConfig } from "../../workers/config.ts";
import { TEST_SECRETS } from "../fixtures/test-secrets.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const { rawConfig } = experimental_readRawConfig({ config: resolve(ROOT, "wrangler.jsonc") });
const GOOD = { ...rawConfig.vars, ...TEST_SECRETS, CLIENT_AUTH: "none" };

const ALL_NUMBER_VARIABLES = { ...NUMBER_VARIABLES, ...LAKE_NUMBER_VARIABLES };

function faultsOf(variables: Record<string, unknown>) {
  const reading = readConfig({ ...GOOD, ...variables });
  return reading.ok ? [] : reading.faults;
}

test("the configuration that ships is valid once it has its secrets", () => {
  const keys = { acme: ["0123456789abcdef"] };
  expect(faultsOf({})).toEqual([]);
  expect(faultsOf({ CLIENT_AUTH: "bearer", CLIENT_KEYS: JSON.stringify(keys) })).toEqual([]);
});

test("production does not start without its secrets", () => {
  const reading = readConfig({ ...rawConfig.vars });
  expect(reading.ok).toBe(false);
  const variables = reading.ok ? [] : reading.faults.map(({ variable }) => variable);
  expect(variables).toEqual(expect.arrayContaining(["SSE_RESUME_SECRET", "CLIENT_KEYS", "ADMIN_TOKEN"]));
});

test("every fault is named at once, with variable, what was found and what is allowed", () => {
  const faults = faultsOf({
    SSE_MAX_CLIENTS: "many",
    SSE_RETRY_MS: 1,
    SSE_BUFFER_MAX_EVENTS: 1.5,
    SSE_CLIENT_LIMIT_POLICY: "drop",
    CORS_ORIGINS: "app.example.com",
    ROUTES: [{ name: "Admin", upstream: "file:///etc/passwd", speed: 1 }],
  });
  expect(faults.map(({ variable }) => variable).toSorted()).toEqual([
    "CORS_ORIGINS",
    "ROUTES[0]",
    "ROUTES[0].name",
    "ROUTES[0].upstream",
    "SSE_BUFFER_MAX_EVENTS",
    "SSE_CLIENT_LIMIT_POLICY",
    "SSE_MAX_CLIENTS",
    "SSE_RETRY_MS",
  ]);
  expect(faults).toContainEqual({
    variable: "SSE_MAX_CLIENTS",
    found: '"many"',
    allowed: "a whole number from 1 to 10000",
  });
  for (const { found, allowed } of faults) expect([found, allowed]).not.toContain("");
});

test.each(Object.entries(ALL_NUMBER_VARIABLES))("%s is held to its bounds", (variable, { min, max, fallback }) => {
  const isFaulty = (value: unknown) => faultsOf({ [variable]: value }).some((fault) => fault.variable === variable);
  for (const value of [min - 1, max + 1, "x", {}, true, Number.NaN]) expect(isFaulty(value)).toBe(true);
  for (const value of [fallback, String(fallback), ""]) expect(isFaulty(value)).toBe(false);
});

test("a single event must fit the buffer", () => {
  const faults = faultsOf({ SSE_BUFFER_MAX_SIZE_MB: 0.5, SSE_MAX_EVENT_BYTES: 1_048_576 });
  expect(faults.map(({ variable }) => variable)).toEqual(["SSE_MAX_EVENT_BYTES"]);
});

test("an archive needs its bucket, and buffers that fit into memory whole", () => {
  const archive = { SSE_ARCHIVE: true, ARCHIVE_BUCKET: {} };
  expect(faultsOf({ ...archive, SSE_BUFFER_MAX_SIZE_MB: 16 })).toEqual([]);
  expect(faultsOf({ ...archive, SSE_BUFFER_MAX_SIZE_MB: 16.5 })).toEqual([
    { variable: "SSE_BUFFER_MAX_SIZE_MB", found: "16.5", allowed: "at most 16, since SSE_ARCHIVE is true" },
  ]);
  expect(faultsOf({ SSE_ARCHIVE: false, SSE_BUFFER_MAX_SIZE_MB: 64 })).toEqual([]);
  expect(faultsOf({ SSE_ARCHIVE: "true", SSE_BUFFER_MAX_SIZE_MB: 20 }).map(({ variable }) => variable)).toEqual([
    "ARCHIVE_BUCKET",
    "SSE_BUFFER_MAX_SIZE_MB",
  ]);
});

test("a faulty secret is described by its length alone", () => {
  const secret = "hunter2-hunter2";
  const faults = faultsOf({
    SSE_RESUME_SECRET: secret,
    HMAC_SECRET: undefined,
    CLIENT_AUTH: "bearer",
    CLIENT_KEYS: { acme: [secret] },
  });
  expect(faults.map(({ variable }) => variable)).toEqual(["SSE_RESUME_SECRET", "CLIENT_KEYS"]);
  expect(JSON.stringify(faults)).not.toContain(secret);
  expect(faults[0]?.found).toBe(`a secret of ${secret.length} characters`);
  expect(secret.length).toBeLessThan(SECRET_MIN_CHARS);
});

test.each(["with space 0123456789", "beta.key.0123456789", "schlüssel-0123456789", "short"])(
  "a key that no bearer header could carry as one is refused: %s",
  (key) => {
    expect(faultsOf({ CLIENT_KEYS: { acme: [key] } })[0]).toMatchObject({ variable: "CLIENT_KEYS" });
  },
);

test("an entry of ROUTES with several faults has all of them named", () => {
  const entry = { name: "Bad Name", upstream: "ftp://x", headers: { a: "${NOPE}", "b c": "x" }, zzz: 1 };
  const good = { name: "a", upstream: "builtin:demo", alias: "/x" };
  const variables = faultsOf({ ROUTES: [entry, good, { ...good, upstream: "x" }] }).map(({ variable }) => variable);
  const expected = ["ROUTES[0].name", "ROUTES[0].upstream", "ROUTES[0].headers.b c", "ROUTES[0].headers.a"];
  expect(variables).toEqual(expect.arrayContaining([...expected, "ROUTES[0]", "ROUTES[2].upstream", "ROUTES"]));
});

test("a key of two tenants is refused: it could not name one", () => {
  const faults = faultsOf({ CLIENT_KEYS: { a: ["0123456789abcdef"], b: ["0123456789abcdef"] } });
  expect(faults[0]).toMatchObject({ variable: "CLIENT_KEYS", found: "one key for a and b" });
});

test("routes: secrets are filled into headers, and an unknown one is a fault", () => {
  const route = {
    name: "chat",
    upstream: "https://api.example.com/v1",
    headers: { authorization: "Bearer ${API_KEY}" },
  };
  const reading = readConfig({ ...GOOD, ROUTES: JSON.stringify([route]), API_KEY: "sk-123" });
  expect(reading.ok && reading.config.routes[0]?.headers).toEqual({ authorization: "Bearer sk-123" });
  expect(faultsOf({ ROUTES: [route] })[0]).toMatchObject({
    variable: "ROUTES[0].headers.authorization",
    found: "${API_KEY}",
  });
});

test.each([
  ["not JSON", "{"],
  ["no routes", []],
  ["a reserved name", [{ name: "admin/x", upstream: "builtin:demo" }]],
  [
    "a name twice",
    [
      { name: "a", upstream: "builtin:demo" },
      { name: "a", upstream: "builtin:demo" },
    ],
  ],
  ["an alias on a stream path", [{ name: "a", upstream: "builtin:demo", alias: "/v1/stream/x" }]],
  ["an alias on a file of the demo page", [{ name: "a", upstream: "builtin:demo", alias: "/demo.css" }]],
  ["a header value with a line end", [{ name: "a", upstream: "builtin:demo", headers: { "x-a": "a\nb" } }]],
  ["credentials in the URL", [{ name: "a", upstream: "https://u:p@example.com/" }]],
  ["a rule without a condition", [{ name: "a", upstream: "builtin:demo", priority: [{ priority: "low" }] }]],
  [
    "a path that is no JSON path",
    [{ name: "a", upstream: "builtin:demo", priority: [{ path: "type", priority: "low" }] }],
  ],
])("routes: %s is a fault", (_, routes) => {
  expect(faultsOf({ ROUTES: routes })).not.toEqual([]);
});

test("wrangler.jsonc states the defaults that the code has", () => {
  for (const [variable, { fallback }] of Object.entries(ALL_NUMBER_VARIABLES)) {
    expect(rawConfig.vars, variable).toHaveProperty(variable, fallback);
  }
});

test("docs/configuration.md states every variable with default and bounds", () => {
  const rows = readFileSync(resolve(ROOT, "docs/configuration.md"), "utf8").split("\n");
  for (const [variable, { fallback, min, max }] of Object.entries(ALL_NUMBER_VARIABLES)) {
    const row = rows.find((line) => line.startsWith(`| \`${variable}\` |`));
    expect(row, variable).toContain(`| ${fallback} | ${min} – ${max} |`);
  }
});
