/**
 * What the platform charges, as published. Quotas that a plan includes each month are not in it, nor is
 * the plan's own fee.
 */

interface Price {
  /** US dollars for one unit. */
  readonly dollars: number;
  readonly unit: string;
  readonly source: string;
}

const WORKERS = "developers.cloudflare.com/workers/platform/pricing";
const OBJECTS = "developers.cloudflare.com/durable-objects/platform/pricing";
const BUCKETS = "developers.cloudflare.com/r2/pricing";
const MILLION = 1_000_000;

/** Read in November 2026. */
export const PRICES = {
  workerRequest: { dollars: 0.3 / MILLION, unit: "Worker request", source: WORKERS },
  workerCpuMs: { dollars: 0.02 / MILLION, unit: "ms of CPU in a Worker", source: WORKERS },
  /** RPC calls and alarms that go off are requests, too. */
  objectRequest: { dollars: 0.15 / MILLION, unit: "Durable Object request", source: OBJECTS },
  objectGbSec: { dollars: 12.5 / MILLION, unit: "GB-s of a Durable Object", source: OBJECTS },
  /** Deletes and each `setAlarm()` are rows written, too. */
  rowWritten: { dollars: 1 / MILLION, unit: "row written", source: OBJECTS },
  rowRead: { dollars: 0.001 / MILLION, unit: "row read", source: OBJECTS },
  objectGbMonth: { dollars: 0.2, unit: "GB-month in SQLite", source: OBJECTS },
  bucketClassA: { dollars: 4.5 / MILLION, unit: "R2 operation of class A (put, list)", source: BUCKETS },
  bucketClassB: { dollars: 0.36 / MILLION, unit: "R2 operation of class B (get, head)", source: BUCKETS },
  bucketGbMonth: { dollars: 0.015, unit: "GB-month in R2, standard", source: BUCKETS },
} as const satisfies Record<string, Price>;

/** Billed whatever an object uses: 128 MB, as the price page's examples reckon it. */
export const OBJECT_GB = 0.128;
export const BYTES_PER_GB = 1e9;
export const SEC_PER_MONTH = 30 * 86_400;
