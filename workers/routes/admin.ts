/**
 * `/admin/*`: what operators may do to the lake. Every action is told as telemetry, whatever came of it.
 */
import type { Context, Hono } from "hono";

import type { HonoEnv, Services } from "../http/context.ts";
import { mount, type Handler } from "../http/mount.ts";
import { problemResponse } from "../http/problem.ts";
import { bearerOf, equalInConstantTime } from "../tenant-keys.ts";

/** One token, so one name: whoever holds it. */
const ACTOR = "admin";

export function mountAdmin(app: Hono<HonoEnv>, services: Services): void {
  const guard = guardBy(services);
  const { lake } = services;
  mount(app, "/admin/flush", { POST: guard("flush", async () => flushed(await lake.flushAll())) });
  mount(app, "/admin/status", { GET: guard("status", async () => json(200, await lake.status())) });
  mount(app, "/admin/compact", {
    POST: guard("compact", async () => {
      const report = await lake.compact();
      return json(report.ok ? 200 : 409, report);
    }),
  });
  mount(app, "/admin/expire-snapshots", {
    POST: guard("expire-snapshots", async (context) => {
      const keep = readKeep(context.req.query("keep"));
      if (keep === "invalid") {
        const error = { code: "invalid_request", field: "keep", detail: "a whole number from 1 to 1000" } as const;
        return problemResponse(error, context.get("requestId"));
      }
      const report = await lake.expireSnapshots(keep);
      return json(report.ok ? 200 : 409, report);
    }),
  });
}

/** Lets the holder of the admin token in, and tells what was done. */
function guardBy({ config, telemetry, clock }: Services) {
  return (action: string, handler: (context: Context<HonoEnv>) => Promise<Response>): Handler =>
    async (context) => {
      const token = bearerOf(context.req.header("Authorization"));
      const isAllowed = token !== undefined && equalInConstantTime(config.adminToken, token);
      const tell = (result: string) => {
        // Looking is no action, unless it was refused.
        if (action === "status" && result === "200") return;
        const time = new Date(clock()).toISOString();
        telemetry({ event: "AdminAction", action, actor: isAllowed ? ACTOR : "unknown", result, time });
      };
      if (!isAllowed) {
        tell("unauthorized");
        return problemResponse({ code: "unauthorized", credential: "admin token" }, context.get("requestId"));
      }
      const response = await handler(context);
      tell(String(response.status));
      return response;
    };
}

/** 207 where a shard or the commit has failed: the body names it. */
function flushed(report: { readonly ok: boolean }): Response {
  return json(report.ok ? 200 : 207, report);
}

function readKeep(given: string | undefined): number | undefined | "invalid" {
  if (given === undefined) return undefined;
  const keep = /^\d{1,4}$/.test(given) ? Number(given) : 0;
  return keep >= 1 && keep <= 1000 ? keep : "invalid";
}

function json(status: number, body: object): Response {
  return Response.json(body, { status, headers: { "Cache-Control": "no-store" } });
}
