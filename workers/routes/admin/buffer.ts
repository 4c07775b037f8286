/**
 * `/admin/buffer/export`, `replay` and `reset`: what operators may do with events that are not in the table yet.
 */
import type { Context, Hono } from "hono";
import { z } from "zod";

import { shardName } from "../../../protocol/shard-choice.ts";
import type { AdminGuard } from "../../http/admin-auth.ts";
import type { Services } from "../../http/context.ts";
import type { HonoEnv } from "../../http/hono-env.ts";
import { json } from "../../http/json-response.ts";
import { mount } from "../../http/mount.ts";
import { problemResponse } from "../../http/problem.ts";
import { readIngestBody } from "../../ingest/body.ts";
import { readShardIndex } from "../../shard-selection.ts";
import { confirmation, invalid, readActionBody } from "./action-body.ts";

const RESET_BODY = z.strictObject({ confirm: confirmation.optional() });

export function mountBufferAdmin(
  app: Hono<HonoEnv>,
  { lakeAdmin, clock }: Pick<Services, "lakeAdmin" | "clock">,
  guard: AdminGuard,
): void {
  // Not a mere look: payloads leave the service.
  const exportBuffer = guard({ name: "buffer/export", query: ["shard"], target: shardTarget }, async (context) => {
    const text = await lakeAdmin.export(context.req.query("shard"), clock());
    if (!text.ok) return problemResponse(text.error, context.get("requestId"));
    return new Response(text.value, {
      headers: { "Content-Type": "application/x-ndjson", "Cache-Control": "no-store" },
    });
  });
  const replayBuffer = guard({ name: "buffer/replay", query: ["export"] }, async (context) => {
    const key = context.req.query("export");
    const body = key === undefined ? await readIngestBody(context.req.raw) : await lakeAdmin.readExport(key);
    if (!body.ok) return problemResponse(body.error, context.get("requestId"));
    const report = await lakeAdmin.replay(body.body);
    return report.ok ? json(200, report.value) : problemResponse(report.error, context.get("requestId"));
  });
  const resetBuffer = guard({ name: "buffer/reset", query: ["shard"], target: shardTarget }, async (context) => {
    const given = context.req.query("shard");
    if (given === undefined) {
      return problemResponse(invalid("shard", "one shard at a time: say which"), context.get("requestId"));
    }
    const selected = await lakeAdmin.select(given);
    if (!selected.ok) return problemResponse(selected.error, context.get("requestId"));
    const body = await readActionBody(context.req.raw, RESET_BODY);
    if (!body.ok) return problemResponse(body.error, context.get("requestId"));
    const report = await lakeAdmin.reset(selected.value[0] ?? 0, body.value.confirm);
    return report.ok ? json(200, report.value) : problemResponse(report.error, context.get("requestId"));
  });
  mount(app, "/admin/buffer/export", { GET: exportBuffer });
  mount(app, "/admin/buffer/replay", { POST: replayBuffer });
  mount(app, "/admin/buffer/reset", { POST: resetBuffer });
}

/** The shard that `?shard=` names, as it is told; what is no shard is nobody's to log. */
export function shardTarget(context: Context<HonoEnv>): string | undefined {
  const index = readShardIndex(context.req.query("shard") ?? "");
  return index === undefined ? undefined : shardName(index);
}
