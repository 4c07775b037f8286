/**
 * What operators look for in the logs: each recipe as data, and from the same data what `npm run logs` does and
 * the jq text for those who prefer that. Pure.
 *
 * Events and their fields: docs/logs.md.
 */

export type LogRecord = Readonly<Record<string, unknown>>;

export interface Recipe {
  readonly name: string;
  readonly about: string;
  /** Kinds it picks; all where none is named. */
  readonly events: readonly string[];
  /** What it wants to be told. */
  readonly parameter?: Parameter;
  /** Members of a record that are shown, `null` where it has none; the whole record where none is named. */
  readonly fields: readonly string[];
}

interface Parameter {
  readonly name: string;
  readonly field: string;
  /** Whether the field must be the text, or a number that is no smaller. */
  readonly isText: boolean;
  readonly fallback?: string;
}

export const RECIPES: readonly Recipe[] = [
  {
    name: "resume-failures",
    about: "readers that could not come back: code, and for tokens why",
    events: ["SseResumeFailed", "SseStartRefused"],
    fields: ["time", "event", "code", "reason", "route", "tenant", "request_id"],
  },
  {
    name: "slow-resumes",
    about: "resumes that took so many ms (1000) or more to catch up",
    events: ["SseResumeLiveStart"],
    parameter: { name: "over_ms", field: "catch_up_ms", isText: false, fallback: "1000" },
    fields: ["time", "catch_up_ms", "position", "route", "request_id"],
  },
  {
    name: "trims",
    about: "what buffers dropped, and why",
    events: ["SseBufferTrimmed"],
    fields: ["time", "route", "priority", "reason", "events", "bytes", "request_id"],
  },
  {
    name: "relief",
    about: "what buffers gave up without losing events: folds, trimmed payloads, compression",
    events: ["SseBufferFolded", "SsePayloadTrimmed", "SseBufferCompressed"],
    fields: ["time", "event", "route", "events", "folded", "segments", "saved_bytes", "request_id"],
  },
  {
    name: "gaps",
    about: "readers that were told of a gap or a rewind",
    events: ["SsePartialRecovery"],
    fields: ["time", "kind", "missing_events", "position", "route", "request_id"],
  },
  {
    name: "readers-removed",
    about: "readers that were let go, and why",
    events: ["SseReaderRemoved"],
    fields: ["time", "reason", "age_ms", "readers", "route", "request_id"],
  },
  {
    name: "stream",
    about: "one stream's story, whole records in order: its request id",
    events: [],
    parameter: { name: "request_id", field: "request_id", isText: true },
    fields: [],
  },
  {
    name: "ends",
    about: "how streams ended",
    events: ["SseStreamEnded"],
    fields: ["time", "state", "reason", "duration_ms", "events", "trimmed_events", "resumes", "route", "request_id"],
  },
  {
    name: "degraded",
    about: "storage that failed, and is_over where it came back; limiters that failed",
    events: ["SseDegraded", "RateLimiterFailed"],
    fields: ["time", "event", "kind", "is_over", "budget", "reason", "failures", "route", "request_id"],
  },
  {
    name: "archive-failures",
    about: "finished streams that could not be kept or read",
    events: ["SseArchiveFailed"],
    fields: ["time", "action", "reason", "is_final", "route", "request_id"],
  },
  {
    name: "flush-failures",
    about: "shards that could not deliver, and when they try again",
    events: ["BufferFlushFailed"],
    fields: ["time", "shard", "batch", "attempts", "reason", "retry_ms"],
  },
  {
    name: "buffers",
    about: "how full shards are, and their flushes",
    events: ["BufferFillRate", "BufferFlushStarted", "BufferFlushSucceeded", "BufferFlushFailed", "BufferReset"],
    fields: ["time", "event", "shard", "fill_rate", "events", "files", "bytes", "duration_ms", "reason"],
  },
  {
    name: "commits",
    about: "commits to the table, conflicts and failures",
    events: ["IcebergCommitted", "IcebergConflict", "IcebergCommitFailed", "IcebergMaintenanceFailed"],
    fields: [
      "time",
      "event",
      "operation",
      "step",
      "snapshot_id",
      "files",
      "records",
      "attempts",
      "duration_ms",
      "reason",
    ],
  },
  {
    name: "lost-and-set-aside",
    about: "dead letters, telemetry that was dropped, log lines that were held back",
    events: ["DeadLettered", "TelemetryDropped", "TelemetrySuppressed"],
    fields: ["time", "event", "shard", "events", "reason", "kind", "suppressed"],
  },
  {
    name: "admin-actions",
    about: "who did what, and what came of it; refusals too",
    events: ["AdminAction", "AdminRefused"],
    fields: ["time", "event", "actor", "action", "target", "result", "untold"],
  },
  {
    name: "alerts",
    about: "alerts that fired or were resolved, and webhooks that failed",
    events: ["AlertFired", "AlertResolved", "AlertWebhookFailed"],
    fields: ["time", "event", "alert", "severity", "subject", "value", "threshold", "message", "reason"],
  },
  {
    name: "errors",
    about: "faults of our own, and of the configuration",
    events: ["InternalError", "Misconfigured"],
    fields: ["event", "name", "at", "request_id", "shard", "object", "faults"],
  },
];

export function findRecipe(name: string): Recipe | undefined {
  return RECIPES.find((recipe) => recipe.name === name);
}

/** @returns what the recipe shows of this record, or `undefined` */
export function pick(recipe: Recipe, record: LogRecord, argument: string | undefined): LogRecord | undefined {
  const { events, parameter, fields } = recipe;
  if (events.length > 0 && !events.includes(String(record["event"]))) return undefined;
  if (parameter !== undefined && !matches(parameter, record[parameter.field], argument ?? parameter.fallback ?? "")) {
    return undefined;
  }
  if (fields.length === 0) return record;
  return Object.fromEntries(fields.map((field) => [field, record[field] ?? null]));
}

function matches({ isText }: Parameter, value: unknown, argument: string): boolean {
  return isText ? value === argument : typeof value === "number" && value >= Number(argument);
}

/** The same as jq text, for `wrangler tail --format json`; compact output by `jq -c`. */
export function jqFilter({ events, parameter, fields }: Recipe): string {
  const kinds = events.map((event) => JSON.stringify(event)).join(", ");
  const steps = [
    ".logs[].message[] | fromjson? | objects",
    ...(events.length === 0 ? [] : [`select(.event | IN(${kinds}))`]),
    ...(parameter === undefined
      ? []
      : [`select(.${parameter.field} ${parameter.isText ? "==" : ">="} $${parameter.name})`]),
    ...(fields.length === 0 ? [] : [`{${fields.join(", ")}}`]),
  ];
  return steps.join(" | ");
}

/** The whole command; a parameter without a default is left for a shell variable of its name. */
export function jqCommand(recipe: Recipe, argument?: string): string {
  const { parameter } = recipe;
  const given = argument ?? parameter?.fallback;
  const option = parameter?.isText === true ? "--arg" : "--argjson";
  const value = given ?? `"$${parameter?.name.toUpperCase()}"`;
  const bound = parameter === undefined ? "" : `${option} ${parameter.name} ${value} `;
  return `jq -c ${bound}'${jqFilter(recipe)}'`;
}
