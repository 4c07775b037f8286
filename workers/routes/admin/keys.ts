/**
 * `/admin/keys`: by which keys this isolate signs and verifies resume tokens. Their names, which every token
 * carries as `kid`, and never the keys: a rotation sees by them that its steps have arrived.
 */
import type { Hono } from "hono";

import type { AdminGuard } from "../../http/admin-auth.ts";
import type { Services } from "../../http/context.ts";
import type { HonoEnv } from "../../http/hono-env.ts";
import { json } from "../../http/json-response.ts";
import { mount } from "../../http/mount.ts";

export function mountKeysAdmin(app: Hono<HonoEnv>, { ring }: Pick<Services, "ring">, guard: AdminGuard): void {
  mount(app, "/admin/keys", {
    GET: guard({ name: "keys", isLook: true }, () => {
      const [signing] = ring.keys;
      return json(200, { signing: signing.kid, verifying: ring.keys.map(({ kid }) => kid) });
    }),
  });
}
