/**
 * `npm run preflight`: looks, before a deployment, whether everything is there that the service needs, and
 * names what is missing and how to set it. Changes nothing.
 */
import { resolve } from "node:path";
import { parseArgs } from "node:util";

import { renderReport } from "./preflight/finding.ts";
import { wranglerIn } from "./preflight/wrangler-calls.ts";

const HELP = `Looks whether everything is there that a deployment needs. Changes nothing.

  npm run preflight                               the local service, with the secrets of .dev.vars (and of
                                                  the shell, with CLOUDFLARE_INCLUDE_PROCESS_ENV=true)
  npm run preflight -- --env production           what npm run deploy -- --env production would deploy
  npm run preflight -- --env production --offline asks neither Cloudflare nor a catalog
  npm run --silent preflight -- --env staging --json

  ICEBERG_REST_TOKEN=… npm run preflight -- --env production   also asks a REST catalog

Exit code: 0 nothing failed, 1 something did, 2 the command itself is wrong. Warnings, and what could not be
checked, are told and do not fail.`;

async function main(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      env: { type: "string", short: "e", default: process.env["CLOUDFLARE_ENV"] ?? "" },
      offline: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) {
    console.log(HELP);
    return 0;
  }
  const root = resolve(import.meta.dirname, "..");
  // Only now: loading wrangler takes a second.
  const { LOCAL, runPreflight } = await import("./preflight/preflight.ts");
  const environment = values.env === "" ? LOCAL : values.env;
  const report = await runPreflight({
    root,
    environment,
    isDeployed: environment !== LOCAL,
    isOffline: values.offline,
    run: wranglerIn(root),
    fetch,
    shell: process.env,
  });
  console.log(values.json ? JSON.stringify(report, null, 2) : renderReport(report));
  return report.ok ? 0 : 1;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 2;
}
