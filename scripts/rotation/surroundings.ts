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
  const { variables, objectDelaySec } = await readConfiguration(folder, target);
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
    marginSec: marginOf(context, objectDelaySec, isLocal),
  };
}

/** Objects sign, and one that still runs on the version before signs by the old secret: for so long at most. */
function marginOf({ values }: CommandContext, objectDelaySec: number, isLocal: boolean): number {
  const given = values.wholeNumber("margin-sec", 0, LIFE_MAX_SEC);
  if (isLocal) return given ?? MARGIN_SEC.local;
  if (given !== undefined && given < objectDelaySec) {
    throw usageFailure(
      `--margin-sec ${given}: objects may sign by the old secret for ${objectDelaySec} s after a change (code_update_strategy in wrangler.jsonc).`,
    );
  }
  return given ?? Math.max(MARGIN_SEC.deployed, objectDelaySec);
}

/** @throws a usage failure where another environment is named than that of the rotation under way */
export function checkTarget({ target }: Pick<Surroundings, "target">, { values }: CommandContext): void {
  if ((values.text("env") ?? LOCAL) === target) return;
  const option = target === LOCAL ? "without --env" : `with --env ${target}`;
  throw usageFailure(`A rotation of ${target} is under way; finish it first, ${option}.`);
}

/**
 * What a later run of the same rotation says anew: the route, and a longer life or margin, which is the safe side.
 *
 * @throws a usage failure where it names another environment
 */
export function heedOptions<State extends Omit<Surroundings, "folder">>(state: State, context: CommandContext): State {
  const { values, terminal } = context;
  checkTarget(state, context);
  const longer = (name: string, least: number, now: number) => {
    const given = values.wholeNumber(name, least, LIFE_MAX_SEC) ?? now;
    if (given < now) terminal.note(`--${name} ${given}: it stays ${now}, as the rotation began.`);
    return Math.max(given, now);
  };
  return {
    ...state,
    route: values.text("route") ?? state.route,
    tokenLifeSec: longer("token-life-sec", LIFE_MIN_SEC, state.tokenLifeSec),
    marginSec: longer("margin-sec", 0, state.marginSec),
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

interface Configuration {
  readonly variables: Variables;
  /** How long objects of a deployed service may go on with the version before. */
  readonly objectDelaySec: number;
}

async function readConfiguration(folder: string, target: string): Promise<Configuration> {
  const config = ["wrangler.jsonc", "wrangler.json"].map((name) => join(folder, name)).find((path) => existsSync(path));
  if (config === undefined) return { variables: target === LOCAL ? readDevVars(folder) : {}, objectDelaySec: 0 };
  const { experimental_readRawConfig } = await import("wrangler");
  const { rawConfig } = experimental_readRawConfig({ config });
  if (target === LOCAL) return { variables: { ...rawConfig.vars, ...readDevVars(folder) }, objectDelaySec: 0 };
  const environment = rawConfig.env?.[target];
  if (environment === undefined) throw usageFailure(`wrangler.jsonc has no environment ${target}.`);
  // Variables are not inherited (developers.cloudflare.com/workers/wrangler/environments).
  return { variables: environment.vars ?? {}, objectDelaySec: delayIn(environment) || delayIn(rawConfig) };
}

/** `durable_objects.code_update_strategy.max_delay`, in seconds; 0 where it is not set. */
function delayIn({ durable_objects: objects }: { readonly durable_objects?: object | undefined }): number {
  const { code_update_strategy: strategy }: { code_update_strategy?: { max_delay?: unknown } } = objects ?? {};
  return typeof strategy?.max_delay === "number" ? strategy.max_delay : 0;
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
