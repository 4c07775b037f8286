/**
 * The demo page at `/`: static files behind a strict policy.
 */
import type { Hono } from "hono";

import type { HonoEnv } from "../http/hono-env.ts";
import { mount } from "../http/mount.ts";

const FILES = ["/", "/demo.css", "/demo.js", "/demo-reader.js"];

const SECURITY_HEADERS = {
  "Content-Security-Policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "X-Content-Type-Options": "nosniff",
  "Referrer-Policy": "no-referrer",
};

export function mountDemoPage(app: Hono<HonoEnv>): void {
  for (const path of FILES) {
    mount(
      app,
      path,
      {
        GET: async (context) => {
          const file = await context.env.ASSETS.fetch(context.req.raw);
          const response = new Response(file.body, file);
          for (const [name, value] of Object.entries(SECURITY_HEADERS)) response.headers.set(name, value);
          return response;
        },
      },
      { allowHead: true },
    );
  }
}
