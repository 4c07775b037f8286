/**
 * `/admin/dead-letters`: events that could not be delivered, to be looked at, sent back or let go.
 */
import type { Context, Hono } from "hono";
import { z } from "zod";

import type { Result } from "../../../protocol/stream-call.ts";
import type { AdminGuard } from "../../http/admin-auth.ts";
import type { HonoEnv } from "../../http/hono-env.ts";
import { json } from "../../http/json-response.ts";
import { mount } from "../../http/mount.ts";
import { problemResponse } from "../../http/problem.ts";
import type { LetterAdmin, LetterPosition } from "../../letter-admin.ts";
import { readShardIndex } from "../../shard-selection.ts";
import { confirmation, invalid, letterIds, readActionBody, shardIndex } from "./action-body.ts";

const LIMIT_DEFAULT = 50;
const LIMIT_MAX = 200;
const REDRIVE_BODY = z.strictObject({ shard: shardIndex.optional(), ids: letterIds.optional() });
const PURGE_BODY = z.strictObject({
  shard: shardIndex,
  ids: letterIds.optional(),
  confirm: confirmation.optional(),
});

export function mountDeadLetterAdmin(
  app: Hono<HonoEnv>,
  { lakeAdmin }: { readonly lakeAdmin: LetterAdmin },
  guard: AdminGuard,
): void {
  const list = guard({ name: "dead-letters", isLook: true, query: ["shard", "limit", "after"] }, async (context) => {
    const query = readListQuery(context);
    if (!query.ok) return problemResponse(query.error, context.get("requestId"));
    const { limit, after } = query.value;
    const letters = await lakeAdmin.listLetters(context.req.query("shard"), limit, after);
    return letters.ok ? json(200, letters.value) : problemResponse(letters.error, context.get("requestId"));
  });
  // 207 where a shard could not do it, or has no room for more: the body names it.
  const redrive = guard({ name: "dead-letters/redrive" }, async (context) => {
    const body = await readActionBody(context.req.raw, REDRIVE_BODY);
    if (!body.ok) return problemResponse(body.error, context.get("requestId"));
    const { shard, ids } = body.value;
    if (ids !== undefined && shard === undefined) {
      const error = invalid("shard", "is needed with ids: they are a shard's own");
      return problemResponse(error, context.get("requestId"));
    }
    const selected = await lakeAdmin.select(shard);
    if (!selected.ok) return problemResponse(selected.error, context.get("requestId"));
    const report = await lakeAdmin.redrive(selected.value, ids);
    return json(report.failed.length + report.full.length === 0 ? 200 : 207, report);
  });
  const purge = guard({ name: "dead-letters/purge" }, async (context) => {
    const body = await readActionBody(context.req.raw, PURGE_BODY);
    if (!body.ok) return problemResponse(body.error, context.get("requestId"));
    const { shard, ids, confirm } = body.value;
    const selected = await lakeAdmin.select(shard);
    if (!selected.ok) return problemResponse(selected.error, context.get("requestId"));
    const report = await lakeAdmin.purge(shard, { ids, confirm });
    return report.ok ? json(200, report.value) : problemResponse(report.error, context.get("requestId"));
  });
  mount(app, "/admin/dead-letters", { GET: list });
  mount(app, "/admin/dead-letters/redrive", { POST: redrive });
  mount(app, "/admin/dead-letters/purge", { POST: purge });
}

function readListQuery(context: Context<HonoEnv>): Result<{ limit: number; after: LetterPosition | undefined }> {
  const text = context.req.query("limit") ?? String(LIMIT_DEFAULT);
  const limit = /^\d{1,3}$/.test(text) ? Number(text) : 0;
  if (limit < 1 || limit > LIMIT_MAX) {
    return { ok: false, error: invalid("limit", `a whole number from 1 to ${LIMIT_MAX}`) };
  }
  const given = context.req.query("after");
  if (given === undefined) return { ok: true, value: { limit, after: undefined } };
  const [, index = "", letterId = ""] = /^(\d{1,3})\.(\d{1,15})$/.exec(given) ?? [];
  const found = readShardIndex(index);
  if (found === undefined) return { ok: false, error: invalid("after", "`next` of the page before is needed") };
  return { ok: true, value: { limit, after: { shardIndex: found, letterId: Number(letterId) } } };
}
