/**
 * The variables of monitor, alerts and `/metrics`, read by the Worker, which reports their faults, and by the
 * monitor, which is woken by alarms.
 */
import type { ConfigFault } from "./errors.ts";
import type { Severity } from "./monitor-report.ts";
import { isMissing, readNumbers, readSecret, type NumberVariable, type Variables } from "./variable-reading.ts";

/** A level of an alert: beyond the threshold, it fires at this severity. */
export interface AlertLevel {
  readonly severity: Severity;
  readonly threshold: number;
}

export interface AlertSettings {
  /** What rates and counts are taken over. */
  readonly windowMs: number;
  /** How long a condition must be clearly gone before its alert is resolved. */
  readonly clearMs: number;
  /** From the least to the most severe. */
  readonly fill: { readonly levels: readonly AlertLevel[]; readonly forMs: number };
  readonly resumeSuccess: { readonly levels: readonly AlertLevel[]; readonly minResumes: number };
  readonly trimRate: { readonly levels: readonly AlertLevel[]; readonly minEvents: number };
  /** How long a rate must be bad before it counts. */
  readonly rateForMs: number;
  readonly catalogForMs: number;
  /** How long a shard must not answer. */
  readonly shardForMs: number;
  /** Failures of a shard within the window. */
  readonly flushFailures: number;
  /** More than so many within the window. */
  readonly deadLetters: number;
  readonly degraded: number;
  readonly telemetryDropped: number;
}

export interface WebhookSettings {
  readonly url: string;
  /** Bytes of the signing key, in base64. */
  readonly secret: string;
}

export interface MonitorSettings {
  /** How often shards are asked while anything happens. */
  readonly intervalMs: number;
  readonly alerts: AlertSettings;
  readonly webhook: WebhookSettings | undefined;
  /** Opens `/metrics`, besides the tokens of operators. */
  readonly metricsToken: string | undefined;
}

/** Every numeric variable: default, bounds, unit in its name. */
export const MONITOR_NUMBER_VARIABLES = {
  MONITOR_INTERVAL_SEC: { fallback: 30, min: 1, max: 300 },
  ALERT_WINDOW_SEC: { fallback: 300, min: 5, max: 3600 },
  ALERT_CLEAR_SEC: { fallback: 120, min: 0, max: 3600 },
  ALERT_FILL_INFO: { fallback: 0.5, min: 0, max: 1, isFractional: true },
  ALERT_FILL_WARNING: { fallback: 0.7, min: 0, max: 1, isFractional: true },
  ALERT_FILL_CRITICAL: { fallback: 0.9, min: 0, max: 1, isFractional: true },
  ALERT_FILL_FOR_SEC: { fallback: 300, min: 0, max: 3600 },
  ALERT_RESUME_SUCCESS_MIN: { fallback: 0.98, min: 0, max: 1, isFractional: true },
  ALERT_RESUME_SUCCESS_CRITICAL: { fallback: 0.95, min: 0, max: 1, isFractional: true },
  ALERT_MIN_RESUMES: { fallback: 20, min: 1, max: 1_000_000 },
  ALERT_TRIM_RATE_INFO: { fallback: 0.003, min: 0, max: 1, isFractional: true },
  ALERT_TRIM_RATE_WARNING: { fallback: 0.005, min: 0, max: 1, isFractional: true },
  ALERT_TRIM_RATE_CRITICAL: { fallback: 0.01, min: 0, max: 1, isFractional: true },
  ALERT_MIN_EVENTS: { fallback: 1000, min: 1, max: 1_000_000_000 },
  ALERT_RATE_FOR_SEC: { fallback: 60, min: 0, max: 3600 },
  ALERT_CATALOG_FOR_SEC: { fallback: 60, min: 0, max: 3600 },
  ALERT_SHARD_FOR_SEC: { fallback: 60, min: 0, max: 3600 },
  ALERT_FLUSH_FAILURES: { fallback: 3, min: 1, max: 1000 },
  ALERT_DEAD_LETTERS: { fallback: 0, min: 0, max: 1_000_000_000 },
  ALERT_DEGRADED: { fallback: 0, min: 0, max: 1_000_000_000 },
  ALERT_TELEMETRY_DROPPED: { fallback: 0, min: 0, max: 1_000_000_000 },
} as const satisfies Record<string, NumberVariable>;

type Numbers = Readonly<Record<keyof typeof MONITOR_NUMBER_VARIABLES, number>>;

const MS_PER_SEC = 1000;
/** Standard Webhooks: a key of 24 to 64 bytes. */
const WEBHOOK_KEY_MIN_BYTES = 24;
const WEBHOOK_KEY_MAX_BYTES = 64;
const WEBHOOK_SECRET_PREFIX = "whsec_";

/** Names of variables that must not fall. */
const ASCENDING = [
  ["ALERT_FILL_INFO", "ALERT_FILL_WARNING", "ALERT_FILL_CRITICAL"],
  ["ALERT_TRIM_RATE_INFO", "ALERT_TRIM_RATE_WARNING", "ALERT_TRIM_RATE_CRITICAL"],
  ["ALERT_RESUME_SUCCESS_CRITICAL", "ALERT_RESUME_SUCCESS_MIN"],
] as const;

