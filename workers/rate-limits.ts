/**
 * The rate limits' bindings and their one variable, read and checked. Pure.
 *
 * Not for their use: that is `http/rate-limit.ts`.
 */
import type { ConfigFault, RateBudget } from "../protocol/errors.ts";
import { isMissing, type Variables } from "../protocol/variable-reading.ts";

/** Cloudflare's rate limit binding, as far as it is used. */
export interface RateLimiter {
  limit(options: { readonly key: string }): Promise<{ readonly success: boolean }>;
}

export interface RateLimits {
  /** Whatever has no limiter is not limited. */
  readonly limiters: Readonly<Partial<Record<RateBudget, RateLimiter>>>;
  /** The bindings' period, told as Retry-After: a limiter does not say when its window ends. */
  readonly periodSec: number;
}

const LIMITER_BINDINGS = {
  start: "RATE_LIMIT_START",
  resume: "RATE_LIMIT_RESUME",
  admin: "RATE_LIMIT_ADMIN",
} as const satisfies Record<RateBudget, string>;
const PERIOD_VARIABLE = "RATE_LIMIT_PERIOD_SEC";

/** What the platform allows as a period; the first is the default. */
const PERIODS_SEC = [60, 10] as const;

export function readRateLimits(variables: Variables, faults: ConfigFault[]): RateLimits {
  const limiters: Partial<Record<RateBudget, RateLimiter>> = {};
  for (const budget of ["start", "resume", "admin"] as const) {
    const limiter = readLimiter(variables, LIMITER_BINDINGS[budget], faults);
    if (limiter !== undefined) limiters[budget] = limiter;
  }
  return {
    limiters,
    periodSec: readPeriodSec(variables, faults),
  };
}

function readLimiter(variables: Variables, variable: string, faults: ConfigFault[]): RateLimiter | undefined {
  const given = variables[variable];
  if (isMissing(given)) return undefined;
  if (isLimiter(given)) return given;
  const found = typeof given === "object" ? "JSON or another kind of binding" : `a ${typeof given}`;
  faults.push({ variable, found, allowed: "a rate limit binding, or none" });
  return undefined;
}

function isLimiter(given: unknown): given is RateLimiter {
  return typeof given === "object" && given !== null && "limit" in given && typeof given.limit === "function";
}

function readPeriodSec(variables: Variables, faults: ConfigFault[]): number {
  const given = variables[PERIOD_VARIABLE];
  if (isMissing(given)) return PERIODS_SEC[0];
  const periodSec = PERIODS_SEC.find((allowed) => given === allowed || given === String(allowed));
  if (periodSec !== undefined) return periodSec;
  faults.push({
    variable: PERIOD_VARIABLE,
    found: JSON.stringify(given),
    allowed: PERIODS_SEC.toReversed().join(" or "),
  });
  return PERIODS_SEC[0];
}
