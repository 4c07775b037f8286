/**
 * The Workers under measurement, each bundled by wrangler as for a deployment, into a folder of the
 * run: the built `dist` may be another version's.
 */
import { execFile } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { promisify } from "node:util";

import { experimental_readRawConfig } from "wrangler";

const ROOT = resolve(import.meta.dirname, "../..");
const WRANGLER = join(ROOT, "node_modules/wrangler/bin/wrangler.js");
const run = promisify(execFile);

export interface Bundle {
  readonly path: string;
  readonly objectClass: string;
}

export type System = "spillway" | "bare" | "counted" | "bare-ingest" | "relief";

/** Wires the counter around the real Worker and object. */
const COUNTED_ENTRY = `
import worker, { RequestStream as Real } from ${JSON.stringify(join(ROOT, "workers/index.ts"))};
import { countedObject, countedWorker } from ${JSON.stringify(join(ROOT, "bench/counted-object.ts"))};
export const RequestStream = countedObject(Real);
export default countedWorker(worker);
`;

/** Puts the service's storage under the benchmark's object. */
const RELIEF_ENTRY = `
import { sqlPort } from ${JSON.stringify(join(ROOT, "durable-objects/sql-port.ts"))};
import { reliefObject, reliefWorker } from ${JSON.stringify(join(ROOT, "bench/relief-object.ts"))};
export const RequestStream = reliefObject(sqlPort);
export default reliefWorker;
`;

/** @param folder where the bundles go */
export async function makeBundles(folder: string): Promise<Readonly<Record<System, Bundle>>> {
  const countedEntry = join(folder, "counted-entry.ts");
  const reliefEntry = join(folder, "relief-entry.ts");
  writeFileSync(countedEntry, COUNTED_ENTRY);
  writeFileSync(reliefEntry, RELIEF_ENTRY);
  const bundle = async (name: System, entry: string, objectClass: string): Promise<Bundle> => ({
    path: await makeBundle(folder, name, entry),
    objectClass,
  });
  const [spillway, bare, counted, bareIngest, relief] = await Promise.all([
    bundle("spillway", join(ROOT, "workers/index.ts"), "RequestStream"),
    bundle("bare", join(ROOT, "bench/bare-pass-through.ts"), "PassThrough"),
    bundle("counted", countedEntry, "RequestStream"),
    bundle("bare-ingest", join(ROOT, "bench/bare-ingest.ts"), "RequestStream"),
    bundle("relief", reliefEntry, "RequestStream"),
  ]);
  return { spillway, bare, counted, "bare-ingest": bareIngest, relief };
}

/** One Worker, into a folder of its name. @returns path of the bundle */
export async function makeBundle(folder: string, name: string, entry: string): Promise<string> {
  const home = join(folder, name);
  mkdirSync(home);
  const config = join(home, "wrangler.json");
  writeFileSync(config, JSON.stringify(configFor(name, entry)));
  const env = { ...process.env, WRANGLER_SEND_METRICS: "false" };
  await run(process.execPath, [WRANGLER, "deploy", "--dry-run", "--outdir", home, "--config", config], { env });
  return join(home, `${entryName(entry)}.js`);
}

function configFor(name: string, main: string): object {
  const { rawConfig } = experimental_readRawConfig({ config: join(ROOT, "wrangler.jsonc") });
  const { compatibility_date, compatibility_flags } = rawConfig;
  return { name, main, compatibility_date, compatibility_flags };
}

function entryName(entry: string): string {
  return entry.slice(entry.lastIndexOf("/") + 1).replace(/\.ts$/, "");
}
