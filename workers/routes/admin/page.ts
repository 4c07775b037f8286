/**
 * The operators' page at `/admin`: static files behind a strict policy. The files hold nothing of the
 * service: whoever is not signed in sees a form.
 */
import type { Hono } from "hono";

import type { HonoEnv } from "../../http/hono-env.ts";
import { mount, type Handler } from "../../http/mount.ts";

const SHELL = "/admin";
/** As the bucket of assets has it: it answers a folder's address with its index. */
const SHELL_FILE = "/admin/";
const ASSETS = [
  "admin.css",
  "alerts.js",
  "api.js",
  "chart-specs.js",
  "charts.js",
  "confirmation.js",
  "connection.js",
  "controls.css",
  "dead-letters.js",
  "elements.js",
  "export-lines.js",
  "format.js",
  "icon.svg",
  "inspection.js",
  "lake-actions.js",
  "lake.js",
  "live-table.js",
  "main.js",
  "outcome.js",
  "overview.js",
  "parts.css",
  "polling.js",
  "sha256.js",
  "sign-in.js",
  "streams.js",
  "tables.css",
  "theme.css",
  "theme.js",
  "transfer.js",
  "vendor/LICENSE",
  "vendor/uplot.css",
  "vendor/uplot.js",
];

/** What answers without a credential, all of it public. */
export const ADMIN_PAGE_PATHS: readonly string[] = [SHELL, ...ASSETS.map((name) => `/admin/assets/${name}`)];

const HEADERS = {
  "Cache-Control": "no-store",
  "Content-Security-Policy": [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "connect-src 'self'",
    "img-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join("; "),
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
  "Referrer-Policy": "no-referrer",
  "X-Content-Type-Options": "nosniff",
};

export function mountAdminPage(app: Hono<HonoEnv>): void {
  mount(app, SHELL, { GET: serve(SHELL_FILE) }, { allowHead: true });
  for (const name of ASSETS) mount(app, `/admin/assets/${name}`, { GET: serve(`/admin/${name}`) }, { allowHead: true });
}

function serve(path: string): Handler {
  return async ({ env, req }) => {
    // Of the request its method alone: what it asks about its cache does not count, nothing is to be kept.
    const file = await env.ASSETS.fetch(new Request(new URL(path, req.url), { method: req.method }));
    const response = new Response(file.body, file);
    for (const [name, value] of Object.entries(HEADERS)) response.headers.set(name, value);
    response.headers.delete("ETag");
    return response;
  };
}
