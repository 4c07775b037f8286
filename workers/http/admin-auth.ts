/**
 * Who may act as an operator, and the record of what they did: every action is told as telemetry, whatever
 * came of it.
 */
import type { Context } from "hono";

import { bearerOf, equalInConstantTime } from "../tenant-keys.ts";
import type { HonoEnv, Services } from "./context.ts";
import type { Handler } from "./mount.ts";
import { problemResponse } from "./problem.ts";

/** One token, so one name: whoever holds it. */
const ACTOR = "admin";

export interface AdminAction {
  /** As it is told: `flush`, `buffer/reset`. */
  readonly name: string;
  /** Whether it only looks: then it is told only where it was refused. */
  readonly isLook?: boolean;
  /** What it acts on, where it is not the service as a whole: a shard, a request id. Never a secret. */
  readonly target?: (context: Context<HonoEnv>) => string | undefined;
}

export type AdminHandler = (context: Context<HonoEnv>, actor: string) => Promise<Response> | Response;
export type AdminGuard = (action: AdminAction, handler: AdminHandler) => Handler;

/** Lets operators in, and tells what was done. */
export function createAdminGuard({ config, telemetry, clock }: Services): AdminGuard {
  return (action, handler) => async (context) => {
    const token = bearerOf(context.req.header("Authorization"));
    const isAllowed = token !== undefined && equalInConstantTime(config.adminToken, token);
    const tell = (result: string) => {
      const time = new Date(clock()).toISOString();
      telemetry({ event: "AdminAction", action: action.name, actor: isAllowed ? ACTOR : "unknown", result, time });
    };
    if (!isAllowed) {
      tell("unauthorized");
      return problemResponse({ code: "unauthorized", credential: "admin token" }, context.get("requestId"));
    }
    const response = await handler(context, ACTOR);
    if (action.isLook !== true || response.status >= 400) tell(String(response.status));
    return response;
  };
}
