/**
 * The service under the soak: with its bucket, flushing often, forgetting streams soon, so that all that happens
 * to a stream in its life happens during the run.
 */
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { startLakeService } from "../../test/fixtures/lake-service.ts";
import { objectsWithTables, storedAlarms } from "../../test/fixtures/process-storage.ts";
import { TEST_SECRETS } from "../../test/fixtures/test-secrets.ts";
import { bundleEntry, REAL_ENTRY } from "../gate/bundle.ts";
import { startSource, type Source } from "../gate/source.ts";
import { residentMbOf } from "../lib/process-meter.ts";

const ROUTE = "soak";
const VARS = {
  SSE_RETRY_MS: 100,
  SSE_SNAPSHOT_TTL_SEC: 5,
  SSE_STATE_TTL_SEC: 5,
  ICEBERG_BUFFER_SIZE: 500,
  ICEBERG_BUFFER_TIMEOUT_MS: 2000,
  ICEBERG_COMMIT_INTERVAL_MS: 2000,
  ICEBERG_SNAPSHOTS_KEPT: 10,
};

export interface SoakService {
  readonly route: string;
  /** Resident memory of its processes, now; `undefined` where it cannot be told. */
  memoryMb(): { readonly workerd: number; readonly host: number } | undefined;
  storage(): {
    readonly objects: number;
    readonly alarms: number;
    readonly objectBytes: number;
    readonly bucketBytes: number;
  };
  /** Flushes what is buffered, and asks for all counts: samples of /metrics by name, labels summed up. */
  metrics(): Promise<ReadonlyMap<string, number>>;
  close(): Promise<void>;
}

const WORKER = JSON.stringify(resolve(import.meta.dirname, "../../workers/index.ts"));
/** The Worker, which keeps so much of each start call for ever. */
const plantedEntry = (kilobytes: number) => `
import worker from ${WORKER};
export * from ${WORKER};
const kept = [];
export default {
  ...worker,
  fetch(request, env, context) {
    if (request.method === "POST") kept.push(new Uint8Array(${Math.round(kilobytes * 1024)}).fill(1));
    return worker.fetch(request, env, context);
  },
};
`;

/** @param plantedKb 0 is the service as it is */
export async function startSoakService(plantedKb: number): Promise<SoakService> {
  const folder = mkdtempSync(join(tmpdir(), "spillway-soak-"));
  const persistTo = join(folder, "service");
  const opened: { source?: Source } = {};
  const endNow = () => {
    opened.source?.stop();
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  };
  // From the beginning: a run may be broken off while it starts.
  process.once("exit", endNow);
  try {
    const [source, bundle] = await Promise.all([
      startSource().then((started) => (opened.source = started)),
      bundleEntry(plantedKb === 0 ? REAL_ENTRY : plantedEntry(plantedKb), folder),
    ]);
    const routes = [{ name: ROUTE, upstream: source.origin, method: "GET" }];
    const service = await startLakeService({ bundle, persistTo, vars: { ...VARS, ROUTES: routes } });
    return {
      route: `${service.origin}/${ROUTE}`,
      memoryMb() {
        const [workerd, host] = [residentMbOf(service.runtimePid()), residentMbOf(service.hostPid)];
        return workerd === undefined || host === undefined ? undefined : { workerd, host };
      },
      storage: () => ({
        objects: objectsWithTables(persistTo).length,
        alarms: storedAlarms(persistTo).size,
        objectBytes: bytesUnder(join(persistTo, "state", "do", "spillway-RequestStream")),
        bucketBytes: bytesUnder(join(persistTo, "state", "r2")),
      }),
      metrics: () => readMetrics(service.origin),
      async close() {
        await service.kill();
        process.removeListener("exit", endNow);
        endNow();
      },
    };
  } catch (error) {
    process.removeListener("exit", endNow);
    endNow();
    throw error;
  }
}

async function readMetrics(origin: string): Promise<ReadonlyMap<string, number>> {
  const headers = { Authorization: `Bearer ${TEST_SECRETS.ADMIN_TOKEN}` };
  const flushed = await fetch(`${origin}/admin/flush`, { method: "POST", headers });
  const report = await flushed.text();
  if (flushed.status !== 200) throw new Error(`/admin/flush answered ${flushed.status}: ${report.slice(0, 500)}`);
  const response = await fetch(`${origin}/metrics`, { headers });
  if (response.status !== 200) throw new Error(`/metrics answered ${response.status}`);
  const sums = new Map<string, number>();
  for (const line of (await response.text()).split("\n")) {
    const [, name, value] = /^([a-z_]+)(?:\{.*\})? (\S+)$/.exec(line) ?? [];
    if (name !== undefined) sums.set(name, (sums.get(name) ?? 0) + Number(value));
  }
  return sums;
}

function bytesUnder(folder: string): number {
  let bytes = 0;
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    // It may have been deleted since.
    bytes += statSync(join(entry.parentPath, entry.name), { throwIfNoEntry: false })?.size ?? 0;
  }
  return bytes;
}
