/**
 * `/admin/flush`, `status`, `compact`, `expire-snapshots`: what operators may do to the lake as a whole.
 */
import type { Context, Hono } from "hono";

import type { CompactionReport, ExpiryReport } from "../../../protocol/lake-call.ts";
import type { Result } from "../../../protocol/stream-call.ts";
import type { AdminGuard } from "../../http/admin-auth.ts";
import type { Services } from "../../http/context.ts";
import type { HonoEnv } from "../../http/hono-env.ts";
import { json } from "../../http/json-response.ts";
import { mount } from "../../http/mount.ts";
import { problemResponse } from "../../http/problem.ts";
import { shardTarget } from "./buffer.ts";
import { flushStream, targetOf } from "./streams.ts";

export function mountLakeAdmin(
  app: Hono<HonoEnv>,
  { lake, lakeAdmin, streamAdmin }: Services,
  guard: AdminGuard,
): void {
  // 207 where a shard or the commit has failed: the body names it.
  const flush = guard(
    { name: "flush", query: ["shard", "request_id"], target: (context) => targetOf(context) ?? shardTarget(context) },
    async (context) => {
      const requestId = context.req.query("request_id");
      if (requestId !== undefined) return flushStream(context, streamAdmin, requestId);
      const shard = context.req.query("shard");
      const selected = shard === undefined ? undefined : await lakeAdmin.select(shard);
      if (selected?.ok === false) return problemResponse(selected.error, context.get("requestId"));
      const report = await (selected === undefined ? lake.flushAll() : lake.flushShards(selected.value));
      return json(report.ok ? 200 : 207, report);
    },
  );
  mount(app, "/admin/flush", { POST: flush });
  mount(app, "/admin/status", {
    GET: guard({ name: "status", isLook: true }, async () => json(200, await lake.status())),
  });
  mount(app, "/admin/compact", {
    POST: guard({ name: "compact" }, async (context) => maintained(context, await lake.compact())),
  });
  mount(app, "/admin/expire-snapshots", {
    POST: guard({ name: "expire-snapshots", query: ["keep"] }, async (context) => {
      const keep = readKeep(context.req.query("keep"));
      if (keep === "invalid") {
        const error = { code: "invalid_request", field: "keep", detail: "a whole number from 1 to 1000" } as const;
        return problemResponse(error, context.get("requestId"));
      }
      return maintained(context, await lake.expireSnapshots(keep));
    }),
  });
}

/** 409 where it could not be done: the report says why. */
function maintained(context: Context<HonoEnv>, result: Result<CompactionReport | ExpiryReport>): Response {
  if (!result.ok) return problemResponse(result.error, context.get("requestId"));
  return json(result.value.ok ? 200 : 409, result.value);
}

function readKeep(given: string | undefined): number | undefined | "invalid" {
  if (given === undefined) return undefined;
  const keep = /^\d{1,4}$/.test(given) ? Number(given) : 0;
  return keep >= 1 && keep <= 1000 ? keep : "invalid";
}
