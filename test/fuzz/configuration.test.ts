/**
 * Routes from any JSON, and all variables: valid or named faults, never a throw and never a secret shown; and
 * what is valid is within its bounds.
 */
import * as fc from "fast-check";

import type { ConfigFault } from "../../protocol/errors.ts";
import type { StreamSettings } from "../../protocol/stream-settings.ts";
import { DEMO_UPSTREAM } from "../../upstream/demo-source.ts";
import { readConfig } from "../../workers/config.ts";
import { readRoutes, type RouteConfig } from "../../workers/route-config.ts";
import { claim, fuzz } from "./fuzzing.ts";
import { jsonText, mutatedText } from "./mutations.ts";

const SECRET = "S3CRET-of-the-worker";
const SECRETS = { API_KEY: SECRET, LINE_END: "a\nb", EMPTY: "" };

const upstream = fc.oneof(
  fc.constantFrom(
    DEMO_UPSTREAM,
    `${DEMO_UPSTREAM}?events=3`,
    "https://api.example.com/v1/chat?model=a",
    "http://user:pass@host/",
    "ftp://host/",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "//host/path",
    "https://",
    "https://host/#x",
    " https://host/",
    "https://host\\@other/",
    "http://[::1]:80/",
  ),
  fc.webUrl(),
  fc.string({ unit: "binary" }),
);
/** Nearly every one of these makes a route invalid. */
const oddFields = fc.record(
  {
    name: fc.oneof(fc.constantFrom("demo", "a/b", "admin", "v1", "../x", "constructor", "__proto__"), fc.string()),
    upstream,
    method: fc.constantFrom<unknown>("GET", "POST", "TRACE", 1),
    allowGet: fc.constantFrom<unknown>(true, "yes"),
    headers: fc.oneof(
      fc.dictionary(
        fc.constantFrom("authorization", "x-key", "bad name", "__proto__"),
        fc.constantFrom<unknown>(
          "Bearer ${API_KEY}",
          "${LINE_END}",
          "${EMPTY}",
          "${NONE}",
          "${constructor}",
          "${__proto__}",
          "é",
          7,
          "plain",
        ),
      ),
      fc.jsonValue(),
    ),
    forwardHeaders: fc.oneof(fc.array(fc.constantFrom("accept", "x-key", "a b", "")), fc.jsonValue()),
    alias: fc.oneof(fc.constantFrom("/v1/chat/completions", "/v1", "/admin/x", "/a/../b", "//x", "/x"), fc.string()),
    priority: fc.oneof(
      fc.constantFrom("openai", "none"),
      fc.array(
        fc.record(
          {
            event: fc.string(),
            path: fc.constantFrom("$.a", "$..", "$[*]"),
            equals: fc.jsonValue(),
            priority: fc.constantFrom("low", "none"),
          },
          { requiredKeys: [] },
        ),
      ),
    ),
    fold: fc.oneof(
      fc.constantFrom("text", "openai"),
      fc.record({ paths: fc.array(fc.constantFrom("$.a[*].b", "$", "")) }),
      fc.jsonValue(),
    ),
    trim: fc.oneof(fc.array(fc.constantFrom("$.a", "a")), fc.jsonValue()),
    sample: fc.oneof(fc.double(), fc.constantFrom(0, 1)),
    idleTimeoutMs: fc.double(),
    unknown: fc.jsonValue(),
  },
  { requiredKeys: [] },
);
const soundRoute = fc.record(
  {
    name: fc.constantFrom("demo", "a/b", "chat", "x-1/y_2"),
    upstream: fc.constantFrom(DEMO_UPSTREAM, `${DEMO_UPSTREAM}?events=3`, "https://api.example.com/v1/chat?model=a"),
    method: fc.constantFrom("GET", "POST"),
    allowGet: fc.boolean(),
    headers: fc.dictionary(
      fc.constantFrom("authorization", "x-key", "accept"),
      fc.constantFrom("Bearer ${API_KEY}", "${API_KEY}", "plain"),
    ),
    forwardHeaders: fc.array(fc.constantFrom("accept", "x-other")),
    priority: fc.constantFrom("openai", [], [{ event: "ping", priority: "low" }]),
    fold: fc.constantFrom("openai"),
    sample: fc.double({ min: 0, max: 1, noNaN: true }),
    idleTimeoutMs: fc.integer({ min: 100, max: 900_000 }),
  },
  { requiredKeys: ["name", "upstream"] },
);
/** A valid route, with a field or two put in the place of its own: one fault is not to hide behind others. */
const route = fc
  .tuple(soundRoute, oddFields, fc.array(fc.nat(), { maxLength: 2 }))
  .map(([sound, odd, chosen]): Readonly<Record<string, unknown>> => {
    const fields = Object.entries(odd);
    const put = chosen.flatMap((at) => (fields.length === 0 ? [] : [fields[at % fields.length] ?? []]));
    return { ...sound, ...Object.fromEntries(put) };
  });
