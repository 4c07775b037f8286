/**
 * What streams, resumes and hand-overs cost a real service on this machine: CPU of the thread that runs all
 * JavaScript, and what each stream tells of itself.
 */
import { setTimeout as wait } from "node:timers/promises";

import { openEventStream, startUpstream, type Upstream } from "../../../test/fixtures/upstream.ts";
import type { DriveKind } from "./driven-worker.ts";
import { startMeasured, type MeasuredService } from "./measured-service.ts";

const EVENTS_PER_SEC = 8;
const DATA_BYTES = 200;
const STREAMS = 200;
/** Of the shorter and the longer streams: what is between them is events' alone. */
const SHORT_EVENTS = 16;
const LONG_EVENTS = 96;
const START_SPREAD_MS = 1000;
/** Telemetry of the last end is handed over a second later. */
const SETTLE_MS = 2500;
const DRIVEN_CALLS = 8000;
const AT_ONCE = 32;
const RESUMED_FROM = 20;
const REPLAYED_EVENTS = 60;
const ROUNDS = 3;
const MS_PER_SEC = 1000;
const US_PER_MS = 1000;

export interface ServiceRuns {
  readonly streamCpuMs: number;
  readonly eventCpuUs: number;
  readonly resumeCpuMs: number;
  readonly handOverCpuUs: number;
  /** A call of a shard that does nothing. */
  readonly callCpuUs: number;
  /** Hand-overs a second that one shard took, with nothing else to do. */
  readonly handOversPerSec: number;
  /** Of one stream whose only reader stays. */
  readonly toldPerStream: { readonly events: number; readonly handOvers: number };
  readonly storm: { readonly readers: number; readonly p50Ms: number; readonly longestMs: number };
}

export async function measureService(note: (line: string) => void): Promise<ServiceRuns> {
  const upstream = await startUpstream(async (request, response) => {
    openEventStream(response);
    const events = Number(new URL(request.url ?? "", "http://source").searchParams.get("events"));
    const beganMs = performance.now();
    for (let sent = 1; sent <= events && !response.closed; sent++) {
      await wait(Math.max(0, beganMs + (sent * MS_PER_SEC) / EVENTS_PER_SEC - performance.now()));
      response.write(`data: ${"x".repeat(DATA_BYTES)}\n\n`);
    }
    response.end();
  });
  try {
    note("hand-overs to one shard");
    const driven = await measureDriven();
    note(`${STREAMS} streams at once, of ${SHORT_EVENTS} and of ${LONG_EVENTS} events`);
    const streams = await measureStreams(upstream, note);
    return { ...driven, ...streams };
  } finally {
    await upstream.stop();
  }
}

async function measureDriven() {
  const measured = await startMeasured({ ICEBERG_SHARDS: 1, ICEBERG_SHARD_MAX_EVENTS: 1_000_000 });
  try {
    await drive(measured, "hand-over", DRIVEN_CALLS / 2);
    const calls = await drive(measured, "status", DRIVEN_CALLS);
    const runs = [];
    for (let round = 0; round < ROUNDS; round++) runs.push(await drive(measured, "hand-over", DRIVEN_CALLS));
    return {
      handOverCpuUs: middle(runs.map(({ cpuUs }) => cpuUs)),
      callCpuUs: calls.cpuUs,
      handOversPerSec: middle(runs.map(({ perSec }) => perSec)),
    };
  } finally {
    await measured.stop();
  }
}

async function drive({ service, cpuMs }: MeasuredService, kind: DriveKind, calls: number) {
  const before = cpuMs() ?? Number.NaN;
  const beganMs = performance.now();
  const answer = await fetch(`${service.origin}/driven/shard?kind=${kind}&calls=${calls}&at_once=${AT_ONCE}`);
  const { refused } = (await answer.json()) as { refused: number };
  if (refused > 0) throw new Error(`the shard refused ${refused} of ${calls} hand-overs`);
  const wallSec = (performance.now() - beganMs) / MS_PER_SEC;
  return { cpuUs: (((cpuMs() ?? Number.NaN) - before) * US_PER_MS) / calls, perSec: calls / wallSec };
}

