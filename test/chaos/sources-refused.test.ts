/**
 * Sources that are no event stream to begin with: their answer is passed on, or why there is none is said; no stream
 * begins, so nothing is told of one, nothing is stored, and no alarm is set.
 */
import { afterAll, beforeAll, expect, test } from "vitest";

import { objectsWithTables, storedAlarms } from "../fixtures/process-storage.ts";
import type { UpstreamHandler } from "../fixtures/upstream.ts";
import { ChaosScene, perform } from "./scene.ts";

const CONNECT_TIMEOUT_MS = 500;
/** Ids of the answers so far. */
const refused = new Set<string | null>();

let scene: ChaosScene;
beforeAll(async () => {
  scene = await ChaosScene.begin({ routes: [{ name: "hurried", connectTimeoutMs: CONNECT_TIMEOUT_MS }] });
});
afterAll(() => scene.end());

const answers =
  (status: number, type: string, body = "no stream"): UpstreamHandler =>
  (_, response) =>
    void response.writeHead(status, { "content-type": type }).end(body);

const STREAM = "text/event-stream";

type Refusal = [string, UpstreamHandler, number, string?];

const REFUSALS: readonly Refusal[] = [
  ["a 500", answers(500, "text/plain"), 500],
  ["a 503 in the guise of a stream", answers(503, STREAM, "data: sorry\n\n"), 503],
  ["a 429", answers(429, "application/json", '{"error":"slow down"}'), 429],
  ["HTML with a 200", answers(200, "text/html", "<p>data: 1</p>\n\n"), 200],
  ["JSON with a 200", answers(200, "application/json", "{}"), 200],
  ["a 204", (_, response) => void response.writeHead(204).end(), 204],
  ["a connection that closes before an answer", ({ socket }) => void socket.end(), 502, "upstream_unreachable"],
  [
    "a connection that is reset before an answer",
    ({ socket }) => void socket.resetAndDestroy(),
    502,
    "upstream_unreachable",
  ],
  ["an answer that is no HTTP", ({ socket }) => void socket.end("data: 1\n\ndata: 2\n\n"), 502, "upstream_unreachable"],
  ["no answer within connectTimeoutMs", () => undefined, 504, "upstream_timeout"],
];

test.each<Refusal>(REFUSALS)("%s", async (_, handler, status, code) => {
  const run = scene.serve(handler);
  const route = code === "upstream_timeout" ? "hurried" : "chat";
  const answer = await fetch(`${scene.service.origin}/${route}/stream?run=${run}`);
  const text = await answer.text();
  expect({ status: answer.status, token: answer.headers.get("x-resume-token") }).toEqual({ status, token: null });
  expect(text).toContain(code ?? "");

  const requestId = answer.headers.get("x-request-id");
  expect(requestId).toMatch(/^[\w-]{27}$/);
  refused.add(requestId);
});

test("of none of these is anything told, stored or left to be done", async () => {
  expect(refused.size).toBe(REFUSALS.length);
  expect(objectsWithTables(scene.folder)).toEqual([]);
  expect(storedAlarms(scene.folder).size).toBe(0);
  // A stream that runs its course afterwards shows that what was told before has arrived.
  await perform(scene, {}, async ({ source, first }) => {
    source.send(3);
    source.end();
    await first.untilEnd();
    return { readers: [first] };
  });
  const rows = await scene.flushedRows();
  expect(rows.filter((row) => refused.has(row.request_id))).toEqual([]);
});
