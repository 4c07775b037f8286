/**
 * `ROUTES`: which upstreams there are, and how each is called. Upstreams come from here alone, never
 * from a request.
 */
import { z } from "zod";

import type { ConfigFault } from "../protocol/errors.ts";
import { FOLD_PRESETS, FoldRule } from "../protocol/fold.ts";
import { JsonPathPattern } from "../protocol/json-path.ts";
import { PriorityRule } from "../protocol/priority.ts";
import { DEMO_UPSTREAM } from "../upstream/demo-source.ts";

const HEADER_NAME = /^[!#$%&'*+.^_`|~\dA-Za-z-]+$/;
const ROUTE_NAME = /^[a-z0-9][a-z0-9_-]*(\/[a-z0-9][a-z0-9_-]*)*$/;
const ALIAS = /^(\/[A-Za-z0-9._~-]+)+$/;
const METHODS = ["GET", "POST", "PUT", "PATCH"] as const;
/** First path segments that are ours. */
const RESERVED = new Set(
  "admin docs events health iceberg metrics ready resume v1 demo.css demo.js demo-reader.js".split(" "),
);

const HeaderName = z.string().regex(HEADER_NAME, "a header name");

const Route = z.strictObject({
  name: z
    .string()
    .regex(ROUTE_NAME, "lower-case words, digits, - and _, with slashes between")
    .refine((name) => !RESERVED.has(name.split("/")[0] ?? ""), `may not begin with ${[...RESERVED].join(", ")}`),
  upstream: z
    .string()
    .refine(isUpstream, `${DEMO_UPSTREAM}, or an absolute http(s) URL without credentials or fragment`),
  method: z.enum(METHODS).default("POST"),
  allowGet: z.boolean().default(false),
  headers: z.record(HeaderName, z.string()).default({}),
  forwardHeaders: z.array(HeaderName).default([]),
  alias: z
    .string()
    .regex(ALIAS, "a path such as /v1/chat/completions")
    .refine((path) => !isReservedPath(path), "may not stand where the service's own paths are")
    .optional(),
  control: z.boolean().default(true),
  priority: z
    .union([z.array(PriorityRule).max(64), z.enum(FOLD_PRESETS)], {
      error: `an array of rules {event?, path?, equals?, priority}, or ${FOLD_PRESETS.join(", ")}`,
    })
    .default([]),
  fold: FoldRule.optional(),
  trim: z.array(JsonPathPattern).max(64).default([]),
  sample: z.number().min(0).max(1).default(1),
  connectTimeoutMs: z.int().min(100).max(600_000).default(30_000),
  idleTimeoutMs: z.int().min(100).max(900_000).default(300_000),
  maxBodyBytes: z.int().min(0).max(10_485_760).default(1_048_576),
});

export type RouteConfig = z.infer<typeof Route>;

const ALLOWED = 'a JSON array of {"name", "upstream", …}, with at least one route';

/** Reads and checks all routes; puts each fault, with its place, into `faults`. */
export function readRoutes(
  given: unknown,
  secrets: Readonly<Record<string, unknown>>,
  faults: ConfigFault[],
): readonly RouteConfig[] {
  const list = typeof given === "string" ? parseJson(given) : given;
  if (!Array.isArray(list) || list.length === 0) {
    faults.push({
      variable: "ROUTES",
      found: given === undefined ? "nothing" : describe(list ?? given),
      allowed: ALLOWED,
    });
    return [];
  }
  const routes: RouteConfig[] = [];
  for (const [index, entry] of list.entries()) {
    const parsed = Route.safeParse(entry);
    if (!parsed.success) for (const issue of parsed.error.issues) faults.push(faultOf(issue, index, entry));
    // Also of an entry with other faults: all are to be named at once.
    const headers = fillHeaders(Object(entry), { index, secrets, faults });
    if (parsed.success) routes.push({ ...parsed.data, headers });
  }
  refuseDoubles(list, faults);
  return routes;
}

/** Of a choice of forms, what is wrong with the one that was most nearly meant: zod names the choice alone. */
function mostNearlyMeant(issue: z.core.$ZodIssue): z.core.$ZodIssue {
  if (issue.code !== "invalid_union") return issue;
  const inner = issue.errors.flat().filter(({ path }) => path.length > 0);
  const [deepest] = inner.sort((a, b) => b.path.length - a.path.length);
  return deepest === undefined ? issue : mostNearlyMeant({ ...deepest, path: [...issue.path, ...deepest.path] });
}

function faultOf(given: z.core.$ZodIssue, index: number, entry: unknown): ConfigFault {
  const issue = mostNearlyMeant(given);
  const place = issue.path.map((step) => (typeof step === "number" ? `[${step}]` : `.${String(step)}`)).join("");
  let found: unknown = entry;
  for (const step of issue.path) found = Object(found)[step];
  return { variable: `ROUTES[${index}]${place}`, found: describeAt(issue.path, found), allowed: issue.message };
}

/** What was found there, without what may be a secret: a header's value, the user of a URL. */
function describeAt(path: readonly PropertyKey[], found: unknown): string {
  if (path[0] === "headers" && path.length > 1) return "a header (its value is not shown)";
  if (path[0] === "upstream" && typeof found === "string") return describe(found.replace(/\/\/[^/@]*@/, "//…@"));
  return describe(found);
}

/** RFC 9110, 5.5, without the obsolete bytes beyond ASCII: a line end would make every call fail. */
const HEADER_VALUE = /^[\t\x20-\x7e]*$/;

interface FillContext {
  readonly index: number;
  readonly secrets: Readonly<Record<string, unknown>>;
  readonly faults: ConfigFault[];
}

/** `${NAME}` in a header's value is a secret of the Worker's; an unknown one is a fault. */
function fillHeaders(entry: { headers?: unknown }, { index, secrets, faults }: FillContext): Record<string, string> {
  const filled: Record<string, string> = {};
  for (const [header, template] of Object.entries(Object(entry.headers))) {
    if (typeof template !== "string") continue;
    const variable = `ROUTES[${index}].headers.${header}`;
    const value = template.replace(/\$\{([^}]*)\}/g, (placeholder, name: string) => {
      const secret = secrets[name];
      if (typeof secret === "string" && secret !== "") return secret;
      faults.push({ variable, found: placeholder, allowed: `the name of a secret of this Worker; ${name} is not set` });
      return "";
    });
    if (!HEADER_VALUE.test(value)) {
      const found = "a value with a line end or characters beyond ASCII (not shown)";
      faults.push({ variable, found, allowed: "printable ASCII, spaces and tabs, also in the secrets it names" });
    }
    filled[header] = value;
  }
  return filled;
}

