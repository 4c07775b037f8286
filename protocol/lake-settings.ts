/**
 * The lake's variables, read by the Worker, which reports their faults, and by the objects, which are
 * woken by alarms with no request to bring settings along.
 */
import type { ConfigFault } from "./errors.ts";
import { readChoice, readNumbers, readSecret, isMissing, type Variables } from "./variable-reading.ts";

export interface LakeSettings {
  /** Shards that take new events. */
  readonly shards: number;
  /** A flush begins at so many buffered events, or at so much age, or when a file is full. */
  readonly flushEvents: number;
  readonly flushAgeMs: number;
  /** What one shard may hold; beyond, producers are answered 429. */
  readonly shardMaxEvents: number;
  readonly shardMaxBytes: number;
  readonly deadLetterMax: number;
  readonly commitIntervalMs: number;
  /** Snapshots the embedded catalog keeps. */
  readonly snapshotsKept: number;
  /** How old an unreferenced object must be before it is deleted. */
  readonly orphanMinAgeMs: number;
  readonly sink: "iceberg" | "pipelines";
  readonly namespace: string;
  readonly table: string;
  readonly catalog:
    | { readonly kind: "r2"; readonly location: string }
    | {
        readonly kind: "rest";
        readonly uri: string;
        /** The warehouse's name in that catalog. */
        readonly warehouse: string;
        readonly token: string | undefined;
      };
}

/** Every numeric variable of the lake: default, bounds, unit in its name. */
export const LAKE_NUMBER_VARIABLES = {
  ICEBERG_SHARDS: { fallback: 4, min: 1, max: 256 },
  ICEBERG_BUFFER_SIZE: { fallback: 2000, min: 1, max: 20_000 },
  ICEBERG_BUFFER_TIMEOUT_MS: { fallback: 30_000, min: 100, max: 3_600_000 },
  // A request brings at most 10,000 events and 10 MiB: a shard that could not hold it would refuse for ever.
  ICEBERG_SHARD_MAX_EVENTS: { fallback: 200_000, min: 10_000, max: 5_000_000 },
  ICEBERG_SHARD_MAX_SIZE_MB: { fallback: 256, min: 16, max: 4096 },
  ICEBERG_COMMIT_INTERVAL_MS: { fallback: 10_000, min: 0, max: 600_000 },
  ICEBERG_SNAPSHOTS_KEPT: { fallback: 100, min: 1, max: 1000 },
  ICEBERG_ORPHAN_MIN_AGE_SEC: { fallback: 86_400, min: 3600, max: 2_592_000 },
  DEAD_LETTER_MAX: { fallback: 50, min: 1, max: 10_000 },
} as const;

const BYTES_PER_MB = 1_048_576;
const MS_PER_SEC = 1000;
const IDENTIFIER = /^[a-z][a-z0-9_]{0,62}$/;
/** No `=` and no other sign that a storage signature could stumble over. */
const WAREHOUSE = /^s3:\/\/[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](\/[a-z0-9][a-z0-9._-]*)*$/;
const DEFAULT_WAREHOUSE = "s3://spillway-lake/warehouse";

export function readLakeSettings(variables: Variables, faults: ConfigFault[]): LakeSettings {
  const numbers = readNumbers(variables, LAKE_NUMBER_VARIABLES, faults);
  const namespace = readPattern(variables, "ICEBERG_NAMESPACE", faults, {
    fallback: "spillway",
    pattern: IDENTIFIER,
    allowed: "lower-case letters, digits and _",
  });
  const table = readPattern(variables, "ICEBERG_TABLE", faults, {
    fallback: "events",
    pattern: IDENTIFIER,
    allowed: "lower-case letters, digits and _",
  });
  const sink = readChoice(variables, "ANALYTICS_SINK", ["iceberg", "pipelines"], faults);
  if (sink === "pipelines" && variables["EVENTS_PIPELINE"] === undefined) {
    const allowed = "a Pipelines binding, since ANALYTICS_SINK is pipelines";
    faults.push({ variable: "EVENTS_PIPELINE", found: "nothing", allowed });
  }
  return {
    shards: numbers.ICEBERG_SHARDS,
    flushEvents: numbers.ICEBERG_BUFFER_SIZE,
    flushAgeMs: numbers.ICEBERG_BUFFER_TIMEOUT_MS,
    shardMaxEvents: numbers.ICEBERG_SHARD_MAX_EVENTS,
    shardMaxBytes: numbers.ICEBERG_SHARD_MAX_SIZE_MB * BYTES_PER_MB,
    deadLetterMax: numbers.DEAD_LETTER_MAX,
    commitIntervalMs: numbers.ICEBERG_COMMIT_INTERVAL_MS,
    snapshotsKept: numbers.ICEBERG_SNAPSHOTS_KEPT,
    orphanMinAgeMs: numbers.ICEBERG_ORPHAN_MIN_AGE_SEC * MS_PER_SEC,
    sink,
    namespace,
    table,
    catalog: readCatalog(variables, faults, { namespace, table }),
  };
}

function readCatalog(
  variables: Variables,
  faults: ConfigFault[],
  { namespace, table }: { namespace: string; table: string },
): LakeSettings["catalog"] {
  const kind = readChoice(variables, "ICEBERG_CATALOG", ["r2", "rest"], faults);
  const token = readSecret(variables, "ICEBERG_REST_TOKEN", faults);
  if (kind === "rest") {
    const uri = variables["ICEBERG_REST_URI"];
    const warehouse = variables["ICEBERG_WAREHOUSE"];
    if (typeof uri !== "string" || !/^https?:\/\//.test(uri) || !URL.canParse(uri)) {
      const found = isMissing(uri) ? "nothing" : JSON.stringify(uri);
      faults.push({ variable: "ICEBERG_REST_URI", found, allowed: "an absolute http(s) URL" });
    }
    // The default names our own location: a foreign catalog has names of its own.
    if (isMissing(warehouse) || warehouse === DEFAULT_WAREHOUSE) {
      const found = isMissing(warehouse) ? "nothing" : JSON.stringify(warehouse);
      faults.push({ variable: "ICEBERG_WAREHOUSE", found, allowed: "the warehouse's name in the REST catalog" });
    }
    return { kind, uri: String(uri).replace(/\/+$/, ""), warehouse: String(warehouse), token };
  }
  const warehouse = readPattern(variables, "ICEBERG_WAREHOUSE", faults, {
    fallback: DEFAULT_WAREHOUSE,
    pattern: WAREHOUSE,
    allowed: "s3://bucket or s3://bucket/folder, of lower-case letters, digits, dots, - and _",
  });
  return { kind, location: `${warehouse}/${namespace}/${table}` };
}

function readPattern(
  variables: Variables,
  variable: string,
  faults: ConfigFault[],
  { fallback, pattern, allowed }: { fallback: string; pattern: RegExp; allowed: string },
): string {
  const given = variables[variable];
  if (isMissing(given)) return fallback;
  if (typeof given === "string" && pattern.test(given)) return given;
  faults.push({ variable, found: JSON.stringify(given), allowed });
  return fallback;
}
