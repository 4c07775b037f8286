/**
 * The Worker's variables, read once and checked all at once.
 *
 * {@link readConfig} is pure: bindings in, either a frozen config or every fault there is, each with
 * the variable, what was found and what is allowed. A secret is never repeated, only its length.
 */
import { z } from "zod";

import type { ConfigFault } from "../protocol/errors.ts";
import { ROW_MAX_BYTES, SEGMENT_MAX_BYTES } from "../protocol/limits.ts";
import { looksLikeToken } from "../protocol/resume-token.ts";
import type { StreamSettings } from "../protocol/stream-settings.ts";
import { readRoutes, type RouteConfig } from "./route-config.ts";

export interface Config {
  readonly routes: readonly RouteConfig[];
  readonly settings: StreamSettings;
  readonly resumeSecret: string;
  readonly previousResumeSecret: string | undefined;
  /** Derives stream ids from idempotency keys; does not change when the resume secret rotates. */
  readonly idempotencySecret: string;
  readonly clientAuth: "none" | "bearer";
  /** Tenant by client key. */
  readonly tenantByKey: ReadonlyMap<string, string>;
  readonly corsOrigins: readonly string[] | "*";
}

export type ConfigReading =
  | { readonly ok: true; readonly config: Config }
  | { readonly ok: false; readonly faults: readonly ConfigFault[] };

/** Variables as bindings give them: text, or numbers and JSON where wrangler.jsonc has them so. */
export type Variables = Readonly<Record<string, unknown>>;

interface NumberVariable {
  readonly fallback: number;
  readonly min: number;
  readonly max: number;
  /** Whether fractions make sense. */
  readonly isFractional?: true;
}

/** Every numeric variable: default, bounds, unit in its name. */
export const NUMBER_VARIABLES = {
  SSE_BUFFER_MAX_EVENTS: { fallback: 256, min: 1, max: 65_536 },
  SSE_BUFFER_MAX_SIZE_MB: { fallback: 1.5, min: 0.0625, max: 64, isFractional: true },
  SSE_COMMIT_INTERVAL_MS: { fallback: 1000, min: 10, max: 10_000 },
  SSE_STATE_TTL_SEC: { fallback: 900, min: 1, max: 604_800 },
  SSE_SNAPSHOT_TTL_SEC: { fallback: 900, min: 1, max: 604_800 },
  SSE_RESUME_TTL_SEC: { fallback: 900, min: 2, max: 604_800 },
  SSE_HEARTBEAT_SEC: { fallback: 15, min: 1, max: 90 },
  SSE_RETRY_MS: { fallback: 1500, min: 10, max: 60_000 },
  SSE_MAX_CLIENTS: { fallback: 20, min: 1, max: 10_000 },
  SSE_CLIENT_STALL_SEC: { fallback: 60, min: 1, max: 3600 },
  SSE_CLIENT_MAX_AGE_SEC: { fallback: 600, min: 1, max: 86_400 },
  SSE_CLEANUP_INTERVAL_SEC: { fallback: 30, min: 1, max: 3600 },
  SSE_READER_BUFFER_BYTES: { fallback: 65_536, min: 2 * SEGMENT_MAX_BYTES, max: 1_048_576 },
  SSE_MAX_EVENT_BYTES: { fallback: 1_048_576, min: 1024, max: ROW_MAX_BYTES - 100_000 },
} as const satisfies Record<string, NumberVariable>;

/** Shorter secrets can be searched for. 32 characters of base64 are 192 bits. */
export const SECRET_MIN_CHARS = 32;
const CLIENT_KEY_MIN_CHARS = 16;
const BYTES_PER_MB = 1_048_576;
const MS_PER_SEC = 1000;

/** A key that a bearer header can carry, and that does not look like a resume token there. */
const ClientKey = z
  .string()
  .min(CLIENT_KEY_MIN_CHARS)
  .regex(/^[\x21-\x7e]+$/)
  .refine((key) => !looksLikeToken(key));
const ClientKeys = z.record(z.string().min(1), z.array(ClientKey).min(1));

