/**
 * The service as it is deployed, with {@link file://./driven-worker.ts} around it, on a runtime of its own.
 */
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";

import { experimental_readRawConfig } from "wrangler";

import { mainThreadCpuMsOf } from "../../../bench/lib/process-meter.ts";
import { startLakeService, type LakeService } from "../../../test/fixtures/lake-service.ts";
import type { HandOverCounts } from "./driven-worker.ts";

const ROOT = resolve(import.meta.dirname, "../../..");
const WRANGLER = join(ROOT, "node_modules/wrangler/bin/wrangler.js");
const run = promisify(execFile);

const ENTRY = `
import worker, { EventBuffer as Real } from ${JSON.stringify(join(ROOT, "workers/index.ts"))};
import { countedShard, drivenWorker } from ${JSON.stringify(join(import.meta.dirname, "driven-worker.ts"))};
export { IcebergTable, RequestStream, ServiceMonitor } from ${JSON.stringify(join(ROOT, "workers/index.ts"))};
export const EventBuffer = countedShard(Real);
export default drivenWorker(worker);
`;

export interface MeasuredService {
  readonly service: LakeService;
  /** CPU of the thread that runs all JavaScript, ms so far; `undefined` where the system does not tell. */
  readonly cpuMs: () => number | undefined;
  readonly handOvers: () => Promise<HandOverCounts>;
  /** Ends it, and what it has left on the disk. */
  readonly stop: () => Promise<void>;
}

export async function startMeasured(vars: Readonly<Record<string, unknown>>): Promise<MeasuredService> {
  const folder = mkdtempSync(join(tmpdir(), "spillway-scaling-"));
  try {
    const bundle = await makeBundle(folder);
    const service = await startLakeService({ bundle, persistTo: join(folder, "storage"), vars });
    return {
      service,
      cpuMs: () => mainThreadCpuMsOf(service.workerdPid),
      handOvers: async () => (await fetch(`${service.origin}/driven/counts`)).json() as Promise<HandOverCounts>,
      async stop() {
        await service.kill();
        rmSync(folder, { recursive: true, force: true });
      },
    };
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
}

async function makeBundle(folder: string): Promise<string> {
  const entry = join(folder, "entry.ts");
  writeFileSync(entry, ENTRY);
  const { rawConfig } = experimental_readRawConfig({ config: join(ROOT, "wrangler.jsonc") });
  const { compatibility_date, compatibility_flags } = rawConfig;
  const config = join(folder, "wrangler.json");
  writeFileSync(config, JSON.stringify({ name: "measured", main: entry, compatibility_date, compatibility_flags }));
  const env = { ...process.env, WRANGLER_SEND_METRICS: "false" };
  await run(process.execPath, [WRANGLER, "deploy", "--dry-run", "--outdir", folder, "--config", config], { env });
  return join(folder, "entry.js");
}
