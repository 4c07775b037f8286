/**
 * The service with its bucket can be killed, and what was written is there when it comes back.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";

import { startLakeService, type LakeService } from "../fixtures/lake-service.ts";

const folder = mkdtempSync(join(tmpdir(), "spillway-lake-"));
let service: LakeService | undefined;
afterEach(async () => {
  await service?.kill();
  rmSync(folder, { recursive: true, force: true });
});

test("an object outlives SIGKILL of workerd and host, at the same addresses", async () => {
  service = await startLakeService({ persistTo: folder });
  const { origin, s3Origin, bucket, hostPid, workerdPid } = service;
  expect((await fetch(`${origin}/health`)).status).toBe(200);
  expect(new Set([hostPid, workerdPid, process.pid]).size).toBe(3);
  await fetch(`${s3Origin}/${bucket}/kept.txt`, { method: "PUT", body: "kept" });
  await service.kill();
  await expect(fetch(`${origin}/health`)).rejects.toThrow("fetch failed");
  service = await startLakeService({
    persistTo: folder,
    port: Number(new URL(origin).port),
    s3Port: Number(new URL(s3Origin).port),
  });
  expect([service.origin, service.s3Origin]).toEqual([origin, s3Origin]);
  expect(await (await fetch(`${s3Origin}/${bucket}/kept.txt`)).text()).toBe("kept");
});