export function readConfig(variables: Variables): ConfigReading {
  const faults: ConfigFault[] = [];
  const numbers = readNumbers(variables, faults);
  const policy = readChoice(variables, "SSE_CLIENT_LIMIT_POLICY", ["evict-oldest", "reject"], faults);
  const clientAuth = readChoice(variables, "CLIENT_AUTH", ["bearer", "none"], faults);
  const settings = toSettings(numbers, policy);
  if (settings.eventMaxBytes > settings.bufferMaxBytes) {
    faults.push({
      variable: "SSE_MAX_EVENT_BYTES",
      found: String(settings.eventMaxBytes),
      allowed: `at most SSE_BUFFER_MAX_SIZE_MB (${settings.bufferMaxBytes} bytes), or one event would not fit the buffer`,
    });
  }
  const secrets = readSecrets(variables, faults);
  const config: Config = {
    routes: readRoutes(variables["ROUTES"], variables, faults),
    settings,
    ...secrets,
    clientAuth,
    tenantByKey: readClientKeys(variables["CLIENT_KEYS"], clientAuth, faults),
    corsOrigins: readOrigins(variables["CORS_ORIGINS"], faults),
  };
  return faults.length === 0 ? { ok: true, config: Object.freeze(config) } : { ok: false, faults };
}

type Numbers = Readonly<Record<keyof typeof NUMBER_VARIABLES, number>>;

function readNumbers(variables: Variables, faults: ConfigFault[]): Numbers {
  const read = (variable: keyof typeof NUMBER_VARIABLES): number => {
    const { fallback, min, max, ...rest }: NumberVariable = NUMBER_VARIABLES[variable];
    const given = variables[variable];
    if (given === undefined || given === "") return fallback;
    const value = typeof given === "number" ? given : typeof given === "string" ? Number(given) : Number.NaN;
    const isWhole = Number.isInteger(value) || rest.isFractional === true;
    if (Number.isFinite(value) && isWhole && value >= min && value <= max) return value;
    const kind = rest.isFractional === true ? "a number" : "a whole number";
    faults.push({ variable, found: JSON.stringify(given), allowed: `${kind} from ${min} to ${max}` });
    return fallback;
  };
  return {
    SSE_BUFFER_MAX_EVENTS: read("SSE_BUFFER_MAX_EVENTS"),
    SSE_BUFFER_MAX_SIZE_MB: read("SSE_BUFFER_MAX_SIZE_MB"),
    SSE_COMMIT_INTERVAL_MS: read("SSE_COMMIT_INTERVAL_MS"),
    SSE_STATE_TTL_SEC: read("SSE_STATE_TTL_SEC"),
    SSE_SNAPSHOT_TTL_SEC: read("SSE_SNAPSHOT_TTL_SEC"),
    SSE_RESUME_TTL_SEC: read("SSE_RESUME_TTL_SEC"),
    SSE_HEARTBEAT_SEC: read("SSE_HEARTBEAT_SEC"),
    SSE_RETRY_MS: read("SSE_RETRY_MS"),
    SSE_MAX_CLIENTS: read("SSE_MAX_CLIENTS"),
    SSE_CLIENT_STALL_SEC: read("SSE_CLIENT_STALL_SEC"),
    SSE_CLIENT_MAX_AGE_SEC: read("SSE_CLIENT_MAX_AGE_SEC"),
    SSE_CLEANUP_INTERVAL_SEC: read("SSE_CLEANUP_INTERVAL_SEC"),
    SSE_READER_BUFFER_BYTES: read("SSE_READER_BUFFER_BYTES"),
    SSE_MAX_EVENT_BYTES: read("SSE_MAX_EVENT_BYTES"),
  };
}

function toSettings(numbers: Numbers, readerLimitPolicy: StreamSettings["readerLimitPolicy"]): StreamSettings {
  return {
    bufferMaxEvents: numbers.SSE_BUFFER_MAX_EVENTS,
    bufferMaxBytes: Math.floor(numbers.SSE_BUFFER_MAX_SIZE_MB * BYTES_PER_MB),
    eventMaxBytes: numbers.SSE_MAX_EVENT_BYTES,
    commitIntervalMs: numbers.SSE_COMMIT_INTERVAL_MS,
    stateTtlMs: numbers.SSE_STATE_TTL_SEC * MS_PER_SEC,
    snapshotTtlMs: numbers.SSE_SNAPSHOT_TTL_SEC * MS_PER_SEC,
    resumeTtlMs: numbers.SSE_RESUME_TTL_SEC * MS_PER_SEC,
    heartbeatMs: numbers.SSE_HEARTBEAT_SEC * MS_PER_SEC,
    retryMs: numbers.SSE_RETRY_MS,
    maxReaders: numbers.SSE_MAX_CLIENTS,
    readerLimitPolicy,
    readerStallMs: numbers.SSE_CLIENT_STALL_SEC * MS_PER_SEC,
    readerMaxAgeMs: numbers.SSE_CLIENT_MAX_AGE_SEC * MS_PER_SEC,
    cleanupIntervalMs: numbers.SSE_CLEANUP_INTERVAL_SEC * MS_PER_SEC,
    readerBufferBytes: numbers.SSE_READER_BUFFER_BYTES,
  };
}

