/**
 * `/metrics`, the overview and alerts of a running service: who may read them, that they count what happened, and
 * that a crash takes nothing from them.
 */
import { createHmac } from "node:crypto";
import { createServer, type IncomingHttpHeaders, type Server } from "node:http";
import type { AddressInfo } from "node:net";

import { afterAll, beforeAll, expect, test } from "vitest";

import type { MonitorReport } from "../../protocol/monitor-report.ts";
import { parseExposition, valueOf, type ParsedFamily } from "../fixtures/exposition-check.ts";
import { forge } from "../fixtures/forged-tokens.ts";
import { callAdmin } from "../fixtures/lake-client.ts";
import { startLakeService, type LakeService } from "../fixtures/lake-service.ts";
import { readStream, resumeStream } from "../fixtures/sse-reading.ts";
import { TEST_SECRETS } from "../fixtures/test-secrets.ts";

const METRICS_TOKEN = "test-metrics-token-0123456789abcdef0123456789ab";
const WEBHOOK_KEY = Buffer.from("0123456789abcdef0123456789abcdef");
const STREAMS = 3;
const EVENTS = 40;

interface Received {
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

let service: LakeService;
let webhook: Server;
const received: Received[] = [];

beforeAll(async () => {
  webhook = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk: Buffer) => (body += chunk.toString()));
    request.on("end", () => {
      received.push({ headers: request.headers, body });
      response.writeHead(204).end();
    });
  });
  await new Promise<void>((done) => webhook.listen(0, "127.0.0.1", done));
  const { port } = webhook.address() as AddressInfo;
  service = await startLakeService({
    vars: {
      METRICS_TOKEN,
      ALERT_WEBHOOK_URL: `http://127.0.0.1:${port}/alerts?token=in-the-url`,
      ALERT_WEBHOOK_SECRET: `whsec_${WEBHOOK_KEY.toString("base64")}`,
      MONITOR_INTERVAL_SEC: 1,
      ALERT_MIN_RESUMES: 1,
      ALERT_RATE_FOR_SEC: 0,
      ICEBERG_SHARDS: 2,
    },
  });
});
afterAll(async () => {
  await service.stop();
  await new Promise((done) => webhook.close(done));
});

