/**
 * Readers that stop reading: what they cost (B6), and that they hold up neither the source nor
 * their neighbours.
 *
 * Each stalled reader has a stream of its own: chunks are shared by the readers of a stream, so that
 * queues of several readers on one stream could pass for the queue of one.
 */
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";

import { FrameChecker } from "../fixtures/process-checker.ts";
import { anonymousBytes, asMb, socketBytes, watchMemory } from "../fixtures/process-memory.ts";
import { openReader, until, type WireReader } from "../fixtures/process-reader.ts";
import { idOf, readStatus } from "../fixtures/process-recovery.ts";
import { createSourceRun, frameOf, playRuns, type SourceRun, type SourceScript } from "../fixtures/process-script.ts";
import { startUpstream, type Upstream } from "../fixtures/upstream.ts";
import { startService, type Service } from "../fixtures/workerd-service.ts";

const BYTES_PER_MB = 1_048_576;
const STREAM_BYTES = 20 * BYTES_PER_MB;
const STREAMS = 8;
const STREAMS_AT_ONCE = 4;
/**
 * A stalled reader may cost this part of what a queue would hold for it. Its own share is far below
 * (a chunk queue of 64 KiB and the runtime's buffers): the rest is headroom for garbage that has not
 * been collected yet.
 */
const QUEUE_FRACTION = 1 / 3;

const runs = new Map<string, SourceRun>();
const services: Service[] = [];
let upstream: Upstream;

beforeAll(async () => {
  upstream = await startUpstream(playRuns(runs));
});
afterAll(async () => {
  // One that a failed test has left running; stopping twice does no harm.
  for (const service of services) await service.stop();
  await upstream.stop();
});

async function serve(vars: Record<string, unknown>): Promise<Service> {
  const service = await startService({
    vars: { ROUTES: [{ name: "t", upstream: upstream.origin, method: "GET", allowGet: true }], ...vars },
  });
  services.push(service);
  return service;
}

const SCRIPT: SourceScript = {
  seed: 5,
  events: 0,
  minChars: 2000,
  maxChars: 2000,
  largeEvery: 0,
  largeChars: 0,
  stageEvery: 0,
  burst: 8,
  pauseMs: 0,
};

/** As many events as make up {@link STREAM_BYTES} on the wire. */
function largeScript(): SourceScript {
  let events = 0;
  for (let sum = 0; sum < STREAM_BYTES; events++) sum += Buffer.byteLength(frameOf(SCRIPT, events + 1));
  return { ...SCRIPT, events };
}

interface Watched {
  readonly reader: WireReader;
  readonly checker: FrameChecker;
}

/** Starts the stream of a run, or joins it: the key is the run's. */
async function join(service: Service, name: string, run: SourceRun): Promise<Watched> {
  const checker = new FrameChecker(run, 0);
  const headers = { "Idempotency-Key": `key-of-stream-${name}` };
  const reader = await openReader(`${service.origin}/t/stream?run=${name}`, { headers, onFrame: checker.take });
  return { reader, checker };
}

async function comeBack(service: Service, run: SourceRun, gone: Watched): Promise<Watched> {
  const afterSeq = gone.checker.nextSeq - 1;
  const checker = new FrameChecker(run, afterSeq);
  const headers = { "X-Resume-Token": gone.reader.header("x-resume-token"), "Last-Event-ID": idOf(afterSeq) };
  const reader = await openReader(`${service.origin}/t/resume`, { headers, onFrame: checker.take });
  return { reader, checker };
}

interface Flow {
  readonly run: SourceRun;
  readonly healthy: Watched;
  readonly stalled: Watched | undefined;
}

interface FlowOptions {
  readonly script: SourceScript;
  readonly hasStalled: boolean;
}

/** One stream to its end, with a reader that takes all and perhaps one that takes nothing. */
async function flow(service: Service, name: string, { script, hasStalled }: FlowOptions): Promise<Flow> {
  const run = createSourceRun(script);
  runs.set(name, run);
  const healthy = await join(service, name, run);
  const stalled = hasStalled ? await join(service, name, run) : undefined;
  stalled?.reader.pause();
  await healthy.reader.toEnd();
  return { run, healthy, stalled };
}

async function flowAll(service: Service, title: string, options: FlowOptions): Promise<Flow[]> {
  const flows: Flow[] = [];
  for (let at = 0; at < STREAMS; at += STREAMS_AT_ONCE) {
    const names = Array.from({ length: STREAMS_AT_ONCE }, (_, offset) => `${title}.${at + offset}`);
    flows.push(...(await Promise.all(names.map((name) => flow(service, name, options)))));
  }
  return flows;
}