function refuseDoubles(entries: readonly unknown[], faults: ConfigFault[]): void {
  const seen = new Set<string>();
  for (const entry of entries) {
    const { name, alias }: { name?: unknown; alias?: unknown } = Object(entry);
    const own = typeof name === "string" ? [`/${name}/stream`, `/${name}/resume`, `/${name}/status`] : [];
    for (const path of typeof alias === "string" ? [...own, alias] : own) {
      if (seen.has(path)) {
        faults.push({ variable: "ROUTES", found: `${path} twice`, allowed: "each name and alias once" });
      }
      seen.add(path);
    }
  }
}

/** `/v1/…` belongs to the APIs we stand in for, but for Durable Streams' own `/v1/stream`. */
function isReservedPath(path: string): boolean {
  const [, first = "", second] = path.split("/");
  return first === "v1" ? second === undefined || second === "stream" : RESERVED.has(first);
}

function isUpstream(text: string): boolean {
  if (text === DEMO_UPSTREAM || text.startsWith(`${DEMO_UPSTREAM}?`)) return true;
  if (!URL.canParse(text)) return false;
  const url = new URL(text);
  const isHttp = url.protocol === "http:" || url.protocol === "https:";
  return isHttp && url.username === "" && url.password === "" && url.hash === "";
}

/** Short, and without a header's value: that may hold a secret written in by mistake. */
function describe(value: unknown): string {
  if (value === undefined) return "nothing";
  if (typeof value === "object") return Array.isArray(value) ? `an array of ${value.length}` : "an object";
  const text = JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Not JSON: the caller says what is wanted.
    return undefined;
  }
}