async function scrape(token = METRICS_TOKEN): Promise<ReadonlyMap<string, ParsedFamily>> {
  const response = await fetch(`${service.origin}/metrics`, { headers: { Authorization: `Bearer ${token}` } });
  expect(response.status).toBe(200);
  expect(response.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
  return parseExposition(await response.text());
}

const countersOf = (families: ReadonlyMap<string, ParsedFamily>) => ({
  started: valueOf(families, "spillway_streams_started_total", { route: "demo" }),
  completed: valueOf(families, "spillway_streams_ended_total", { route: "demo", state: "completed" }),
  resumes: valueOf(families, "spillway_resume_successes_total", { route: "demo" }),
  latencies: valueOf(families, "spillway_resume_latency_seconds_count"),
  events: valueOf(families, "spillway_source_events_total"),
});

/** Telemetry is gathered for a second before it is handed over. */
async function untilCounted(expected: ReturnType<typeof countersOf>): Promise<void> {
  await expect.poll(async () => countersOf(await scrape()), { timeout: 30_000, interval: 300 }).toEqual(expected);
}

function firedMessages(): Received[] {
  return received.filter(({ body }) => body.includes('"alert.fired"'));
}

async function overview(): Promise<MonitorReport> {
  const response = await callAdmin(service, "overview", { method: "GET" });
  expect(response.status).toBe(200);
  return (await response.json()) as MonitorReport;
}

test("/metrics is opened by its own token and by an operator's, and its own opens nothing else", async () => {
  for (const headers of [{}, { Authorization: "Bearer no-token-of-this-service-0123456789abc" }]) {
    const response = await fetch(`${service.origin}/metrics`, { headers: headers as Record<string, string> });
    expect([response.status, await response.text()]).toEqual([401, expect.not.stringContaining("spillway_")]);
  }
  const families = await scrape(TEST_SECRETS.ADMIN_TOKEN);
  expect(families.get("spillway_build_info")?.samples).toHaveLength(1);
  for (const path of ["overview", "alerts", "status"]) {
    const init = { method: "GET", headers: { Authorization: `Bearer ${METRICS_TOKEN}` } };
    expect((await callAdmin(service, path, init)).status).toBe(401);
  }
});

test("what streams and readers did is counted, once, and a kill -9 of workerd takes none of it", async () => {
  for (let n = 1; n < STREAMS; n++) await readStream(`${service.origin}/demo/stream?events=${EVENTS}&rate=0`);
  // Resumed while it runs: what is timed is how long a reader takes to catch up.
  const { response } = await readStream(`${service.origin}/demo/stream?events=${EVENTS}&rate=40`);
  await resumeStream(`${service.origin}/demo/resume`, response.headers.get("x-resume-token") ?? "", "0-0");
  const expected = { started: STREAMS, completed: STREAMS, resumes: 1, latencies: 1, events: STREAMS * EVENTS };
  await untilCounted(expected);
  service.killRuntime();
  await untilCounted(expected);
  await readStream(`${service.origin}/demo/stream?events=${EVENTS}&rate=0`);
  await untilCounted({ ...expected, started: STREAMS + 1, completed: STREAMS + 1, events: (STREAMS + 1) * EVENTS });
  const report = await overview();
  const total = (name: "streams_started" | "source_events") =>
    report.points.reduce((sum, point) => sum + point[name], 0);
  expect([total("streams_started"), total("source_events")]).toEqual([STREAMS + 1, (STREAMS + 1) * EVENTS]);
  expect(report.streams.largest[0]).toMatchObject({ route: "demo", state: "completed", events: EVENTS });
  expect(report.shards.map(({ name, is_reachable: isUp }) => [name, isUp])).toEqual([
    ["shard-0", true],
    ["shard-1", true],
  ]);
  expect(report.now).toMatchObject({ active_streams: 0, resume_success_rate: 1, resume_attempts: 1 });
});

test("an alert reaches log, report, metrics, and the webhook, signed, and is not sent twice by a restart", async () => {
  const { response } = await readStream(`${service.origin}/demo/stream?events=1&rate=0`);
  const genuine = response.headers.get("x-resume-token") ?? "";
  // Of a secret that is not known any more; and what anybody can make up, which pages nobody.
  for (const token of [await forge(genuine, {}, { kid: "f00d" }), "a.b.c"]) {
    const refused = await fetch(`${service.origin}/demo/resume`, { headers: { "X-Resume-Token": token } });
    expect(refused.status).toBe(401);
  }
  await expect.poll(() => firedMessages().length, { timeout: 30_000 }).toBe(1);
  const [{ headers, body } = { headers: {}, body: "" }] = firedMessages();
  const signed = `${String(headers["webhook-id"])}.${String(headers["webhook-timestamp"])}.${body}`;
  const signature = createHmac("sha256", WEBHOOK_KEY).update(signed).digest("base64");
  expect(headers["webhook-signature"]).toBe(`v1,${signature}`);
  expect(JSON.parse(body)).toMatchObject({
    type: "alert.fired",
    data: { alert: "ResumeSuccess", severity: "critical", subject: "streams", value: 0.5 },
  });
  const firing = (await (await callAdmin(service, "alerts", { method: "GET" })).json()) as MonitorReport["alerts"];
  expect(firing.firing).toMatchObject([{ alert: "ResumeSuccess", runbook: "RUNBOOK.md#resumes-fail" }]);
  service.killRuntime();
  const labels = { alert: "ResumeSuccess", severity: "critical" };
  const isFiring = async () => valueOf(await scrape(), "spillway_alerts_firing", labels);
  await expect.poll(isFiring, { timeout: 30_000 }).toBe(1);
  // Two more looks.
  const before = (await overview()).at;
  const passedMs = async () => Date.parse((await overview()).at) - Date.parse(before);
  await expect.poll(passedMs, { timeout: 30_000 }).toBeGreaterThan(2000);
  expect(firedMessages()).toHaveLength(1);
  const told = service.lines.filter((line) => line.includes('"AlertFired"'));
  expect(told.map((line) => JSON.parse(line) as object)).toMatchObject([
    { alert: "ResumeSuccess", severity: "critical" },
  ]);
});

test("a test alert is delivered at once; and no output holds the webhook's URL or secret", async () => {
  const response = await callAdmin(service, "alerts/test");
  expect([response.status, await response.json()]).toEqual([200, { has_webhook: true, delivered: true, status: 204 }]);
  expect(received.at(-1)?.body).toContain('"alert.test"');
  const output = service.lines.join("\n");
  for (const secret of ["in-the-url", WEBHOOK_KEY.toString("base64"), METRICS_TOKEN])
    expect(output).not.toContain(secret);
});