test("B6: a reader that reads nothing of 20 MB costs next to nothing, and gets the rest or a gap", async () => {
  const service = await serve({ SSE_CLIENT_STALL_SEC: 600, SSE_CLIENT_MAX_AGE_SEC: 3600 });
  const script = largeScript();
  // The heap first grows to its working size, whoever reads.
  await flowAll(service, "warm-up", { script, hasStalled: false });
  const watch = watchMemory(service.pid);
  onTestFinished(() => watch.stop());
  await flowAll(service, "alone", { script, hasStalled: false });
  const aloneBytes = anonymousBytes(service.pid);
  const alonePeakBytes = watch.peakBytes();
  const flows = await flowAll(service, "stalled", { script, hasStalled: true });
  const stalledBytes = anonymousBytes(service.pid);
  watch.stop();

  const stalled = flows.flatMap(({ stalled }) => (stalled === undefined ? [] : [stalled]));
  const kernelBytes = socketBytes(stalled.map(({ reader }) => reader.localPort)) / stalled.length;
  const costBytes = (stalledBytes - aloneBytes) / stalled.length;
  const queueBytes = STREAM_BYTES - kernelBytes;
  console.log(
    `${STREAMS} streams of ${asMb(STREAM_BYTES)}: the service's own memory ${asMb(aloneBytes)} after healthy readers ` +
      `alone (peak ${asMb(alonePeakBytes)}), ${asMb(stalledBytes)} with ${stalled.length} stalled readers beside them ` +
      `(peak ${asMb(watch.peakBytes())}): ${asMb(costBytes)} for each. In the kernel's socket buffers, not the ` +
      `service's: ${asMb(kernelBytes)} for each. A queue would hold ${asMb(queueBytes)} for each.`,
  );
  expect(stalled).toHaveLength(STREAMS);
  expect(queueBytes).toBeGreaterThan(STREAM_BYTES / 2);
  expect(costBytes).toBeLessThan(queueBytes * QUEUE_FRACTION);

  for (const { run, healthy } of flows) {
    const status = await readStatus(service.origin, healthy.reader.header("x-resume-token"));
    expect(status).toMatchObject({ state: "completed", events: run.script.events });
    expect(healthy.checker.faults).toEqual([]);
    expect(healthy.checker.received).toHaveLength(run.script.events);
  }
  for (const [at, { run, stalled }] of flows.entries()) {
    if (stalled === undefined) continue;
    // The one reads on, the other hangs up and comes back.
    stalled.reader.goOn();
    if (at % 2 === 1) {
      await until(() => stalled.checker.received.length > 0, "the first events of a stalled reader");
      stalled.reader.cut();
    }
    await stalled.reader.toEnd();
    const last = at % 2 === 1 ? await comeBack(service, run, stalled) : stalled;
    expect(await last.reader.toEnd()).toBe("ended");
    expect([...stalled.checker.faults, ...last.checker.faults]).toEqual([]);
    expect(last.checker.gaps.length).toBeGreaterThan(0);
    expect(last.checker.nextSeq).toBe(run.script.events + 1);
    expect(last.checker.end).toMatchObject({ status: "complete", last_id: idOf(run.script.events) });
  }
  await service.stop();
});

test("a stalled reader is removed, with a word to the operator; it comes back to the rest or an announced gap", async () => {
  const service = await serve({ SSE_CLIENT_STALL_SEC: 1, SSE_CLEANUP_INTERVAL_SEC: 1, SSE_HEARTBEAT_SEC: 1 });
  const run = createSourceRun({ ...SCRIPT, events: 100_000, pauseMs: 5 });
  runs.set("removed", run);
  const healthy = await join(service, "removed", run);
  const stalled = await join(service, "removed", run);
  stalled.reader.pause();
  const token = healthy.reader.header("x-resume-token");
  await until(
    async () => (await readStatus(service.origin, token))["readers"] === 1,
    "the removal of a stalled reader",
  );
  expect(service.telemetry("SseReaderRemoved")).toMatchObject([
    { reason: "stalled", route: "t", request_id: stalled.reader.requestId },
  ]);
  expect(healthy.reader.outcome).toBe("open");

  stalled.reader.goOn();
  expect(await stalled.reader.toEnd()).toBe("broken");
  const again = await comeBack(service, run, stalled);
  await until(() => again.checker.received.length >= 300, "live events after the replay");
  expect((await readStatus(service.origin, token))["readers"]).toBe(2);
  await fetch(`${service.origin}/t/stream`, { method: "DELETE", headers: { "X-Resume-Token": token } });
  for (const { reader, checker } of [healthy, again]) {
    expect(await reader.toEnd()).toBe("ended");
    expect(checker.faults).toEqual([]);
    expect(checker.end).toMatchObject({ status: "cancelled" });
  }
  expect(stalled.checker.faults).toEqual([]);
  await service.stop();
});

test("readers whose connections die are noticed though their source is silent, which is read on without them", async () => {
  const service = await serve({ SSE_HEARTBEAT_SEC: 1 });
  const run = createSourceRun({ ...SCRIPT, events: 2, burst: 1, pauseMs: 4000 });
  runs.set("silent", run);
  const readers = [await join(service, "silent", run), await join(service, "silent", run)];
  const token = readers[0]?.reader.header("x-resume-token") ?? "";
  const countReaders = async () => (await readStatus(service.origin, token))["readers"];
  expect(await countReaders()).toBe(2);
  for (const [at, { reader }] of readers.entries()) {
    reader.cut();
    await until(async () => (await countReaders()) === 1 - at, "a smaller count of readers");
  }
  const removed = service.telemetry("SseReaderRemoved");
  expect(removed).toMatchObject([{ reason: "disconnected" }, { reason: "disconnected" }]);
  await until(async () => (await readStatus(service.origin, token))["state"] === "completed", "the source's end");
  await service.stop();
});