/** The first choice is the default. */
function readChoice<T extends string>(
  variables: Variables,
  variable: string,
  choices: readonly [T, ...T[]],
  faults: ConfigFault[],
): T {
  const given = variables[variable];
  if (given === undefined || given === "") return choices[0];
  const found = choices.find((choice) => choice === given);
  if (found !== undefined) return found;
  faults.push({ variable, found: JSON.stringify(given), allowed: choices.join(" or ") });
  return choices[0];
}

function readSecrets(variables: Variables, faults: ConfigFault[]) {
  const resume = readSecret(variables, "SSE_RESUME_SECRET", faults);
  const hmac = readSecret(variables, "HMAC_SECRET", faults);
  const signing = resume ?? hmac;
  if (signing === undefined && isMissing(variables["SSE_RESUME_SECRET"]) && isMissing(variables["HMAC_SECRET"])) {
    const allowed = `a secret of at least ${SECRET_MIN_CHARS} characters (HMAC_SECRET serves where this one is missing)`;
    faults.push({ variable: "SSE_RESUME_SECRET", found: "nothing", allowed });
  }
  return {
    resumeSecret: signing ?? "",
    previousResumeSecret: readSecret(variables, "SSE_RESUME_SECRET_PREVIOUS", faults),
    idempotencySecret: hmac ?? signing ?? "",
  };
}

function isMissing(value: unknown): boolean {
  return value === undefined || value === "";
}

function readSecret(variables: Variables, variable: string, faults: ConfigFault[]): string | undefined {
  const given = variables[variable];
  if (isMissing(given)) return undefined;
  if (typeof given === "string" && given.length >= SECRET_MIN_CHARS) return given;
  const found = typeof given === "string" ? `a secret of ${given.length} characters` : `a ${typeof given}`;
  faults.push({ variable, found, allowed: `at least ${SECRET_MIN_CHARS} characters of text` });
  return undefined;
}

function readClientKeys(given: unknown, clientAuth: string, faults: ConfigFault[]): ReadonlyMap<string, string> {
  const tenantByKey = new Map<string, string>();
  const allowed = `a JSON object {"tenant": ["key", …]}, each key at least ${CLIENT_KEY_MIN_CHARS} printable ASCII characters without spaces, not of the form a.b.c, and of one tenant only`;
  if (isMissing(given)) {
    if (clientAuth === "bearer") {
      faults.push({ variable: "CLIENT_KEYS", found: "nothing", allowed: `${allowed}, since CLIENT_AUTH is bearer` });
    }
    return tenantByKey;
  }
  const parsed = ClientKeys.safeParse(typeof given === "string" ? parseJson(given) : given);
  if (!parsed.success) {
    // Keys are secrets: say what kind of thing is there, not what it holds.
    faults.push({ variable: "CLIENT_KEYS", found: "something else (not shown, it holds keys)", allowed });
    return tenantByKey;
  }
  for (const [tenant, keys] of Object.entries(parsed.data)) {
    for (const key of keys) {
      const other = tenantByKey.get(key);
      if (other !== undefined && other !== tenant) {
        faults.push({ variable: "CLIENT_KEYS", found: `one key for ${other} and ${tenant}`, allowed });
      }
      tenantByKey.set(key, tenant);
    }
  }
  return tenantByKey;
}

function readOrigins(given: unknown, faults: ConfigFault[]): readonly string[] | "*" {
  if (isMissing(given)) return [];
  if (given === "*") return "*";
  const origins = typeof given === "string" ? given.split(",").map((origin) => origin.trim()) : [];
  if (origins.length > 0 && origins.every(isOrigin)) return origins;
  const allowed = "* or origins such as https://app.example.com, separated by commas";
  faults.push({ variable: "CORS_ORIGINS", found: JSON.stringify(given), allowed });
  return [];
}

function isOrigin(text: string): boolean {
  return URL.canParse(text) && new URL(text).origin === text;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The schema then refuses `undefined` and says what is wanted.
    return undefined;
  }
}
