/**
 * Alive and ready: for load balancers, scripts and people.
 */
import type { Hono } from "hono";

import type { ConfigFault } from "../../protocol/errors.ts";
import type { HonoEnv } from "../http/hono-env.ts";
import { json } from "../http/json-response.ts";
import { mount } from "../http/mount.ts";
import type { Readiness } from "../readiness.ts";

type Ready = { readonly faults: readonly ConfigFault[] } | { readonly readiness: Readiness };

export function mountOps(app: Hono<HonoEnv>, ready: Ready): void {
  mount(app, "/health", { GET: () => json(200, { status: "ok" }) }, { allowHead: true });
  const answer = async (isDeep: boolean) => {
    if ("faults" in ready) {
      return json(503, { status: "misconfigured", checks: { configuration: "failed" }, faults: ready.faults });
    }
    const report = await ready.readiness.look(isDeep);
    // Without the lake streams work: whoever takes a service out of rotation for it would lose them too.
    return json(report.status === "unavailable" ? 503 : 200, report);
  };
  mount(app, "/ready", { GET: (context) => answer(context.req.query("deep") === "1") }, { allowHead: true });
}