const routesText = fc
  .oneof(
    { weight: 3, arbitrary: fc.array(route, { minLength: 1, maxLength: 1 }) },
    { weight: 1, arbitrary: fc.array(route, { maxLength: 4 }) },
    { weight: 1, arbitrary: fc.array(fc.oneof(soundRoute, oddFields), { minLength: 1, maxLength: 2 }) },
  )
  .map((routes) => JSON.stringify(routes));
const given = fc.oneof(
  { weight: 5, arbitrary: routesText },
  { weight: 2, arbitrary: mutatedText(routesText).map(({ text }) => text) },
  { weight: 1, arbitrary: jsonText },
  // Variables are what JSON can say.
  { weight: 1, arbitrary: fc.anything() },
);

type Read = (routes: unknown, faults: ConfigFault[]) => readonly RouteConfig[];
const read: Read = (routes, faults) => readRoutes(routes, SECRETS, faults);

function isSafeUpstream(text: string): boolean {
  if (text === DEMO_UPSTREAM || text.startsWith(`${DEMO_UPSTREAM}?`)) return true;
  const url = new URL(text);
  return /^https?:$/.test(url.protocol) && url.host !== "" && url.username + url.password + url.hash === "";
}

fuzz<unknown, Read>({
  name: "route configuration",
  inputs: given,
  subject: read,
  reach: { what: "valid routes", leastShare: 0.1 },
  holds: (routes, readIt, reached) => {
    const faults: ConfigFault[] = [];
    const valid = readIt(routes, faults);
    if (faults.length === 0) reached();
    if (faults.length === 0) claim(valid.length).toBeGreaterThan(0);
    for (const { variable, found, allowed } of faults) {
      claim([typeof variable, typeof found, typeof allowed]).toEqual(["string", "string", "string"]);
      claim(variable.startsWith("ROUTES")).toBe(true);
      claim(`${variable}${found}${allowed}`).not.toContain(SECRET);
    }
    for (const one of valid) {
      claim(isSafeUpstream(one.upstream)).toBe(true);
      claim(/^[a-z0-9/_-]+$/.test(one.name)).toBe(true);
      claim(one.sample >= 0 && one.sample <= 1).toBe(true);
      if (faults.length > 0) continue;
      for (const value of Object.values(one.headers)) claim(/[\r\n\0]/.test(value)).toBe(false);
      // What it may be called with is what a request of that name can be made of.
      for (const [name, value] of Object.entries(one.headers))
        claim(new Headers({ [name]: value }).has(name)).toBe(true);
    }
    claim(Object.getPrototypeOf({})).toBe(Object.prototype);
  },
  faults: {
    "what is no list throws": (routes, faults) => {
      if (!Array.isArray(typeof routes === "string" ? [] : routes))
        throw new TypeError("routes.entries is no function");
      return read(routes, faults);
    },
    "a fault shows what was found": (routes, faults) => {
      const valid = read(routes, faults);
      for (const one of valid)
        if (Object.values(one.headers).some((value) => value.includes(SECRET)))
          faults.push({ variable: "ROUTES", found: JSON.stringify(one), allowed: "" });
      return valid;
    },
    "an upstream may have credentials": (routes, faults) => {
      const text = typeof routes === "string" ? routes.replaceAll("user:pass@", "") : routes;
      return read(text, faults).map((one) =>
        one.upstream.startsWith("http://host/") ? { ...one, upstream: "http://user:pass@host/" } : one,
      );
    },
  },
});

type Variables = Readonly<Record<string, unknown>>;
interface Reading {
  readonly ok: boolean;
  /** The faults, as they are shown. */
  readonly text: string;
  readonly settings?: StreamSettings;
}
type ReadAll = (variables: Variables) => Reading;

/** As docs/configuration.md has them. */
const BOUNDS: readonly (readonly [name: string, setting: keyof StreamSettings, min: number, max: number])[] = [
  ["SSE_BUFFER_MAX_EVENTS", "bufferMaxEvents", 1, 65_536],
  ["SSE_MAX_EVENT_BYTES", "eventMaxBytes", 1024, 1_900_000],
  ["SSE_RETRY_MS", "retryMs", 10, 60_000],
  ["SSE_MAX_CLIENTS", "maxReaders", 1, 10_000],
];

