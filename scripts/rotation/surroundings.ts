/**
 * What a rotation needs to know about the service: where it is, one of its routes, how long its tokens live.
 */
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";

import type { CommandContext } from "../cli/command.ts";
import { isLoopback, readUrl } from "../cli/credentials.ts";
import { readDevVars } from "../cli/dev-vars.ts";
import { usageFailure } from "../cli/exit-codes.ts";

export const LOCAL = "local";

/** As docs/configuration.md bounds SSE_RESUME_TTL_SEC. */
const LIFE_MIN_SEC = 2;
const LIFE_MAX_SEC = 604_800;
/** A local service restarts at once; isolates of a deployed one, and objects that still sign by the old version, take their time. */
const MARGIN_SEC = { local: 5, deployed: 300 };

export interface Surroundings {
  readonly folder: string;
  readonly target: string;
  readonly origin: string;
  readonly route: string;
  readonly tokenLifeSec: number;
  readonly marginSec: number;
}

export function folderOf({ values, host }: CommandContext): string {
  return resolve(values.text("folder") ?? host.folder);
}

export async function readSurroundings(context: CommandContext): Promise<Surroundings> {
  const { values } = context;
  const folder = folderOf(context);
  const target = values.text("env") ?? LOCAL;
  const isLocal = target === LOCAL;
  const variables = await readVariables(folder, target);
  const life = values.wholeNumber("token-life-sec", LIFE_MIN_SEC, LIFE_MAX_SEC) ?? lifeIn(variables);
  if (life === undefined) {
    throw usageFailure(
      "The life of tokens is not known: wrangler.jsonc has no SSE_RESUME_TTL_SEC for it. Give --token-life-sec.",
    );
  }
  const route = values.text("route") ?? firstRoute(variables);
  if (route === undefined) throw usageFailure("Give --route: any route of the service, for the probes.");
  return {
    folder,
    target,
    origin: originOf(context, isLocal),
    route,
    tokenLifeSec: life,
    marginSec: values.wholeNumber("margin-sec", 0, LIFE_MAX_SEC) ?? (isLocal ? MARGIN_SEC.local : MARGIN_SEC.deployed),
  };
}

export function originOf({ values, host }: CommandContext, isLocal: boolean): string {
  if (!isLocal && values.text("url") === undefined && !host.env["SPILLWAY_URL"]) {
    throw usageFailure("Give --url: the deployed service that is asked at every step.");
  }
  const url = readUrl(values, host);
  if (isLocal && !isLoopback(url)) {
    throw usageFailure(`${url.origin} is not on this machine: say which environment it is with --env.`);
  }
  return url.origin;
}

type Variables = Readonly<Record<string, unknown>>;

async function readVariables(folder: string, target: string): Promise<Variables> {
  const config = ["wrangler.jsonc", "wrangler.json"].map((name) => join(folder, name)).find((path) => existsSync(path));
  if (config === undefined) return target === LOCAL ? readDevVars(folder) : {};
  const { experimental_readRawConfig } = await import("wrangler");
  const { rawConfig } = experimental_readRawConfig({ config });
  if (target === LOCAL) return { ...rawConfig.vars, ...readDevVars(folder) };
  const environment = rawConfig.env?.[target];
  if (environment === undefined) throw usageFailure(`wrangler.jsonc has no environment ${target}.`);
  // Variables are not inherited (developers.cloudflare.com/workers/wrangler/environments).
  return environment.vars ?? {};
}

function lifeIn(variables: Variables): number | undefined {
  const life = Number(variables["SSE_RESUME_TTL_SEC"] ?? Number.NaN);
  return Number.isInteger(life) && life >= LIFE_MIN_SEC && life <= LIFE_MAX_SEC ? life : undefined;
}

function firstRoute({ ROUTES: routes }: Variables): string | undefined {
  try {
    const list: unknown = typeof routes === "string" ? JSON.parse(routes) : routes;
    const first: unknown = Array.isArray(list) ? list[0] : undefined;
    const name: unknown = typeof first === "object" && first !== null && "name" in first ? first.name : undefined;
    return typeof name === "string" ? name : undefined;
  } catch {
    // The service names the fault.
    return undefined;
  }
}
