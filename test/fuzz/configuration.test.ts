/**
 * Routes from any JSON: valid or named faults, never a throw and never a secret shown; and no request that
 * moves a route's upstream to somewhere else.
 */
import * as fc from "fast-check";

import type { ConfigFault } from "../../protocol/errors.ts";
import type { UpstreamCall } from "../../protocol/stream-call.ts";
import { DEMO_UPSTREAM } from "../../upstream/demo-source.ts";
import { readConfig } from "../../workers/config.ts";
import { readRoutes, type RouteConfig } from "../../workers/route-config.ts";
import { buildUpstreamCall, forwardedQuery } from "../../workers/upstream-call.ts";
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
const route = fc.record(
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
  { requiredKeys: ["name", "upstream"] },
);
const routesText = fc.array(route, { maxLength: 4 }).map((routes) => JSON.stringify(routes));
const given = fc.oneof(
  routesText,
  mutatedText(routesText).map(({ text }) => text),
  jsonText,
  // Variables are what JSON can say.
  fc.anything(),
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
  holds: (routes, readIt) => {
    const faults: ConfigFault[] = [];
    const valid = readIt(routes, faults);
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

interface Call {
  readonly upstream: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
}
type Build = (call: Call) => UpstreamCall;

const FIXED = "https://api.example.com/v1/chat?model=a&key=k";
const build: Build = ({ upstream: to, path, headers }) => {
  const [config] = readRoutes(
    [{ name: "r", upstream: to, forwardHeaders: ["x-key"], headers: { "x-fixed": "f" } }],
    SECRETS,
    [],
  );
  if (config === undefined) throw new Error("the route is not valid");
  const request = new Request(new URL(path, "http://edge.test/"), { headers });
  return buildUpstreamCall(config, request, forwardedQuery(request.url));
};

fuzz<Call, Build>({
  name: "upstream calls",
  inputs: fc.record({
    upstream: fc.constantFrom(FIXED, "http://host:8080/", "https://host/a%2Fb/..%2f?x=1"),
    path: fc.oneof(
      fc.webQueryParameters().map((query) => `/r/stream?${query}`),
      fc
        .array(
          fc.constantFrom(
            "model=z",
            "key",
            "model",
            "%6dodel=z",
            "model%00=1",
            "@evil.test/",
            "//evil.test",
            "token=t",
            "&",
            "=",
            "#",
            "?",
            "a=1",
          ),
          { maxLength: 8 },
        )
        .map((parts) => `/r/stream?${parts.join("&")}`),
      fc.string().map((text) => `/r/stream?q=${encodeURIComponent(text.toWellFormed())}`),
    ),
    headers: fc.dictionary(
      fc.constantFrom(
        "host",
        "x-key",
        "x-fixed",
        "accept",
        "content-type",
        "authorization",
        "x-forwarded-host",
        "cookie",
      ),
      fc.string({ maxLength: 20 }).map((text) => text.replaceAll(/[^\x21-\x7e]/g, "")),
    ),
  }),
  subject: build,
  holds: (call, buildIt) => {
    const { url, headers, method } = buildIt(call);
    const [wanted, built] = [new URL(call.upstream), new URL(url)];
    claim([built.origin, built.pathname, method]).toEqual([wanted.origin, wanted.pathname, "POST"]);
    for (const name of new Set(wanted.searchParams.keys())) {
      claim(built.searchParams.getAll(name)).toEqual(wanted.searchParams.getAll(name));
    }
    for (const own of ["token", "last_event_id", "idempotency_key"]) claim(built.searchParams.has(own)).toBe(false);
    claim(headers["x-fixed"]).toBe("f");
    for (const name of Object.keys(headers)) claim(["accept", "content-type", "x-key", "x-fixed"]).toContain(name);
  },
  faults: {
    "a caller's query goes before the fixed one": (call) => {
      const made = build(call);
      const url = new URL(made.url);
      for (const [name, value] of new URL(call.path, "http://edge.test/").searchParams)
        url.searchParams.set(name, value);
      return { ...made, url: url.href };
    },
    "all of a caller's headers go along": (call) => {
      const made = build(call);
      return { ...made, headers: { ...call.headers, ...made.headers } };
    },
  },
});

type Variables = Readonly<Record<string, unknown>>;
type ReadAll = (variables: Variables) => { readonly ok: boolean; readonly text: string };

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

fuzz<Variables, ReadAll>({
  name: "configuration",
  inputs: fc
    .tuple(
      fc.dictionary(fc.constantFrom(...NAMES), variable),
      fc.record({ CLIENT_KEYS: keys, INGEST_KEYS: keys, ADMIN_TOKENS: keys }, { requiredKeys: [] }),
    )
    .map(([given, secrets]) => ({ HMAC_SECRET: SECRET.repeat(3), ...given, ...secrets })),
  subject: (variables) => {
    const reading = readConfig(variables);
    return { ok: reading.ok, text: reading.ok ? "" : JSON.stringify(reading.faults) };
  },
  holds: (variables, readIt) => {
    const { ok, text } = readIt(variables);
    if (ok) return;
    claim(JSON.parse(text)).not.toEqual([]);
    claim(text).not.toContain(SECRET);
    claim(text).not.toContain(KEY);
  },
  faults: {
    "faults show every variable": (variables) => ({
      ok: false,
      text: JSON.stringify([Object.values(variables).map(String)]),
    }),
  },
});
