/**
 * What is valid and still unwise in a service that strangers can reach: told as warnings, but for a secret
 * that would cross the network in the clear. Pure.
 */
import { readNumbers } from "../../protocol/variable-reading.ts";
import { NUMBER_VARIABLES } from "../../workers/config.ts";
import type { Finding } from "./finding.ts";
import type { Target } from "./target.ts";

const DEMO_UPSTREAM = "builtin:demo";

export function checkRoutes(target: Target): Finding[] {
  return routesOf(target).flatMap(({ name, upstream, headers }): Finding[] => {
    const check = "routes";
    if (upstream.startsWith(DEMO_UPSTREAM)) {
      const detail = `${name} streams the built-in demo`;
      return target.environment === "production" ? [{ status: "warning", check, detail }] : [];
    }
    if (new URL(upstream).protocol !== "http:") return [];
    const carriesSecret = JSON.stringify(headers ?? {}).includes("${");
    const detail = `${name} calls ${new URL(upstream).host} without TLS`;
    return carriesSecret
      ? [{ status: "failed", check, detail: `${detail}, and with a secret in its headers`, remedy: "use https" }]
      : [{ status: "warning", check, detail }];
  });
}

export function checkAccess({ vars, rateLimits }: Target): Finding[] {
  const findings: Finding[] = [];
  const warn = (check: string, detail: string, remedy: string) =>
    findings.push({ status: "warning", check, detail, remedy });
  if (vars["CLIENT_AUTH"] === "none") {
    warn("clients", "CLIENT_AUTH is none: anybody may start streams, and your upstreams are paid for them", "bearer");
  }
  if (vars["CORS_ORIGINS"] === "*") {
    warn("origins", "CORS_ORIGINS is *: pages of every origin may call", "name the origins of your own pages");
  }
  if (rateLimits.length === 0) {
    warn("rate limits", "none is bound: nobody is limited", "docs/configuration.md, Rate limits");
  }
  return findings;
}

/** Two times that only make sense together. */
export function checkLifetimes({ vars }: Target): Finding[] {
  const { SSE_RESUME_TTL_SEC: tokenSec, SSE_SNAPSHOT_TTL_SEC: keptSec } = readNumbers(vars, NUMBER_VARIABLES, []);
  const check = "lifetimes";
  const archives = vars["SSE_ARCHIVE"] === true || vars["SSE_ARCHIVE"] === "true";
  if (tokenSec < keptSec) {
    const detail = `finished streams are kept for ${keptSec} s, and tokens open them for ${tokenSec} s only`;
    return [{ status: "warning", check, detail, remedy: "raise SSE_RESUME_TTL_SEC to SSE_SNAPSHOT_TTL_SEC" }];
  }
  if (tokenSec > keptSec && !archives) {
    const detail = `tokens live for ${tokenSec} s, and finished streams are deleted after ${keptSec} s: 410 in between`;
    return [{ status: "warning", check, detail, remedy: "raise SSE_SNAPSHOT_TTL_SEC, or set SSE_ARCHIVE" }];
  }
  return [];
}

export function checkLogs({ logsAreKept }: Target): Finding[] {
  if (logsAreKept) return [];
  const detail = "observability is off: what happened can only be seen while wrangler tail runs";
  return [{ status: "warning", check: "logs", detail }];
}

interface RouteEntry {
  readonly name: string;
  readonly upstream: string;
  readonly headers: unknown;
}

/** Entries that are none are told by the Worker's own reading. */
function routesOf({ vars }: Target): RouteEntry[] {
  const given = parsed(vars["ROUTES"]);
  if (!Array.isArray(given)) return [];
  return given.flatMap((entry) => {
    const { name, upstream, headers }: Partial<Record<keyof RouteEntry, unknown>> = Object(entry);
    if (typeof upstream !== "string" || !URL.canParse(upstream)) return [];
    return [{ name: String(name), upstream, headers }];
  });
}

function parsed(given: unknown): unknown {
  if (typeof given !== "string") return given;
  try {
    return JSON.parse(given);
  } catch {
    // As above.
    return undefined;
  }
}
