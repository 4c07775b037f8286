/**
 * Alive and ready: for load balancers, scripts and people.
 */
import type { Hono } from "hono";

import type { ConfigFault } from "../../protocol/errors.ts";
import type { HonoEnv } from "../http/context.ts";
import { json } from "../http/json-response.ts";
import { mount } from "../http/mount.ts";
import type { StreamObjects } from "../stream-objects.ts";

/** Of no stream that can exist. */
const PROBE = { requestId: "readiness-probe", tenant: "", route: "", issuedAtSec: 0, readsArchive: false } as const;

type Readiness = { readonly faults: readonly ConfigFault[] } | { readonly streams: StreamObjects };

export function mountOps(app: Hono<HonoEnv>, readiness: Readiness): void {
  mount(app, "/health", { GET: () => json(200, { status: "ok" }) }, { allowHead: true });
  mount(app, "/ready", { GET: () => ready(readiness) }, { allowHead: true });
}

async function ready(readiness: Readiness): Promise<Response> {
  if ("faults" in readiness) {
    return json(503, { status: "misconfigured", checks: { configuration: "failed" }, faults: readiness.faults });
  }
  // An object that holds no stream answers so without writing anything.
  const probe = await readiness.streams.status(PROBE);
  const hasAnswered = probe.ok || probe.error.code === "stream_expired";
  const checks = { configuration: "ok", stream_objects: hasAnswered ? "ok" : "unreachable" };
  return json(hasAnswered ? 200 : 503, { status: hasAnswered ? "ready" : "unavailable", checks });
}
