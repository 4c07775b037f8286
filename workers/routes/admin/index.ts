/**
 * `/admin/*`: everything that operators may see and do, behind one guard.
 */
import type { Hono } from "hono";

import { createAdminGuard } from "../../http/admin-auth.ts";
import { AdminDoor } from "../../http/admin-identity.ts";
import type { Services } from "../../http/context.ts";
import type { HonoEnv } from "../../http/hono-env.ts";
import { mountMetrics } from "../metrics.ts";
import { mountBufferAdmin } from "./buffer.ts";
import { mountDeadLetterAdmin } from "./dead-letters.ts";
import { mountKeysAdmin } from "./keys.ts";
import { mountLakeAdmin } from "./lake.ts";
import { mountAdminPage } from "./page.ts";
import { mountAdminSession } from "./session.ts";
import { mountSignalsAdmin } from "./signals.ts";
import { mountStreamAdmin } from "./streams.ts";

export function mountAdmin(app: Hono<HonoEnv>, services: Services): void {
  const door = new AdminDoor(services);
  const guard = createAdminGuard(services, door);
  mountAdminPage(app);
  mountAdminSession(app, door, guard);
  mountLakeAdmin(app, services, guard);
  mountKeysAdmin(app, services, guard);
  mountBufferAdmin(app, services, guard);
  mountDeadLetterAdmin(app, services, guard);
  mountSignalsAdmin(app, services, guard);
  mountMetrics(app, services, guard);
  mountStreamAdmin(app, services.streamAdmin, guard);
}
