/**
 * `/ready` of a running service: every dependency by name, and a lake that fails leaves it ready for streams.
 */
import { afterAll, beforeAll, expect, test } from "vitest";

import { freePort, startLakeService, type LakeService } from "../fixtures/lake-service.ts";

let service: LakeService;
let unreachable: LakeService;
beforeAll(async () => {
  const rest = {
    ICEBERG_CATALOG: "rest",
    ICEBERG_REST_URI: `http://127.0.0.1:${await freePort()}/catalog`,
    ICEBERG_WAREHOUSE: "somewhere",
  };
  [service, unreachable] = await Promise.all([startLakeService(), startLakeService({ vars: rest })]);
});
afterAll(async () => {
  await Promise.all([service.stop(), unreachable.stop()]);
});

async function ready(of: LakeService, query = ""): Promise<{ status: number; body: unknown; text: string }> {
  const response = await fetch(`${of.origin}/ready${query}`);
  expect(response.headers.get("Cache-Control")).toBe("no-store");
  const text = await response.text();
  return { status: response.status, body: JSON.parse(text), text };
}

const LIGHT = { configuration: "ok", stream_objects: "ok", event_shards: "ok", table: "ok" } as const;

test("all is well: a plain look does not ask catalog and bucket, a deep one does", async () => {
  const unchecked = { catalog: "not_checked", bucket: "not_checked" };
  expect(await ready(service)).toMatchObject({
    status: 200,
    body: { status: "ready", checks: { ...LIGHT, ...unchecked } },
  });
  const checked = { catalog: "ok", bucket: "ok" };
  expect(await ready(service, "?deep=1")).toMatchObject({
    status: 200,
    body: { status: "ready", checks: { ...LIGHT, ...checked } },
  });
  expect((await fetch(`${service.origin}/ready?deep=1`, { method: "HEAD" })).status).toBe(200);
});

test("a catalog that cannot be reached degrades the lake and not the streams, and nothing tells why", async () => {
  expect(await ready(unreachable)).toMatchObject({ status: 200, body: { status: "ready" } });
  const deep = await ready(unreachable, "?deep=1");
  expect(deep).toMatchObject({
    status: 200,
    body: { status: "degraded", checks: { ...LIGHT, catalog: "failed", bucket: "ok" } },
  });
  expect(deep.text).not.toMatch(/127\.0\.0\.1|metadata|somewhere|refused/);
  const stream = await fetch(`${unreachable.origin}/demo/stream?events=3&rate=0`, { method: "POST" });
  expect(stream.status).toBe(200);
  expect(await stream.text()).toContain("event: end");
});
