/**
 * The Worker's variables, read once and checked all at once.
 *
 * {@link readConfig} is pure: bindings in, either a frozen config or every fault there is, each with
 * the variable, what was found and what is allowed. A secret is never repeated, only its length.
 */
import type { ConfigFault } from "../protocol/errors.ts";
import { ROW_MAX_BYTES, SEGMENT_MAX_BYTES } from "../protocol/limits.ts";
import { readLakeSettings, type LakeSettings } from "../protocol/lake-settings.ts";
import { readMonitorSettings, type MonitorSettings } from "../protocol/monitor-settings.ts";
import type { StreamSettings } from "../protocol/stream-settings.ts";
import {
  isMissing,
  readChoice,
  readNumbers,
  readSecret,
  readSwitch,
  SECRET_MIN_CHARS,
  type NumberVariable,
  type Variables,
} from "../protocol/variable-reading.ts";
import { readAdminConfig, type AdminConfig } from "./admin-config.ts";
import { readIngestKeys } from "./ingest/ingest-keys.ts";
import { readRateLimits, type RateLimits } from "./rate-limits.ts";
import { readRoutes, type RouteConfig } from "./route-config.ts";
import type { ReliefSwitches } from "./route-relief.ts";
import { ALLOWED_TENANT_KEYS, readTenantKeys } from "./tenant-keys.ts";

export interface Config extends AdminConfig {
  readonly routes: readonly RouteConfig[];
  readonly settings: StreamSettings;
  readonly reliefSwitches: ReliefSwitches;
  readonly resumeSecret: string;
  readonly previousResumeSecret: string | undefined;
  /** Derives stream ids from idempotency keys; does not change when the resume secret rotates. */
  readonly idempotencySecret: string;
  readonly clientAuth: "none" | "bearer";
  /** Tenant by client key. */
  readonly tenantByKey: ReadonlyMap<string, string>;
  readonly corsOrigins: readonly string[] | "*";
  readonly lake: LakeSettings;
  readonly monitor: MonitorSettings;
  /** Tenant by key of whoever may send events. Without any, nobody may. */
  readonly ingestKeys: ReadonlyMap<string, string>;
  /** Opens the embedded catalog for reading; without one it stays closed. */
  readonly icebergReadToken: string | undefined;
  readonly rateLimits: RateLimits;
}

export type ConfigReading =
  | { readonly ok: true; readonly config: Config }
  | { readonly ok: false; readonly faults: readonly ConfigFault[] };

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

const BYTES_PER_MB = 1_048_576;
/** An archived stream is put and fetched in one piece, and objects share 128 MB of memory. */
const ARCHIVE_MAX_SIZE_MB = 16;
const MS_PER_SEC = 1000;

export function readConfig(variables: Variables): ConfigReading {
  const faults: ConfigFault[] = [];
  const numbers = readNumbers(variables, NUMBER_VARIABLES, faults);
  const policy = readChoice(variables, "SSE_CLIENT_LIMIT_POLICY", ["evict-oldest", "reject"], faults);
  const clientAuth = readChoice(variables, "CLIENT_AUTH", ["bearer", "none"], faults);
  const archives = readSwitch(variables, "SSE_ARCHIVE", { fallback: false, faults });
  const settings = toSettings(numbers, { policy, archives });
  if (archives && variables["ARCHIVE_BUCKET"] === undefined) {
    faults.push({ variable: "ARCHIVE_BUCKET", found: "nothing", allowed: "an R2 bucket, since SSE_ARCHIVE is true" });
  }
  if (archives && numbers.SSE_BUFFER_MAX_SIZE_MB > ARCHIVE_MAX_SIZE_MB) {
    faults.push({
      variable: "SSE_BUFFER_MAX_SIZE_MB",
      found: String(numbers.SSE_BUFFER_MAX_SIZE_MB),
      allowed: `at most ${ARCHIVE_MAX_SIZE_MB}, since SSE_ARCHIVE is true`,
    });
  }
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
    reliefSwitches: {
      folds: readSwitch(variables, "SSE_BUFFER_FOLD", { fallback: true, faults }),
      trimsPayloads: readSwitch(variables, "SSE_BUFFER_TRIM_PAYLOADS", { fallback: true, faults }),
      compresses: readSwitch(variables, "SSE_BUFFER_COMPRESS", { fallback: false, faults }),
    },
    ...secrets,
    clientAuth,
    tenantByKey: readClientKeys(variables["CLIENT_KEYS"], clientAuth, faults),
    corsOrigins: readOrigins(variables["CORS_ORIGINS"], faults),
    lake: readLakeSettings(variables, faults),
    monitor: readMonitorSettings(variables, faults),
    ...readAdminConfig(variables, faults),
    ingestKeys: readIngestKeys(variables["INGEST_KEYS"], faults),
    icebergReadToken: readSecret(variables, "ICEBERG_READ_TOKEN", faults),
    rateLimits: readRateLimits(variables, faults),
  };
  return faults.length === 0 ? { ok: true, config: Object.freeze(config) } : { ok: false, faults };
}

type Numbers = Readonly<Record<keyof typeof NUMBER_VARIABLES, number>>;

function toSettings(
  numbers: Numbers,
  { policy, archives }: { policy: StreamSettings["readerLimitPolicy"]; archives: boolean },
): StreamSettings {
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
    readerLimitPolicy: policy,
    readerStallMs: numbers.SSE_CLIENT_STALL_SEC * MS_PER_SEC,
    readerMaxAgeMs: numbers.SSE_CLIENT_MAX_AGE_SEC * MS_PER_SEC,
    cleanupIntervalMs: numbers.SSE_CLEANUP_INTERVAL_SEC * MS_PER_SEC,
    readerBufferBytes: numbers.SSE_READER_BUFFER_BYTES,
    archives,
  };
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

function readClientKeys(given: unknown, clientAuth: string, faults: ConfigFault[]): ReadonlyMap<string, string> {
  if (isMissing(given) && clientAuth === "bearer") {
    const allowed = `${ALLOWED_TENANT_KEYS}, since CLIENT_AUTH is bearer`;
    faults.push({ variable: "CLIENT_KEYS", found: "nothing", allowed });
  }
  return readTenantKeys("CLIENT_KEYS", given, faults);
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
