/**
 * Memory of workerd for a live stream with a full buffer, above that of as many streams which hold one tiny
 * event each. No readers, sources open. Each reading is of a service of its own.
 *
 * Garbage is not memory that a stream needs: it is collected before each reading.
 */
import { setTimeout as wait } from "node:timers/promises";

import type { StreamStatus } from "../../protocol/stream-call.ts";
import { anonymousBytes } from "../../test/fixtures/process-memory.ts";
import type { InspectedService } from "../lib/inspected-workerd.ts";
import type { Lab } from "../lib/lab.ts";
import type { MemoryLoad, Plan } from "../lib/options.ts";
import { scriptQuery, type SourceScript } from "../lib/source-script.ts";
import { spreadOf, type Spread } from "../lib/statistics.ts";

export interface MemoryResult extends MemoryLoad {
  readonly streams: number;
  readonly floor: MemoryReading;
  readonly full: MemoryReading;
  /** What a full buffer takes: the difference of both for each stream, by where it lies. */
  readonly bytesAboveFloor: { readonly isolate: number; readonly process: number };
  /** What a stream's buffer holds, by the service's word: mean of all. */
  readonly retainedBytes: number;
  readonly retainedEvents: number;
  /** Events of a stream that gave way while it was filled: mean of all. */
  readonly trimmedEvents: number;
  /** Whether each stream took all events and is still open. */
  readonly isWhole: boolean;
}

/** Of all streams together, after garbage was collected. */
interface MemoryReading {
  /** V8's heap and array buffers: what the platform's limit of 128 MB counts. */
  readonly isolateBytes: Spread;
  /** Anonymous memory of workerd: the isolate, SQLite's page caches, connections, the allocator's slack. */
  readonly processBytes: Spread;
  /** The same before any garbage was collected, just filled. */
  readonly filledBytes: number;
}

interface Measured {
  readonly reading: MemoryReading;
  readonly statuses: readonly StreamStatus[];
  readonly isWhole: boolean;
}

/** Streams that are filled at once: more would only wait for each other. */
const FILLED_AT_ONCE = 8;
const POLL_MS = 10;
const FILL_TIMEOUT_MS = 120_000;
/** Longer than `SSE_COMMIT_INTERVAL_MS`: the last segment is written by then. */
const COMMITTED_AFTER_MS = 1500;
const READINGS = 5;
const READING_PAUSE_MS = 200;
const BATCH = 16;
const TINY: SourceScript = { events: 1, bytes: 1, rate: 0, batch: 1, isHeld: false, kind: "record", staysOpen: true };
/** The limit is 1.5 MB by default, and 256 events would not come near it. */
const EVENTS_LIMIT = 65_536;

export async function measureMemory(
  lab: Lab,
  { streams, loads }: Plan["memory"],
  note: (line: string) => void,
): Promise<MemoryResult[]> {
  const results: MemoryResult[] = [];
  for (const count of streams) {
    note(`${count} idle streams`);
    const floor = await measure(lab, { count, script: TINY, compresses: false });
    for (const load of loads.filter(({ maxStreams }) => count <= maxStreams)) {
      note(`${count} full streams, ${load.compresses ? "compressed" : "plain"}`);
      const script = { ...TINY, events: load.events, bytes: load.bytes, batch: BATCH };
      const full = await measure(lab, { count, script, compresses: load.compresses });
      const above = (of: "isolateBytes" | "processBytes") =>
        (full.reading[of].median - floor.reading[of].median) / count;
      results.push({
        ...load,
        streams: count,
        floor: floor.reading,
        full: full.reading,
        bytesAboveFloor: { isolate: above("isolateBytes"), process: above("processBytes") },
        retainedBytes: meanOf(full.statuses, "retained_bytes"),
        retainedEvents: meanOf(full.statuses, "retained_events"),
        trimmedEvents: meanOf(full.statuses, "trimmed_events"),
        isWhole: floor.isWhole && full.isWhole,
      });
    }
  }
  return results;
}

async function measure(
  lab: Lab,
  { count, script, compresses }: { count: number; script: SourceScript; compresses: boolean },
): Promise<Measured> {
  const vars = { SSE_BUFFER_MAX_EVENTS: EVENTS_LIMIT, SSE_BUFFER_COMPRESS: compresses };
  const service = await lab.startInspected(vars);
  const tokens = await fillStreams(service, script, count);
  await wait(COMMITTED_AFTER_MS);
  const filledBytes = anonymousBytes(service.pid);
  const isolate: number[] = [];
  const whole: number[] = [];
  for (let reading = 0; reading < READINGS; reading++) {
    const { heapBytes, bufferBytes } = await service.collect();
    isolate.push(heapBytes + bufferBytes);
    await wait(READING_PAUSE_MS);
    whole.push(anonymousBytes(service.pid));
  }
  // Last, so that asking makes no garbage.
  const statuses: StreamStatus[] = [];
  for (const token of tokens) statuses.push(await statusOf(service, token));
  lab.stopInspected(service);
  return {
    reading: { isolateBytes: spreadOf(isolate), processBytes: spreadOf(whole), filledBytes },
    statuses,
    isWhole: statuses.every(({ state, events }) => state === "streaming" && events === script.events),
  };
}

/** @returns the streams' tokens, all of them full and open */
async function fillStreams(service: InspectedService, script: SourceScript, count: number): Promise<string[]> {
  const tokens: string[] = [];
  let begun = 0;
  const work = async () => {
    while (begun++ < count) {
      const headers = { Prefer: "respond-async" };
      const response = await fetch(`${service.origin}/b/stream?${scriptQuery(script)}`, { method: "POST", headers });
      if (response.status !== 202) throw new Error(`a start answered ${response.status}`);
      const token = response.headers.get("X-Resume-Token") ?? "";
      await response.body?.cancel();
      await untilFilled(service, token, script.events);
      tokens.push(token);
    }
  };
  await Promise.all(Array.from({ length: FILLED_AT_ONCE }, work));
  return tokens;
}

async function untilFilled(service: InspectedService, token: string, events: number): Promise<void> {
  const deadlineMs = Date.now() + FILL_TIMEOUT_MS;
  while ((await statusOf(service, token)).events < events) {
    if (Date.now() > deadlineMs) throw new Error("a stream did not fill");
    await wait(POLL_MS);
  }
}

async function statusOf({ origin }: InspectedService, token: string): Promise<StreamStatus> {
  const response = await fetch(`${origin}/b/status`, { headers: { "X-Resume-Token": token } });
  // The service's own answer: see protocol/stream-call.ts.
  return (await response.json()) as StreamStatus;
}

function meanOf(
  statuses: readonly StreamStatus[],
  name: "retained_bytes" | "retained_events" | "trimmed_events",
): number {
  return statuses.reduce((sum, status) => sum + status[name], 0) / statuses.length;
}
