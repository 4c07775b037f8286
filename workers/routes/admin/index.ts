/**
 * `/admin/*`: everything that operators may see and do, behind one guard.
 */
import type { Hono } from "hono";

import { createAdminGuard } from "../../http/admin-auth.ts";
import type { HonoEnv, Services } from "../../http/context.ts";
import { mountLakeAdmin } from "./lake.ts";

export function mountAdmin(app: Hono<HonoEnv>, services: Services): void {
  const guard = createAdminGuard(services);
  mountLakeAdmin(app, services, guard);
}
