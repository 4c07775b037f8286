/**
 * `npm run deploy`: a preflight, and then `wrangler deploy`, if nothing failed.
 *
 * Not for the local service: that is `npm start`. In Cloudflare's own builds, which the deploy button sets
 * up, the preflight asks nobody: secrets and buckets are made there beside the build.
 */
import { spawnSync } from "node:child_process";
import { resolve } from "node:path";
import { parseArgs } from "node:util";

import { renderReport } from "./preflight/finding.ts";
import { wranglerIn } from "./preflight/wrangler-calls.ts";

const HELP = `Deploys one environment of wrangler.jsonc, after a preflight that finds nothing missing.

  npm run deploy -- --env staging
  npm run deploy -- --env production
  npm run deploy -- --env production --dry-run     everything but the upload

All other arguments reach "wrangler deploy" as they are. docs/deploy.md has every step before this one.
Exit code: 1 where the preflight fails, 2 where no environment is named, else wrangler's own.`;

async function main(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      env: { type: "string", short: "e", default: process.env["CLOUDFLARE_ENV"] ?? "" },
      "dry-run": { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
    strict: false,
  });
  if (values.help === true) {
    console.log(HELP);
    return 0;
  }
  const isCloudflareBuild = process.env["WORKERS_CI"] === "1";
  const environment = String(values.env);
  if (environment === "" && !isCloudflareBuild) {
    console.error("Name what to deploy: npm run deploy -- --env staging, or --env production.");
    return 2;
  }
  const root = resolve(import.meta.dirname, "..");
  // Only now: loading wrangler takes a second.
  const { LOCAL, runPreflight } = await import("./preflight/preflight.ts");
  const report = await runPreflight({
    root,
    environment: environment === "" ? LOCAL : environment,
    isDeployed: true,
    isOffline: isCloudflareBuild || values["dry-run"] === true,
    run: wranglerIn(root),
    fetch,
    shell: process.env,
  });
  console.log(`${renderReport(report)}\n`);
  if (!report.ok) return 1;
  const named = environment === "" ? ["--env="] : args.some(isEnvironment) ? [] : ["--env", environment];
  const { status } = spawnSync("wrangler", ["deploy", ...named, ...args], { cwd: root, stdio: "inherit" });
  return status ?? 1;
}

function isEnvironment(arg: string): boolean {
  return arg === "--env" || arg === "-e" || arg.startsWith("--env=") || arg.startsWith("-e=");
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 2;
}
