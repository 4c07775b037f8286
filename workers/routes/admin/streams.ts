/**
 * `/admin/streams` and `/admin/streams/{request_id}`: lists, a look at one stream, and its end by an operator;
 * and `/admin/flush` where it is about one stream.
 */
import type { Context, Hono } from "hono";

import { STREAM_LISTS, type StreamList } from "../../../protocol/admin-streams.ts";
import type { SpillwayError } from "../../../protocol/errors.ts";
import type { Result } from "../../../protocol/stream-call.ts";
import type { AdminGuard } from "../../http/admin-auth.ts";
import type { HonoEnv } from "../../http/hono-env.ts";
import { json } from "../../http/json-response.ts";
import { mount } from "../../http/mount.ts";
import { problemResponse } from "../../http/problem.ts";
import { isRequestId } from "../../request-ids.ts";
import { ASKED_MAX, type StreamAdmin } from "../../stream-admin.ts";

const LIMIT_DEFAULT = 50;

export function mountStreamAdmin(app: Hono<HonoEnv>, admin: StreamAdmin, guard: AdminGuard): void {
  mount(app, "/admin/streams", {
    GET: guard({ name: "streams", isLook: true, query: ["state", "limit"] }, async (context) => {
      const query = readListQuery(context);
      if (!query.ok) return problemResponse(query.error, context.get("requestId"));
      return json(200, await admin.list(query.value.state, query.value.limit));
    }),
  });
  mount(app, "/admin/streams/:request_id", {
    GET: guard({ name: "streams/inspect", isLook: true, target: targetOf }, async (context) =>
      answer(context, (requestId) => admin.report(requestId)),
    ),
    DELETE: guard({ name: "streams/cancel", target: targetOf }, async (context) =>
      answer(context, (requestId) => admin.cancel(requestId)),
    ),
  });
}

/** `POST /admin/flush?request_id=…`: 207 where the stream, its shard or the commit has failed. */
export async function flushStream(
  context: Context<HonoEnv>,
  admin: Pick<StreamAdmin, "flush">,
  requestId: string,
): Promise<Response> {
  if (!isRequestId(requestId)) return invalid(context, "request_id", "the id of a stream, as X-Request-Id has it");
  if (context.req.query("shard") !== undefined) {
    return invalid(context, "shard", "not together with request_id: a stream's shard follows from its id");
  }
  const report = await admin.flush(requestId);
  return json(report.ok ? 200 : 207, report);
}

/** A stream that an action is on, by a request's path or query. What looks otherwise is nobody's to log. */
export function targetOf(context: Context<HonoEnv>): string | undefined {
  const given = context.req.param("request_id") ?? context.req.query("request_id");
  return given !== undefined && isRequestId(given) ? given : undefined;
}

async function answer(
  context: Context<HonoEnv>,
  act: (requestId: string) => Promise<Result<object>>,
): Promise<Response> {
  const requestId = targetOf(context);
  const result = requestId === undefined ? UNKNOWN : await act(requestId);
  return result.ok ? json(200, result.value) : problemResponse(result.error, context.get("requestId"));
}

const UNKNOWN: Result<never> = { ok: false, error: { code: "stream_not_found" } };

function readListQuery(context: Context<HonoEnv>): Result<{ state: StreamList; limit: number }> {
  const given = context.req.query("state") ?? "recent";
  const state = STREAM_LISTS.find((list) => list === given);
  if (state === undefined) return { ok: false, error: fault("state", `one of ${STREAM_LISTS.join(", ")}`) };
  const text = context.req.query("limit") ?? String(LIMIT_DEFAULT);
  const limit = /^\d{1,3}$/.test(text) ? Number(text) : 0;
  if (limit < 1 || limit > ASKED_MAX) {
    return { ok: false, error: fault("limit", `a whole number from 1 to ${ASKED_MAX}`) };
  }
  return { ok: true, value: { state, limit } };
}

function invalid(context: Context<HonoEnv>, field: string, detail: string): Response {
  return problemResponse(fault(field, detail), context.get("requestId"));
}

function fault(field: string, detail: string): SpillwayError {
  return { code: "invalid_request", field, detail };
}
