/**
 * How long a commit takes as snapshots pile up: in the service, by its own telemetry, and in this process
 * over a bucket in memory, which is what a commit computes. One event and one file each.
 */
import { eventsOf, makeTable } from "../../test/fixtures/lake-parts.ts";
import type { LakeService } from "../../test/fixtures/lake-service.ts";
import { createBodies, flushLake, metadataBytes, postBodies } from "../lib/lake-calls.ts";
import type { Lab } from "../lib/lab.ts";
import type { Plan } from "../lib/options.ts";
import { spreadOf, type Spread } from "../lib/statistics.ts";

export interface LakeCommitsResult {
  readonly place: "service" | "memory";
  /** `ICEBERG_SNAPSHOTS_KEPT`. */
  readonly kept: number;
  readonly points: readonly CommitPoint[];
  /** Median at the last point over that at the first one. */
  readonly growth: number;
  /** The slowest commit of all after the first ten: one in a hundred merges manifests. */
  readonly slowestMs: number;
}

interface CommitPoint {
  /** Commits so far at the end of the window; up to `kept` of their snapshots are in the table. */
  readonly commits: number;
  /** Of the last {@link WINDOW} commits. */
  readonly ms: Spread;
  /** Size of metadata.json then. */
  readonly metadataBytes: number;
}

/** Commits that make a median; the first point's are the first ones after warming up. */
const WINDOW = 20;
/** The first commits find code that has not run yet, and are no measure of the table's size. */
const WARM_UP_COMMITS = 10;
const LOG_TIMEOUT_MS = 10_000;
const METADATA = /\/v(\d+)\.metadata\.json$/;

/** One more commit; its time, and the size of the metadata when asked. */
interface Scene {
  readonly commit: () => Promise<number>;
  readonly metadataBytes: () => Promise<number>;
}

export async function measureLakeCommits(
  lab: Lab,
  { snapshots, kept }: Plan["lakeCommits"],
  note: (line: string) => void,
): Promise<LakeCommitsResult[]> {
  const results: LakeCommitsResult[] = [];
  for (const keep of kept) {
    note(`up to ${snapshots.at(-1) ?? 0} snapshots in memory, ${keep} kept`);
    results.push({ place: "memory", kept: keep, ...(await measure(memoryScene(keep), snapshots)) });
    note(`up to ${snapshots.at(-1) ?? 0} snapshots in the service, ${keep} kept`);
    // Nothing but what is demanded: an alarm's commit would be counted as ours.
    const vars = { ICEBERG_SNAPSHOTS_KEPT: keep, ICEBERG_COMMIT_INTERVAL_MS: 600_000, ICEBERG_SHARDS: 1 };
    const service = await lab.startLake("spillway", vars);
    results.push({ place: "service", kept: keep, ...(await measure(serviceScene(service), snapshots)) });
    await lab.stopLake(service);
  }
  return results;
}

async function measure(scene: Scene, snapshots: readonly number[]) {
  const times: number[] = [];
  const points: CommitPoint[] = [];
  for (const count of snapshots) {
    // The least that gives a window: "1 snapshot" is a table that has only just begun.
    const commits = Math.max(count, WARM_UP_COMMITS + WINDOW);
    while (times.length < commits) times.push(await scene.commit());
    points.push({ commits, ms: spreadOf(times.slice(-WINDOW)), metadataBytes: await scene.metadataBytes() });
  }
  const [first] = points;
  return {
    points,
    growth: (points.at(-1)?.ms.median ?? Number.NaN) / (first?.ms.median ?? Number.NaN),
    slowestMs: Math.max(...times.slice(WARM_UP_COMMITS)),
  };
}

function memoryScene(kept: number): Scene {
  const table = makeTable({ settings: { snapshotsKept: kept } });
  let batch = 0;
  return {
    commit: async () => {
      await table.stageRows(++batch, eventsOf(1));
      const beganMs = performance.now();
      const report = await table.committer.commit();
      if (!report.ok) throw new Error(`commit failed: ${report.reason}`);
      return performance.now() - beganMs;
    },
    metadataBytes: async () => {
      const keys = table.objects.keys(METADATA);
      const newest = keys.toSorted((left, right) => versionIn(left) - versionIn(right)).at(-1) ?? "";
      return Buffer.byteLength(table.objects.text(newest) ?? "");
    },
  };
}

function versionIn(key: string): number {
  return Number(METADATA.exec(key)?.[1]);
}

function serviceScene(service: LakeService): Scene {
  let seed = 0;
  let linesRead = 0;
  return {
    commit: async () => {
      await postBodies(`${service.origin}/events`, createBodies(1, 1, ++seed), 1);
      await flushLake(service);
      const at = await untilCommitted(service, linesRead);
      linesRead = at + 1;
      // Written by the service: see protocol/telemetry.ts.
      return (JSON.parse(service.lines[at] ?? "") as { duration_ms: number }).duration_ms;
    },
    metadataBytes: async () => metadataBytes(service),
  };
}

/** The next commit's line in the service's output: it may come after the answer. */
async function untilCommitted({ lines }: LakeService, from: number): Promise<number> {
  const deadlineMs = Date.now() + LOG_TIMEOUT_MS;
  while (Date.now() < deadlineMs) {
    const at = lines.findIndex((line, index) => index >= from && line.includes('"IcebergCommitted"'));
    if (at !== -1) return at;
    await new Promise((resolve) => void setTimeout(resolve, 1));
  }
  throw new Error("a commit left no line in the log");
}
