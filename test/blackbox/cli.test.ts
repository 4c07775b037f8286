/**
 * scripts/spillway as users start it, against the service with its bucket: every command that an operator has.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

import { runCli, type Ran } from "../fixtures/cli-run.ts";
import { numberedEvents, sendEvents, tableStatus } from "../fixtures/lake-client.ts";
import { startLakeService, type LakeService } from "../fixtures/lake-service.ts";
import { TEST_SECRETS } from "../fixtures/test-secrets.ts";

const ROUTES = [{ name: "demo", upstream: "builtin:demo", allowGet: true }];

let service: LakeService;
let folder: string;
/** All that was printed by any command. */
let printed = "";

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "spillway-cli-"));
  // One shard, which flushes only when it is told to.
  service = await startLakeService({
    vars: { ICEBERG_SHARDS: 1, ICEBERG_BUFFER_TIMEOUT_MS: 3_600_000, ICEBERG_BUFFER_SIZE: 20_000, ROUTES },
  });
});

afterAll(async () => {
  await service.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function spillway(...args: string[]): Promise<Ran> {
  const env = {
    SPILLWAY_URL: service.origin,
    SPILLWAY_ADMIN_TOKEN: TEST_SECRETS.ADMIN_TOKEN,
    SSE_RESUME_SECRET: TEST_SECRETS.SSE_RESUME_SECRET,
  };
  const ran = await runCli(args, { env });
  printed += ran.stdout + ran.stderr;
  return ran;
}

async function json(...args: string[]): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await spillway(...args, "--json");
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return JSON.parse(stdout) as Record<string, unknown>;
}

test("events go out by export and reset, and come back by replay, none lost and none twice", async () => {
  await sendEvents(service, numberedEvents("cli/round-trip", 40));
  const file = join(folder, "shard-0.ndjson.gz");
  const exported = await json("export", "--shard", "0", "--out", file);
  expect(exported).toMatchObject({ is_verified: true, file });
  expect(await json("replay", file)).toMatchObject({ accepted: 0, rejected: [] });

  expect((await spillway("reset", "--shard", "0")).code).toBe(2);
  expect((await spillway("reset", "--shard", "0", "--confirm", "wrong 1")).stderr).toContain("asks for --confirm");
  const reset = await json("reset", "--shard", "0", "--yes");
  expect(reset["events"]).toBeGreaterThanOrEqual(40);
  expect(reset["exports"]).toHaveLength(1);

  const replayed = await json("replay", file);
  expect(replayed).toMatchObject({ events: exported["events"], rejected: [] });
  expect(replayed["accepted"]).toBeGreaterThanOrEqual(40);
  expect(await json("replay", file)).toMatchObject({ accepted: 0, duplicates: exported["events"] });
  // What the reset has written holds the same events, and those that came after the export.
  const [part] = reset["exports"] as string[];
  const again = await json("replay", "--export", part ?? "");
  expect(again).toMatchObject({ events: reset["events"], duplicates: exported["events"], rejected: [] });
  const before = (await tableStatus(service)).rows ?? 0;
  expect(await json("flush")).toMatchObject({ ok: true, remaining_events: 0 });
  expect((await tableStatus(service)).rows).toBeGreaterThanOrEqual(before + 40);
});

test("a damaged line is named by its line of the file, and the rest is taken", async () => {
  await sendEvents(service, numberedEvents("cli/rejected", 3));
  const file = join(folder, "rejected.ndjson");
  await json("export", "--shard", "0", "--out", file);
  const lines = readFileSync(file, "utf8")
    .split("\n")
    .filter((line) => line.includes("cli/rejected"));
  const damaged = (lines[1] ?? "").replace('"cli/rejected"', "17");
  writeFileSync(file, `${[lines[0], damaged, lines[2]].join("\n")}\n`);
  const { code, stdout } = await spillway("replay", file, "--without-checksum", "--json");
  expect([code, JSON.parse(stdout)]).toEqual([
    5,
    { events: 3, accepted: 0, duplicates: 2, rejected: [{ line: 2, detail: expect.any(String) }], rejected_lines: 1 },
  ]);
});

test("a stream is found, looked at, cancelled and flushed by its request id", async () => {
  const response = await fetch(`${service.origin}/demo/stream?seconds=60`);
  const id = response.headers.get("x-request-id") ?? "";
  const token = response.headers.get("x-resume-token") ?? "";
  expect(await json("streams", "show", id)).toMatchObject({ status: { request_id: id, route: "demo" } });
  expect(await json("token", "verify", token)).toMatchObject({ valid: true, request_id: id, route: "demo" });
  expect((await spillway("streams", "cancel", id)).stdout).toContain(`Stream ${id} is cancelled`);
  await response.body?.cancel();
  expect(await json("flush", "--request-id", id)).toMatchObject({ ok: true, stream: { request_id: id } });
  for (const state of ["recent", "hot", "stuck"])
    expect(await json("streams", "list", "--state", state)).toHaveProperty("streams");
  const unknown = await spillway("streams", "show", "A".repeat(27));
  expect([unknown.code, unknown.stderr]).toEqual([1, expect.stringContaining("stream_not_found")]);
});

test("a token that was minted here opens what the service signed for", async () => {
  const { stdout } = await spillway("token", "mint", "--request-id", "no-such-stream", "--route", "demo");
  const status = await fetch(`${service.origin}/demo/status`, { headers: { "X-Resume-Token": stdout.trim() } });
  expect(await status.json()).toMatchObject({ code: "stream_expired" });
});

test.each([
  [["status"], /shard-0/],
  [["alerts"], /Firing/],
  [["alerts", "test"], /in the log/],
  [["dead-letters", "list"], /No dead letters/],
  [["dead-letters", "redrive"], /0 redriven, 0 left/],
  [["compact"], /Rewrote/],
  [["expire-snapshots", "--keep", "20"], /Expired/],
  [["tail", "--once"], /Now/],
])("spillway %j prints a text for people, and ends with 0", async (args, text) => {
  const { code, stdout, stderr } = await spillway(...args);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(stdout).toMatch(text);
});

test("a wrong token ends with 3, a service that is not there with 4", async () => {
  const env = { SPILLWAY_URL: service.origin, SPILLWAY_ADMIN_TOKEN: "wrong-token-0123456789abcdef0123456789abcdef" };
  const refused = await runCli(["status"], { env });
  expect([refused.code, refused.stdout]).toEqual([3, ""]);
  expect(refused.stderr).toContain("unauthorized");
  expect((await runCli(["status", "--url", "http://127.0.0.1:9"], { env })).code).toBe(4);
});

test("no secret was printed by anything above", () => {
  expect(printed.length).toBeGreaterThan(1000);
  for (const secret of [TEST_SECRETS.ADMIN_TOKEN, TEST_SECRETS.SSE_RESUME_SECRET])
    expect(printed).not.toContain(secret);
});
