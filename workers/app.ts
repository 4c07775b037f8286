/**
 * The edge: middleware in its order, then the mounts.
 *
 * Order: request id → size limits → CORS → route → problem for whatever is left.
 */
import { Hono } from "hono";
import { cors } from "hono/cors";

import type { ConfigFault } from "../protocol/errors.ts";
import type { Services } from "./http/context.ts";
import type { HonoEnv } from "./http/hono-env.ts";
import { problemResponse } from "./http/problem.ts";
import { checkRequestSize } from "./http/request-limits.ts";
import { randomRequestId } from "./request-ids.ts";
import { mountAdmin } from "./routes/admin/index.ts";
import { mountDemoPage } from "./routes/demo-page.ts";
import { mountEvents } from "./routes/events.ts";
import { mountIcebergCatalog } from "./routes/iceberg-catalog.ts";
import { mountOps } from "./routes/ops.ts";
import { mountStreams } from "./routes/streams.ts";

const EXPOSED_HEADERS = [
  "X-Request-Id",
  "X-Resume-Token",
  "X-Spillway-Degraded",
  "X-Spillway-End",
  "Retry-After",
  "Preference-Applied",
];
const ALLOWED_HEADERS = [
  "Accept",
  "Authorization",
  "Cache-Control",
  "Content-Type",
  "Idempotency-Key",
  "Last-Event-ID",
  "Prefer",
  "X-Correlation-Id",
  "X-Request-Id",
  "X-Resume-Mode",
  "X-Resume-Token",
];
const PREFLIGHT_MAX_AGE_SEC = 7200;

export function createApp(services: Services): Hono<HonoEnv> {
  const app = bareApp(services.randomBytes);
  const { corsOrigins, routes } = services.config;
  if (corsOrigins.length > 0) {
    const forwarded = routes.flatMap((route) => route.forwardHeaders);
    app.use(
      cors({
        origin: corsOrigins === "*" ? "*" : [...corsOrigins],
        allowMethods: ["GET", "POST", "DELETE", "OPTIONS"],
        allowHeaders: [...ALLOWED_HEADERS, ...forwarded],
        exposeHeaders: EXPOSED_HEADERS,
        maxAge: PREFLIGHT_MAX_AGE_SEC,
      }),
    );
  }
  limitRequestSize(app);
  mountOps(app, { readiness: services.readiness });
  mountDemoPage(app);
  mountEvents(app, {
    ingestKeys: services.config.ingestKeys,
    shardCount: services.config.lake.shards,
    appendToShard: (call) => services.lake.appendToShard(call),
    clock: services.clock,
    randomId: services.randomId,
  });
  mountAdmin(app, services);
  mountIcebergCatalog(app, services);
  mountStreams(app, services);
  return app;
}

/** A service whose configuration is faulty: alive, not ready, and everything else 503. */
export function createFaultyApp(faults: readonly ConfigFault[], randomBytes: Services["randomBytes"]): Hono<HonoEnv> {
  const app = bareApp(randomBytes);
  limitRequestSize(app);
  mountOps(app, { faults });
  app.all("*", (context) => problemResponse({ code: "misconfigured", faults }, context.get("requestId")));
  return app;
}

function limitRequestSize(app: Hono<HonoEnv>): void {
  app.use(async (context, next) => {
    const error = checkRequestSize(context.req.raw);
    if (error !== undefined) return problemResponse(error, context.get("requestId"));
    return next();
  });
}

function bareApp(randomBytes: Services["randomBytes"]): Hono<HonoEnv> {
  const app = new Hono<HonoEnv>();
  app.use(async (context, next) => {
    context.set("requestId", randomRequestId(randomBytes));
    await next();
    if (!context.res.headers.has("X-Request-Id")) context.res.headers.set("X-Request-Id", context.get("requestId"));
  });
  app.notFound((context) => problemResponse({ code: "not_found" }, context.get("requestId")));
  app.onError((error, context) => {
    const requestId = context.get("requestId");
    // Name and place only: a message may hold what a log must not.
    const at = error.stack?.split("\n")[1]?.trim();
    console.log(JSON.stringify({ event: "InternalError", request_id: requestId, name: error.name, at }));
    return problemResponse({ code: "internal" }, requestId);
  });
  return app;
}
