/**
 * `/admin/overview`, `alerts`, `alerts/test`: what the monitor says of the service.
 */
import type { Context, Hono } from "hono";

import type { Result } from "../../../protocol/stream-call.ts";
import type { AdminGuard } from "../../http/admin-auth.ts";
import type { Services } from "../../http/context.ts";
import type { HonoEnv } from "../../http/hono-env.ts";
import { json } from "../../http/json-response.ts";
import { mount } from "../../http/mount.ts";
import { problemResponse } from "../../http/problem.ts";

export function mountSignalsAdmin(app: Hono<HonoEnv>, { monitor }: Services, guard: AdminGuard): void {
  mount(app, "/admin/overview", {
    GET: guard({ name: "overview", isLook: true }, async (context) => answer(context, await monitor.overview())),
  });
  mount(app, "/admin/alerts", {
    GET: guard({ name: "alerts", isLook: true }, async (context) => answer(context, await monitor.alerts())),
  });
  mount(app, "/admin/alerts/test", {
    POST: guard({ name: "alerts/test" }, async (context) => answer(context, await monitor.testAlert())),
  });
}

function answer(context: Context<HonoEnv>, result: Result<object>): Response {
  return result.ok ? json(200, result.value) : problemResponse(result.error, context.get("requestId"));
}
