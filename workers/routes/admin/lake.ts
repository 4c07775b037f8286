/**
 * `/admin/flush`, `status`, `compact`, `expire-snapshots`: what operators may do to the lake as a whole.
 */
import type { Hono } from "hono";

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
    POST: guard({ name: "compact" }, async () => {
      const report = await lake.compact();
      return json(report.ok ? 200 : 409, report);
    }),
  });
  mount(app, "/admin/expire-snapshots", {
    POST: guard({ name: "expire-snapshots", query: ["keep"] }, async (context) => {
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

function readKeep(given: string | undefined): number | undefined | "invalid" {
  if (given === undefined) return undefined;
  const keep = /^\d{1,4}$/.test(given) ? Number(given) : 0;
  return keep >= 1 && keep <= 1000 ? keep : "invalid";
}