async function measureStreams(upstream: Upstream, note: (line: string) => void) {
  const routes = [{ name: "b", upstream: `${upstream.origin}/`, idleTimeoutMs: 600_000 }];
  // Flushes are hand-overs' business, and have been counted there.
  const measured = await startMeasured({ CLIENT_AUTH: "none", ROUTES: routes, ICEBERG_BUFFER_TIMEOUT_MS: 3_600_000 });
  try {
    await runStreams(measured, SHORT_EVENTS);
    const short = [];
    const long = [];
    for (let round = 0; round < 2; round++) {
      short.push(await runStreams(measured, SHORT_EVENTS));
      long.push(await runStreams(measured, LONG_EVENTS));
    }
    const shortMs = middle(short.map(({ cpuMs }) => cpuMs));
    const eventMs = (middle(long.map(({ cpuMs }) => cpuMs)) - shortMs) / (LONG_EVENTS - SHORT_EVENTS);
    note(`${STREAMS} readers come back together`);
    const storms = await runStorms(measured);
    return {
      eventCpuUs: eventMs * US_PER_MS,
      streamCpuMs: shortMs - SHORT_EVENTS * eventMs,
      toldPerStream: long[0]?.told ?? { events: 0, handOvers: 0 },
      resumeCpuMs: middle(storms.map(({ cpuMs }) => cpuMs)),
      storm: {
        readers: STREAMS,
        p50Ms: middle(storms.map(({ p50Ms }) => p50Ms)),
        longestMs: middle(storms.map(({ longestMs }) => longestMs)),
      },
    };
  } finally {
    await measured.stop();
  }
}

/** Each for itself: CPU of one stream, and what it told. */
async function runStreams({ service, cpuMs, handOvers }: MeasuredService, events: number) {
  const told = await handOvers();
  const before = cpuMs() ?? Number.NaN;
  const read = async (at: number) => {
    await wait((at * START_SPREAD_MS) / STREAMS);
    const response = await fetch(`${service.origin}/b/stream?events=${events}`, { method: "POST" });
    if (response.status !== 200) throw new Error(`a stream was answered ${response.status}`);
    await response.arrayBuffer();
  };
  await Promise.all(Array.from({ length: STREAMS }, (_, at) => read(at)));
  await wait(SETTLE_MS);
  const after = await handOvers();
  return {
    cpuMs: ((cpuMs() ?? Number.NaN) - before) / STREAMS,
    told: {
      events: (after.events - told.events) / STREAMS,
      handOvers: (after.handOvers - told.handOvers) / STREAMS,
    },
  };
}

async function runStorms(measured: MeasuredService) {
  const { origin } = measured.service;
  const tokens = await Promise.all(
    Array.from({ length: STREAMS }, async () => {
      const url = `${origin}/b/stream?events=1000`;
      const response = await fetch(url, { method: "POST", headers: { prefer: "respond-async" } });
      await response.arrayBuffer();
      return response.headers.get("x-resume-token") ?? "";
    }),
  );
  await wait(((RESUMED_FROM + REPLAYED_EVENTS + EVENTS_PER_SEC) / EVENTS_PER_SEC) * MS_PER_SEC);
  const storms = [];
  for (let round = 0; round < ROUNDS; round++) {
    storms.push(await runStorm(measured, tokens));
    await wait(SETTLE_MS);
  }
  return storms;
}

async function runStorm({ service, cpuMs }: MeasuredService, tokens: readonly string[]) {
  const before = cpuMs() ?? Number.NaN;
  const leave = new AbortController();
  const beganMs = performance.now();
  const waits = await Promise.all(
    tokens.map(async (token) => {
      const headers = { "x-resume-token": token };
      const url = `${service.origin}/b/resume?last_event_id=1-${RESUMED_FROM}`;
      const response = await fetch(url, { headers, signal: leave.signal });
      await readBytes(response, REPLAYED_EVENTS * DATA_BYTES);
      return performance.now() - beganMs;
    }),
  );
  const cpu = ((cpuMs() ?? Number.NaN) - before) / tokens.length;
  leave.abort();
  return { cpuMs: cpu, p50Ms: middle(waits), longestMs: Math.max(...waits) };
}

async function readBytes(response: Response, atLeast: number): Promise<void> {
  const reader = response.body?.getReader();
  let bytes = 0;
  while (bytes < atLeast) {
    const chunk = await reader?.read();
    if (chunk?.value === undefined) throw new Error(`a resume was answered ${response.status} and ended`);
    bytes += chunk.value.length;
  }
}

function middle(values: readonly number[]): number {
  const sorted = values.toSorted((left, right) => left - right);
  return sorted[sorted.length >> 1] ?? Number.NaN;
}
