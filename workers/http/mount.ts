/**
 * Mounts a path with its methods, and answers every other method with 405 and `Allow`.
 */
import type { Context, Hono } from "hono";

import type { HonoEnv } from "./hono-env.ts";
import { problemResponse } from "./problem.ts";

export type Handler = (context: Context<HonoEnv>) => Response | Promise<Response>;
type Method = "GET" | "POST" | "DELETE";

export interface MountOptions {
  /** Whether HEAD is served as GET without its body. Never for streams: it would start one. */
  readonly allowHead: boolean;
}

export function mount(
  app: Hono<HonoEnv>,
  path: string,
  handlers: Readonly<Partial<Record<Method, Handler>>>,
  options: MountOptions = { allowHead: false },
): void {
  const methods = Object.keys(handlers);
  const allow = [...methods, ...(options.allowHead ? ["HEAD"] : []), "OPTIONS"];
  const refuse: Handler = (context) =>
    context.req.raw.method === "OPTIONS"
      ? new Response(null, { status: 204, headers: { Allow: allow.join(", ") } })
      : problemResponse({ code: "method_not_allowed", allow }, context.get("requestId"));
  for (const [method, handler] of Object.entries(handlers)) {
    app.on(method, path, (context) => {
      const isUnwantedHead = context.req.raw.method === "HEAD" && !options.allowHead;
      return isUnwantedHead ? refuse(context) : handler(context);
    });
  }
  app.all(path, refuse);
}