export function readMonitorSettings(variables: Variables, faults: ConfigFault[]): MonitorSettings {
  const numbers = readNumbers(variables, MONITOR_NUMBER_VARIABLES, faults);
  checkOrder(numbers, faults);
  return {
    intervalMs: numbers.MONITOR_INTERVAL_SEC * MS_PER_SEC,
    alerts: toAlertSettings(numbers),
    webhook: readWebhook(variables, faults),
    metricsToken: readSecret(variables, "METRICS_TOKEN", faults),
  };
}

function toAlertSettings(numbers: Numbers): AlertSettings {
  return {
    windowMs: numbers.ALERT_WINDOW_SEC * MS_PER_SEC,
    clearMs: numbers.ALERT_CLEAR_SEC * MS_PER_SEC,
    fill: {
      levels: [
        { severity: "info", threshold: numbers.ALERT_FILL_INFO },
        { severity: "warning", threshold: numbers.ALERT_FILL_WARNING },
        { severity: "critical", threshold: numbers.ALERT_FILL_CRITICAL },
      ],
      forMs: numbers.ALERT_FILL_FOR_SEC * MS_PER_SEC,
    },
    resumeSuccess: {
      levels: [
        { severity: "warning", threshold: numbers.ALERT_RESUME_SUCCESS_MIN },
        { severity: "critical", threshold: numbers.ALERT_RESUME_SUCCESS_CRITICAL },
      ],
      minResumes: numbers.ALERT_MIN_RESUMES,
    },
    trimRate: {
      levels: [
        { severity: "info", threshold: numbers.ALERT_TRIM_RATE_INFO },
        { severity: "warning", threshold: numbers.ALERT_TRIM_RATE_WARNING },
        { severity: "critical", threshold: numbers.ALERT_TRIM_RATE_CRITICAL },
      ],
      minEvents: numbers.ALERT_MIN_EVENTS,
    },
    rateForMs: numbers.ALERT_RATE_FOR_SEC * MS_PER_SEC,
    catalogForMs: numbers.ALERT_CATALOG_FOR_SEC * MS_PER_SEC,
    shardForMs: numbers.ALERT_SHARD_FOR_SEC * MS_PER_SEC,
    flushFailures: numbers.ALERT_FLUSH_FAILURES,
    deadLetters: numbers.ALERT_DEAD_LETTERS,
    degraded: numbers.ALERT_DEGRADED,
    telemetryDropped: numbers.ALERT_TELEMETRY_DROPPED,
  };
}

/** A level that lies below a milder one would never be told by its own name. */
function checkOrder(numbers: Numbers, faults: ConfigFault[]): void {
  for (const names of ASCENDING) {
    names.forEach((name, at) => {
      const below = names[at - 1];
      if (below === undefined || numbers[name] >= numbers[below]) return;
      faults.push({ variable: name, found: String(numbers[name]), allowed: `at least ${below} (${numbers[below]})` });
    });
  }
}

/** Neither URL nor secret is repeated: many a webhook's URL is its secret. */
function readWebhook(variables: Variables, faults: ConfigFault[]): WebhookSettings | undefined {
  const { ALERT_WEBHOOK_URL: url, ALERT_WEBHOOK_SECRET: secret } = variables;
  const isUrl = typeof url === "string" && /^https?:\/\//i.test(url) && URL.canParse(url);
  if (!isMissing(url) && !isUrl) {
    faults.push({
      variable: "ALERT_WEBHOOK_URL",
      found: "something else (not shown)",
      allowed: "an absolute http(s) URL",
    });
  }
  const key = typeof secret === "string" ? keyOf(secret) : undefined;
  const isNeeded = !isMissing(url) || !isMissing(secret);
  if (isNeeded && key === undefined) {
    const found = isMissing(secret) ? "nothing" : "something else (not shown, it is a secret)";
    const size = `${WEBHOOK_KEY_MIN_BYTES} to ${WEBHOOK_KEY_MAX_BYTES} bytes in base64, with or without ${WEBHOOK_SECRET_PREFIX}`;
    faults.push({ variable: "ALERT_WEBHOOK_SECRET", found, allowed: `${size}, since ALERT_WEBHOOK_URL is set` });
  }
  return isUrl && key !== undefined ? { url, secret: key } : undefined;
}

/** The key of a Standard Webhooks secret, still in base64. */
function keyOf(secret: string): string | undefined {
  const text = secret.startsWith(WEBHOOK_SECRET_PREFIX) ? secret.slice(WEBHOOK_SECRET_PREFIX.length) : secret;
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(text) || text.length % 4 !== 0) return undefined;
  const bytes = (text.length / 4) * 3 - (/=+$/.exec(text)?.[0].length ?? 0);
  return bytes >= WEBHOOK_KEY_MIN_BYTES && bytes <= WEBHOOK_KEY_MAX_BYTES ? text : undefined;
}
