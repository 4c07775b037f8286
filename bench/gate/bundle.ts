/**
 * The Worker, bundled by wrangler as for a deployment, into a folder of the run: the built `dist` may be another
 * version's.
 */
import { execFile } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { promisify } from "node:util";

import { experimental_readRawConfig } from "wrangler";

const ROOT = resolve(import.meta.dirname, "../..");
const WRANGLER = join(ROOT, "node_modules/wrangler/bin/wrangler.js");
const ENTRY = "entry";
const run = promisify(execFile);

/** The Worker as it is. */
export const REAL_ENTRY = `
export * from ${JSON.stringify(join(ROOT, "workers/index.ts"))};
export { default } from ${JSON.stringify(join(ROOT, "workers/index.ts"))};
`;

/** @returns the bundle's path */
export async function bundleEntry(entry: string, folder: string): Promise<string> {
  const home = join(folder, "bundle");
  mkdirSync(home, { recursive: true });
  const { rawConfig } = experimental_readRawConfig({ config: join(ROOT, "wrangler.jsonc") });
  const { compatibility_date, compatibility_flags } = rawConfig;
  const main = join(home, `${ENTRY}.ts`);
  writeFileSync(main, entry);
  const config = join(home, "wrangler.json");
  writeFileSync(config, JSON.stringify({ name: "spillway", main, compatibility_date, compatibility_flags }));
  const env = { ...process.env, WRANGLER_SEND_METRICS: "false" };
  const args = [WRANGLER, "deploy", "--dry-run", "--outdir", join(home, "out"), "--config", config];
  const bundling = run(process.execPath, args, { env });
  const stop = () => void bundling.child.kill();
  process.once("exit", stop);
  await bundling.finally(() => process.removeListener("exit", stop));
  return join(home, "out", `${ENTRY}.js`);
}
