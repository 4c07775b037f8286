/**
 * A preflight of one environment: gathers what is known, and lets every check look at it.
 *
 * It only looks. What it may ask comes in: wrangler, the network, the variables of the shell.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseEnv } from "node:util";

import { checkBindings, checkClasses, checkPlatform, checkVariables } from "./binding-checks.ts";
import { checkConfiguration } from "./configuration-checks.ts";
import { summarize, type Finding, type PreflightReport } from "./finding.ts";
import { checkBuckets, checkCatalog, checkWarehouse } from "./lake-checks.ts";
import { checkAccess, checkLifetimes, checkLogs, checkRoutes } from "./prudence-checks.ts";
import { checkAdminTokens, type KnownSecrets } from "./secrets.ts";
import { LOCAL, readSecretNames, readTarget, type Target } from "./target.ts";
import { isLoggedIn, listBuckets, listSecrets, type Looked, type RunWrangler } from "./wrangler-calls.ts";

export { LOCAL };

export interface PreflightOptions {
  /** The project's folder. */
  readonly root: string;
  /** An environment of wrangler.jsonc, or `local`: the top level with the secrets of `.dev.vars`. */
  readonly environment: string;
  /** Whether the environment is deployed: its secrets are then Cloudflare's, and strangers can reach it. */
  readonly isDeployed: boolean;
  /** Asks neither Cloudflare nor a catalog. */
  readonly isOffline: boolean;
  readonly run: RunWrangler;
  readonly fetch: typeof fetch;
  readonly shell: Readonly<Record<string, string | undefined>>;
}

/** @throws where wrangler.jsonc cannot be read or has no such environment */
export async function runPreflight(options: PreflightOptions): Promise<PreflightReport> {
  const { root, environment } = options;
  const target = readTarget(root, environment);
  const local = readTarget(root, LOCAL);
  const { secrets, buckets } = options.isDeployed ? lookAtAccount(target, options) : lookHere(options);
  const findings: Finding[] = [
    ...checkConfiguration(target, secrets, readSecretNames(root)),
    checkAdminTokens(secrets),
    ...checkBindings(target, local),
    ...checkClasses(target),
    ...checkPlatform(target, local),
    ...checkVariables(target, local),
    ...(buckets === undefined ? [] : checkBuckets(target, buckets)),
    ...checkWarehouse(target),
    await checkCatalog(target, { ...options, token: catalogToken(secrets, options.shell) }),
    ...checkLifetimes(target),
    // On this machine nobody else calls, and what it calls may be here as well.
    ...(options.isDeployed ? [...checkRoutes(target), ...checkAccess(target), ...checkLogs(target)] : []),
  ];
  return summarize(environment, target.worker, findings);
}

interface Surroundings {
  readonly secrets: KnownSecrets;
  /** `undefined` where buckets come by themselves. */
  readonly buckets: Looked<readonly string[]> | undefined;
}

function lookHere({ root, shell }: PreflightOptions): Surroundings {
  const path = join(root, ".dev.vars");
  const values: Record<string, string> = {};
  const add = (name: string, value: string | undefined) => {
    if (value !== undefined) values[name] = value;
  };
  // As `wrangler dev` has it: the file counts where both say something.
  if (shell["CLOUDFLARE_INCLUDE_PROCESS_ENV"] === "true") {
    for (const name of readSecretNames(root)) add(name, shell[name]);
  }
  const parsed = existsSync(path) ? parseEnv(readFileSync(path, "utf8")) : {};
  for (const [name, value] of Object.entries(parsed)) add(name, value);
  return { secrets: { kind: "values", values }, buckets: undefined };
}

function lookAtAccount(target: Target, { isOffline, run }: PreflightOptions): Surroundings {
  const why = isOffline ? "offline" : isLoggedIn(run) ? undefined : "nobody is logged in (npx wrangler login)";
  if (why !== undefined) return { secrets: { kind: "unknown", why }, buckets: { isKnown: false, why } };
  const listed = listSecrets(run, target.environment);
  const secrets: KnownSecrets = listed.isKnown
    ? { kind: "names", names: listed.value }
    : { kind: "unknown", why: listed.why };
  return { secrets, buckets: listBuckets(run) };
}

function catalogToken(secrets: KnownSecrets, shell: PreflightOptions["shell"]): string | undefined {
  const own = secrets.kind === "values" ? secrets.values["ICEBERG_REST_TOKEN"] : undefined;
  return own ?? shell["ICEBERG_REST_TOKEN"];
}
