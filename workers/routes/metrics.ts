/**
 * `/metrics`: the service's numbers for Prometheus. Opened by METRICS_TOKEN or an operator's token, and by
 * nothing a browser sends by itself.
 */
import type { Hono } from "hono";

import type { AdminGuard } from "../http/admin-auth.ts";
import type { Services } from "../http/context.ts";
import type { HonoEnv } from "../http/hono-env.ts";
import { mount } from "../http/mount.ts";
import { problemResponse } from "../http/problem.ts";

const CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";
/** Who scrapes, as it is told where it fails. */
const SCRAPER = "metrics";

export function mountMetrics(app: Hono<HonoEnv>, { config, monitor }: Services, guard: AdminGuard): void {
  const { metricsToken } = config.monitor;
  const extraTokens = new Map(metricsToken === undefined ? [] : [[metricsToken, SCRAPER] as const]);
  const action = { name: "metrics", isLook: true, onlyTokens: true, extraTokens };
  mount(app, "/metrics", {
    GET: guard(action, async (context) => {
      const text = await monitor.metrics();
      if (!text.ok) return problemResponse(text.error, context.get("requestId"));
      return new Response(text.value, { headers: { "Content-Type": CONTENT_TYPE, "Cache-Control": "no-store" } });
    }),
  });
}
