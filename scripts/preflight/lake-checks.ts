/**
 * Whether the lake can be written: its buckets are there, and its catalog answers.
 */
import { isMissing } from "../../protocol/variable-reading.ts";
import type { Finding } from "./finding.ts";
import type { Target } from "./target.ts";
import type { Looked } from "./wrangler-calls.ts";

const CATALOG_TIMEOUT_MS = 10_000;

export function checkBuckets(target: Target, found: Looked<readonly string[]>): Finding[] {
  const check = "buckets";
  const wanted = [...new Set(Object.values(target.buckets))];
  if (!found.isKnown) return [{ status: "not_checked", check, detail: `${found.why}. Needed: ${wanted.join(", ")}` }];
  const missing = wanted.filter((name) => !found.value.includes(name));
  if (missing.length === 0) return [{ status: "ok", check, detail: wanted.join(", ") }];
  return missing.map((name) => {
    const remedy = `npx wrangler r2 bucket create ${name}`;
    return { status: "failed", check, detail: `there is no bucket ${name}`, remedy };
  });
}

/** The embedded catalog writes the bucket's name into every path that readers follow. */
export function checkWarehouse({ vars, buckets }: Target): Finding[] {
  if (usesRestCatalog(vars) || isMissing(vars["ICEBERG_WAREHOUSE"])) return [];
  const warehouse = String(vars["ICEBERG_WAREHOUSE"]);
  const bucket = buckets["LAKE_BUCKET"];
  if (bucket === undefined || warehouse === `s3://${bucket}` || warehouse.startsWith(`s3://${bucket}/`)) return [];
  const detail = `ICEBERG_WAREHOUSE is ${warehouse}, but LAKE_BUCKET is ${bucket}: readers would look elsewhere`;
  return [{ status: "failed", check: "catalog", detail, remedy: `"ICEBERG_WAREHOUSE": "s3://${bucket}/warehouse"` }];
}

export interface CatalogAccess {
  readonly fetch: typeof fetch;
  readonly isOffline: boolean;
  /** Of the environment: a Worker's secret cannot be read back. */
  readonly token: string | undefined;
}

/** Asks a REST catalog for its configuration, with the token it would be called with. */
export async function checkCatalog({ vars }: Target, access: CatalogAccess): Promise<Finding> {
  const check = "catalog";
  if (vars["ANALYTICS_SINK"] === "pipelines") return { status: "ok", check, detail: "none: events go to a pipeline" };
  if (!usesRestCatalog(vars)) return { status: "ok", check, detail: "embedded, in the lake's bucket" };
  const given = vars["ICEBERG_REST_URI"];
  const uri = typeof given === "string" ? given.replace(/\/+$/, "") : "";
  if (!URL.canParse(uri)) return { status: "not_checked", check, detail: "ICEBERG_REST_URI is no URL" };
  if (access.isOffline) return { status: "not_checked", check, detail: `offline; it is ${uri}` };
  if (isMissing(access.token)) {
    const detail = "a Worker's secret cannot be read back";
    return { status: "not_checked", check, detail, remedy: "set ICEBERG_REST_TOKEN in this shell to check with it" };
  }
  return askCatalog(`${uri}/v1/config?warehouse=${encodeURIComponent(String(vars["ICEBERG_WAREHOUSE"]))}`, access);
}

async function askCatalog(url: string, { fetch, token }: CatalogAccess): Promise<Finding> {
  const check = "catalog";
  const { host } = new URL(url);
  try {
    const headers = { Authorization: `Bearer ${token ?? ""}` };
    const response = await fetch(url, { headers, signal: AbortSignal.timeout(CATALOG_TIMEOUT_MS) });
    await response.body?.cancel();
    if (response.ok) return { status: "ok", check, detail: `${host} answers` };
    const remedy =
      response.status === 401 || response.status === 403 ? "ICEBERG_REST_TOKEN" : "ICEBERG_REST_URI, ICEBERG_WAREHOUSE";
    return { status: "failed", check, detail: `${host} answers ${response.status}`, remedy: `look at ${remedy}` };
  } catch (error) {
    // What fetch says may hold the address with its query, and no more than the name is needed.
    const name = error instanceof Error ? error.name : "an error";
    return {
      status: "failed",
      check,
      detail: `${host} cannot be reached (${name})`,
      remedy: "look at ICEBERG_REST_URI",
    };
  }
}

function usesRestCatalog(vars: Target["vars"]): boolean {
  return vars["ICEBERG_CATALOG"] === "rest";
}
