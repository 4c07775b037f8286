/**
 * `/admin/session`: signs the operators' page in and out, and tells it who is signed in.
 */
import type { Hono } from "hono";

import type { AdminGuard } from "../../http/admin-auth.ts";
import { sessionCookie } from "../../http/admin-session.ts";
import type { AdminDoor } from "../../http/admin-identity.ts";
import type { HonoEnv } from "../../http/hono-env.ts";
import { json } from "../../http/json-response.ts";
import { mount } from "../../http/mount.ts";
import { bearerOf } from "../../tenant-keys.ts";

export function mountAdminSession(app: Hono<HonoEnv>, door: AdminDoor, guard: AdminGuard): void {
  mount(app, "/admin/session", {
    POST: guard({ name: "session/open", onlyTokens: true }, async (context, actor) => {
      // The guard has let nothing else in.
      const token = bearerOf(context.req.header("Authorization")) ?? "";
      const session = await door.sessions.open({ token, actor });
      return cookieResponse(sessionCookie(session, context.req.url));
    }),
    GET: guard({ name: "session", isLook: true, isProbe: true }, (_, actor, { expiresAtMs }) =>
      json(200, { actor, expires_at: expiresAtMs === null ? null : new Date(expiresAtMs).toISOString() }),
    ),
    DELETE: guard({ name: "session/close" }, (context) => cookieResponse(sessionCookie(undefined, context.req.url))),
  });
}

function cookieResponse(cookie: string): Response {
  return new Response(null, { status: 204, headers: { "Set-Cookie": cookie, "Cache-Control": "no-store" } });
}
