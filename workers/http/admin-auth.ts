/**
 * The guard before everything operators may see and do: who calls, from where, and the record of it.
 *
 * Every action is told as telemetry whatever came of it, also where its handler breaks; a look only where it was
 * refused or failed.
 */
import type { Context } from "hono";

import type { TelemetrySink } from "../../protocol/telemetry.ts";
import { AdminAudit } from "./admin-audit.ts";
import { AdminDoor, type AdminIdentity, type DoorServices } from "./admin-identity.ts";
import type { HonoEnv } from "./hono-env.ts";
import type { Handler } from "./mount.ts";
import { problemResponse } from "./problem.ts";
import { queryFault } from "./query-names.ts";

/** What a script of our page adds, and a form of another site cannot. */
const ACTION_HEADER = "X-Spillway-Action";

export interface AdminAction {
  /** As it is told: `flush`, `buffer/reset`. */
  readonly name: string;
  /** Whether it only looks: then it is told only where it was refused. */
  readonly isLook?: boolean;
  /** What it acts on, where it is not the service as a whole: a shard, a request id. Never a secret. */
  readonly target?: (context: Context<HonoEnv>) => string | undefined;
  /** Names its query may have; others are refused. */
  readonly query?: readonly string[];
  /** Name by token, of tokens that open this action and no other. */
  readonly extraTokens?: ReadonlyMap<string, string>;
  /** Whether nothing but a token opens it: no session, no Access. */
  readonly onlyTokens?: boolean;
  /** Whether it is asked before anybody has signed in: a caller without a credential is then not told of. */
  readonly isProbe?: boolean;
}

export type AdminHandler = (
  context: Context<HonoEnv>,
  actor: string,
  identity: AdminIdentity,
) => Promise<Response> | Response;
export type AdminGuard = (action: AdminAction, handler: AdminHandler) => Handler;

interface GuardServices extends DoorServices {
  readonly telemetry: TelemetrySink;
  /** Keeps the isolate alive for an action whose caller has hung up. */
  readonly waitUntil: (work: Promise<unknown>) => void;
}

/** Lets operators in, and tells what was done. One for all routes, or each would count failures anew. */
export function createAdminGuard(services: GuardServices, door = new AdminDoor(services)): AdminGuard {
  const audit = new AdminAudit(services);
  return (action, handler) => {
    const { name, extraTokens, onlyTokens } = action;
    const tokens = extraTokens === undefined ? undefined : door.tokensAnd(extraTokens);
    const act = async (context: Context<HonoEnv>, identity: AdminIdentity): Promise<Response> => {
      const { actor } = identity;
      let result = "500";
      let target: string | undefined;
      try {
        target = action.target?.(context);
        const fault = queryFault(new URL(context.req.url).searchParams, action.query ?? []);
        const requestId = context.get("requestId");
        const response =
          fault === undefined ? await handler(context, actor, identity) : problemResponse(fault, requestId);
        result = String(response.status);
        return response;
      } finally {
        // Also where the handler has thrown: what it had done by then is not known.
        if (action.isLook !== true || Number(result) >= 400) audit.tell({ action: name, actor, result, target });
      }
    };
    return async (context) => {
      const verdict = await door.identify(context.req.raw, { tokens, onlyTokens });
      if (!verdict.ok) {
        if (!(verdict.isMissing && action.isProbe === true)) {
          audit.tellRefusal({ action: name, result: verdict.error.code });
        }
        return problemResponse(verdict.error, context.get("requestId"));
      }
      const { identity } = verdict;
      const { actor } = identity;
      if (mayBeForged(context.req.raw, identity)) {
        audit.tellRefusal({ action: name, actor, result: "csrf" });
        return problemResponse({ code: "csrf" }, context.get("requestId"));
      }
      const acting = act(context, identity);
      // Its caller may hang up meanwhile: what was begun is told all the same.
      services.waitUntil(acting.catch(() => undefined));
      return acting;
    };
  };
}

/** By the origin alone, as browsers say it that do not say the site (Safari before 16.4). */
function isFromElsewhere(request: Request): boolean {
  const origin = request.headers.get("origin");
  if (origin === null) return false;
  // The host alone: a proxy before us may have taken off the TLS.
  return !URL.canParse(origin) || new URL(origin).host !== new URL(request.url).host;
}

/**
 * Whether another site may have made a browser send this: a credential that browsers add by themselves, on a call
 * that changes something. `same-site` is another site too: a neighbour under the same domain.
 */
function mayBeForged(request: Request, { via }: AdminIdentity): boolean {
  if (via === "token" || request.method === "GET" || request.method === "HEAD") return false;
  const site = request.headers.get("sec-fetch-site");
  if (site === null ? isFromElsewhere(request) : site !== "same-origin" && site !== "none") return true;
  // Through Access programs come too, with neither header; a browser there always says the site, or its origin.
  return via === "session" && request.headers.get(ACTION_HEADER) !== "1";
}
