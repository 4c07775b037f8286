/**
 * Entry of the Worker: exports only. Services are made once per isolate and bindings.
 */
import { waitUntil } from "cloudflare:workers";
import type { Hono } from "hono";

import { createKeyRing } from "../protocol/resume-token.ts";
import { shardName } from "../protocol/shard-choice.ts";
import { createLogSink } from "../protocol/telemetry.ts";
import { fanOut } from "../protocol/telemetry-outlet.ts";
import { sleep, within } from "../protocol/timing.ts";
import { createApp, createFaultyApp } from "./app.ts";
import { readConfig } from "./config.ts";
import type { HonoEnv } from "./http/hono-env.ts";
import { RateGate } from "./http/rate-limit.ts";
import { KnownStreams } from "./known-streams.ts";
import { LakeAdmin } from "./lake-admin.ts";
import { Lake } from "./lake.ts";
import { createLakeSink } from "./lake-sink.ts";
import { Monitor } from "./monitor.ts";
import { StreamAdmin } from "./stream-admin.ts";
import { Readiness } from "./readiness.ts";
import { createReadinessAsks } from "./readiness-asks.ts";
import { StreamObjects } from "./stream-objects.ts";

export { EventBuffer } from "../durable-objects/event-buffer.ts";
export { IcebergTable } from "../durable-objects/iceberg-table.ts";
export { RequestStream } from "../durable-objects/request-stream.ts";
export { ServiceMonitor } from "../durable-objects/service-monitor.ts";

const logSink = createLogSink((line) => console.log(line));
const apps = new WeakMap<Env, Promise<Hono<HonoEnv>>>();

function randomBytes(length: number): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(length));
}

async function createAppFor(env: Env): Promise<Hono<HonoEnv>> {
  const reading = readConfig({ ...env });
  if (!reading.ok) {
    console.log(JSON.stringify({ event: "Misconfigured", faults: reading.faults }));
    return createFaultyApp(reading.faults, randomBytes);
  }
  const { config } = reading;
  const { shards } = config.lake;
  const lake = new Lake(env, config.lake);
  const streams = new StreamObjects(env.REQUEST_STREAM);
  const shard = (index: number) => env.EVENT_BUFFER_DO.getByName(shardName(index));
  const known = new KnownStreams({ shards, shard, findShards: () => lake.findShards() });
  const telemetry = fanOut(logSink, createLakeSink(lake, config.lake.shards, logSink));
  return createApp({
    config,
    ring: await createKeyRing(config.resumeSecret, config.previousResumeSecret),
    streams,
    streamAdmin: new StreamAdmin({ streams, known, lake, shards, clock: Date.now }),
    lake,
    lakeAdmin: new LakeAdmin(env, config.lake, lake),
    readiness: new Readiness({
      asks: createReadinessAsks(env, streams, config.lake),
      hasTable: config.lake.sink === "iceberg",
      clock: Date.now,
      sleep,
      within,
    }),
    monitor: new Monitor(env),
    rateGate: new RateGate({ config, telemetry, clock: Date.now }),
    telemetry,
    clock: Date.now,
    randomBytes,
    randomId: () => crypto.randomUUID(),
    // Bare `fetch` as a member loses its receiver ("Illegal invocation").
    fetch: (input, init) => fetch(input, init),
    waitUntil,
  });
}

export default {
  async fetch(request, env, ctx): Promise<Response> {
    let app = apps.get(env);
    if (app === undefined) {
      app = createAppFor(env);
      apps.set(env, app);
    }
    return (await app).fetch(request, env, ctx);
  },
} satisfies ExportedHandler<Env>;
