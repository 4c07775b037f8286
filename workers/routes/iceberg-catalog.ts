/**
 * The embedded catalog as an Iceberg REST catalog, for reading: engines attach to it, and fetch the files
 * themselves with credentials of their own for the bucket.
 *
 * Errors are in the shape that catalog clients know, not problem documents.
 * Source: Iceberg REST Catalog OpenAPI: getConfig, listNamespaces, loadNamespaceMetadata, listTables,
 * loadTable, tableExists.
 */
import type { Context, Hono } from "hono";

import type { Services } from "../http/context.ts";
import type { HonoEnv } from "../http/hono-env.ts";
import { mount, type Handler } from "../http/mount.ts";
import { bearerOf, equalInConstantTime } from "../tenant-keys.ts";

const ROOT = "/iceberg/v1";

/**
 * What this catalog can do (getConfig, `endpoints`): all of it reads. With `{prefix}` as the specification's
 * paths have it, though none is in use: clients compare the text.
 */
const ENDPOINTS = [
  "GET /v1/config",
  "GET /v1/{prefix}/namespaces",
  "GET /v1/{prefix}/namespaces/{namespace}",
  "HEAD /v1/{prefix}/namespaces/{namespace}",
  "GET /v1/{prefix}/namespaces/{namespace}/tables",
  "GET /v1/{prefix}/namespaces/{namespace}/tables/{table}",
  "HEAD /v1/{prefix}/namespaces/{namespace}/tables/{table}",
];

export function mountIcebergCatalog(app: Hono<HonoEnv>, { config, lake }: Services): void {
  const { namespace, table, catalog } = config.lake;
  const guard =
    (handler: Handler): Handler =>
    (context) => {
      const token = bearerOf(context.req.header("Authorization"));
      const expected = config.icebergReadToken;
      if (expected === undefined || token === undefined || !equalInConstantTime(expected, token)) {
        return refusal(401, "NotAuthorizedException", "Send the read token in Authorization: Bearer.");
      }
      if (catalog.kind !== "r2") {
        return refusal(404, "NotFoundException", "The table is in another catalog; attach to that one.");
      }
      return handler(context);
    };
  const serve = (path: string, handler: Handler) =>
    mount(app, `${ROOT}${path}`, { GET: guard(handler) }, { allowHead: true });
  const isOurs = (context: Context<HonoEnv>) => context.req.param("namespace") === namespace;

  serve("/config", () => Response.json({ defaults: {}, overrides: {}, endpoints: ENDPOINTS }));
  serve("/namespaces", (context) => {
    // Below a parent there is nothing: a client that was given the same list again would go on for ever.
    const isTop = (context.req.query("parent") ?? "") === "";
    return Response.json({ namespaces: isTop ? [[namespace]] : [] });
  });
  serve("/namespaces/:namespace", (context) =>
    isOurs(context) ? Response.json({ namespace: [namespace], properties: {} }) : noNamespace(),
  );
  serve("/namespaces/:namespace/tables", (context) =>
    isOurs(context) ? Response.json({ identifiers: [{ namespace: [namespace], name: table }] }) : noNamespace(),
  );
  serve("/namespaces/:namespace/tables/:table", async (context) => {
    if (!isOurs(context) || context.req.param("table") !== table) {
      return refusal(404, "NoSuchTableException", "There is no such table.");
    }
    const found = await lake.tableMetadata();
    if (found === undefined) return refusal(404, "NoSuchTableException", "There is no such table.");
    // Put together as text: parsed on the way, 63-bit ids would lose their last digits.
    const location = JSON.stringify(found.metadataLocation);
    const body = `{"metadata-location":${location},"metadata":${found.metadata},"config":{}}`;
    return new Response(body, { headers: { "Content-Type": "application/json", "Cache-Control": "no-store" } });
  });
}

function noNamespace(): Response {
  return refusal(404, "NoSuchNamespaceException", "There is no such namespace.");
}

function refusal(code: number, type: string, message: string): Response {
  const headers = { "Cache-Control": "no-store", ...(code === 401 ? { "WWW-Authenticate": "Bearer" } : {}) };
  return Response.json({ error: { message, type, code } }, { status: code, headers });
}
