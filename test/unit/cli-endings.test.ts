/**
 * How scripts/spillway ends where the other side fails it: a service that says nothing, breaks off or comes back, and
 * a reader who has gone.
 */
import { mkdtempSync, readdirSync } from "node:fs";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { expect, test } from "vitest";

import { EXIT } from "../../scripts/cli/exit-codes.ts";
import { CLI_TOKEN, runCli, runHere } from "../fixtures/cli-run.ts";
import { exportText } from "../fixtures/export-text.ts";

/** More than any buffer between the two ends. */
const MANY = 12_000;

test.each(["out.ndjson", "out.ndjson.gz"])(
  "a large export into %s that breaks off says so, and leaves no file",
  async (name) => {
    const home = mkdtempSync(join(tmpdir(), "spillway-cli-"));
    const text = Buffer.from(exportText(MANY));
    let at = 0;
    const cut = () =>
      new Response(
        new ReadableStream<Uint8Array>({
          pull(controller) {
            if (at > text.length / 2) return controller.error(new Error("gone"));
            controller.enqueue(text.subarray(at, (at += 1_000_000)));
          },
        }),
      );
    const answers = [
      cut,
      () => new Response(exportText(MANY).replace('n\\":3,', 'n\\":4,').replace('\\"n\\":7}', '\\"n\\":8}')),
    ];
    for (const answer of answers) {
      const { code, stderr } = await runHere(["export", "--out", join(home, name)], { answer });
      expect([code, stderr]).toEqual([EXIT.failed, expect.stringContaining("The export is not whole")]);
    }
    expect(readdirSync(home)).toEqual([]);
  },
);

function silence(request: Request): Promise<Response> {
  return new Promise((_, fail) => {
    request.signal.addEventListener("abort", () => fail(request.signal.reason as Error));
  });
}

test.each([["status"], ["flush"]])("a service that says nothing ends %s with 4", async (command) => {
  const ran = await runHere([command], { answer: silence, answerWithinMs: 20 });
  expect([ran.code, ran.stderr]).toEqual([EXIT.unreachable, expect.stringContaining("no answer in time")]);
});

function overview(streams: number): Response {
  return Response.json({ at: "t", now: { active_streams: streams } });
}

test("a tail outlives a service that is gone for a while, and says so once; whoever is never there ends it", async () => {
  const abort = new AbortController();
  const answers = [
    () => overview(1),
    () => new Response("", { status: 503 }),
    () => Promise.reject(new TypeError("fetch failed")),
    () => overview(2),
  ];
  const answer = () => {
    const next = answers.shift();
    if (answers.length === 0) abort.abort();
    return next?.() ?? Response.error();
  };
  const { code, stdout, stderr } = await runHere(["tail", "--local"], { answer, signal: abort.signal });
  expect([code, stdout]).toEqual([EXIT.ok, "t  Now  active_streams=1\nt  Now  active_streams=2\n"]);
  expect(stderr.trim().split("\n")).toEqual([expect.stringContaining("asked again"), "The service answers again."]);
  const never = await runHere(["tail", "--local"], { answer: () => Promise.reject(new TypeError("fetch failed")) });
  expect(never.code).toBe(EXIT.unreachable);
});

async function served(listener: RequestListener) {
  const server = createServer(listener);
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const close = () => {
    server.closeAllConnections();
    server.close();
  };
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, close };
}

test("an export whose reader has gone does not end as one that is whole", async () => {
  const text = exportText(MANY);
  const service = await served((_, response) => response.end(text));
  const env = { SPILLWAY_URL: service.url, SPILLWAY_ADMIN_TOKEN: CLI_TOKEN };
  const gone = await runCli(["export"], {
    env,
    onStart: (child) => child.stdout?.once("data", () => child.stdout?.destroy()),
  });
  expect([gone.code, gone.stderr]).toEqual([EXIT.unread, ""]);
  const whole = await runCli(["export"], { env });
  expect([whole.code, whole.stdout.length]).toEqual([EXIT.ok, text.length]);
  service.close();
});