const KEY = "a-client-key-of-24-chars";
const NAMES = [
  "SSE_BUFFER_MAX_EVENTS",
  "SSE_MAX_EVENT_BYTES",
  "SSE_RETRY_MS",
  "SSE_CLIENT_LIMIT_POLICY",
  "CLIENT_AUTH",
  "CLIENT_KEYS",
  "INGEST_KEYS",
  "ADMIN_TOKEN",
  "ADMIN_TOKENS",
  "ACCESS_TEAM_DOMAIN",
  "ACCESS_AUD",
  "CORS_ORIGINS",
  "ICEBERG_WAREHOUSE",
  "ICEBERG_SHARDS",
  "ALERT_WEBHOOK_URL",
  "RATE_LIMITS",
  "ROUTES",
];
const variable = fc.oneof(
  jsonText,
  fc.anything(),
  fc.constantFrom<unknown>(
    "",
    "0",
    "-1",
    "1e3",
    " 7",
    "٣",
    "Infinity",
    "true",
    "none",
    "*",
    "https://a.cloudflareaccess.com",
    "s3://b/w",
  ),
);
const keys = mutatedText(fc.constant(JSON.stringify({ me: [KEY], you: ["short"] }))).map(({ text }) => text);

/** A number just within, at or beyond what is allowed, as it is or as text. */
const numbers = fc
  .tuple(
    ...BOUNDS.map(([, , min, max]) => fc.oneof(fc.constantFrom(min - 1, min, max, max + 1), fc.integer({ min, max }))),
  )
  .chain((values) =>
    fc.subarray(
      BOUNDS.map(([name], at) => [name, values[at]] as const),
      { maxLength: 2 },
    ),
  )
  .chain((chosen) =>
    fc.boolean().map((isText) => Object.fromEntries(chosen.map(([name, n]) => [name, isText ? String(n) : n]))),
  );
const soundVariables: fc.Arbitrary<Variables> = numbers.map((given) => ({
  HMAC_SECRET: SECRET.repeat(3),
  ADMIN_TOKEN: SECRET.repeat(2),
  CLIENT_AUTH: "none",
  ROUTES: [{ name: "demo", upstream: DEMO_UPSTREAM }],
  ...given,
}));
const anyVariables: fc.Arbitrary<Variables> = fc
  .tuple(
    fc.dictionary(fc.constantFrom(...NAMES), variable),
    fc.record({ CLIENT_KEYS: keys, INGEST_KEYS: keys, ADMIN_TOKENS: keys }, { requiredKeys: [] }),
  )
  .map(([given, secrets]) => ({ HMAC_SECRET: SECRET.repeat(3), ...given, ...secrets }));
const readAll: ReadAll = (variables) => {
  const reading = readConfig(variables);
  if (reading.ok) return { ok: true, text: "", settings: reading.config.settings };
  return { ok: false, text: JSON.stringify(reading.faults) };
};

fuzz<Variables, ReadAll>({
  name: "configuration",
  inputs: fc.oneof(
    soundVariables,
    anyVariables,
    fc
      .tuple(soundVariables, fc.dictionary(fc.constantFrom(...NAMES), variable, { maxKeys: 1 }))
      .map(([sound, odd]) => ({
        ...sound,
        ...odd,
      })),
  ),
  subject: readAll,
  reach: { what: "valid configurations", leastShare: 0.1 },
  holds: (variables, readIt, reached) => {
    const { ok, text, settings } = readIt(variables);
    if (ok) {
      reached();
      for (const [name, setting, min, max] of BOUNDS) {
        const found = Number(settings?.[setting]);
        claim(found >= min && found <= max).toBe(true);
        // What is given is what is set; an empty text is nothing.
        if (Object.hasOwn(variables, name) && String(variables[name]).trim() !== "" && variables[name] !== undefined)
          claim(found).toBe(Number(variables[name]));
      }
      return;
    }
    claim(JSON.parse(text)).not.toEqual([]);
    claim(text).not.toContain(SECRET);
    claim(text).not.toContain(KEY);
  },
  faults: {
    "bounds are not looked at": (variables) => {
      const reading = readAll(variables);
      const retryMs = Number(variables["SSE_RETRY_MS"]);
      if (reading.settings !== undefined || !Number.isFinite(retryMs)) return reading;
      const rest = readAll({ ...variables, SSE_RETRY_MS: 1500 });
      return rest.settings === undefined ? rest : { ...rest, settings: { ...rest.settings, retryMs } };
    },
    "what is given is not set": (variables) => readAll({ ...variables, SSE_RETRY_MS: undefined }),
    "faults show every variable": (variables) => ({
      ok: false,
      text: JSON.stringify([Object.values(variables).map(String)]),
    }),
  },
});
