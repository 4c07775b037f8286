/**
 * The comparison's readers, a process of its own: bare sockets that check what they get.
 */
import { setTimeout as wait } from "node:timers/promises";

import { LatencyHistogram } from "../../lib/latency-histogram.ts";
import { Reading } from "../../lib/reading.ts";
import { nowUs } from "../../lib/source-script.ts";
import type { PlannedRequest } from "../system.ts";
import type {
  CloseReaders,
  ReaderPlan,
  ReaderReply,
  ReadJob,
  ReadOutcome,
  ReplayJob,
  ReplayOutcome,
} from "./messages.ts";

const US_PER_MS = 1000;
const WATCH_MS = 20;
/** A head that takes longer does not come. */
const HEAD_LIMIT_MS = 10_000;
/** Connections opened at once: more than a listening socket keeps waiting would be turned away. */
const OPENED_AT_ONCE = 50;

/** One reader, and whether it has what it should. */
class CheckedReader {
  readonly finished = Promise.withResolvers<void>();
  readonly reading: Reading;
  firstAtUs = 0;
  lastAtUs = 0;
  private readonly plan: ReaderPlan;
  /** Numbers seen, where they may come in any order. */
  private readonly seen: Uint8Array | undefined;
  private distinct = 0;
  private highest = 0;

  constructor(plan: ReaderPlan, onLatency: (latencyUs: number) => void) {
    this.plan = plan;
    this.seen = plan.isInAnyOrder ? new Uint8Array(plan.events + 1) : undefined;
    this.reading = new Reading(plan.request, (sentAtUs, receivedAtUs) => {
      if (this.firstAtUs === 0) this.firstAtUs = receivedAtUs;
      this.lastAtUs = receivedAtUs;
      if (sentAtUs > 0) onLatency(receivedAtUs - sentAtUs);
      this.count();
    });
    void this.reading.ended.promise.then(() => this.finished.resolve());
  }

  get events(): number {
    return this.reading.scanner.events;
  }

  get isSound(): boolean {
    // The highest number is the count where each has come once.
    return this.seen === undefined
      ? this.reading.scanner.isContiguous
      : this.distinct === this.events && this.highest === this.events;
  }

  async attach(): Promise<void> {
    const { status } = await within(HEAD_LIMIT_MS, this.reading.attached.promise, "no answer to a reader");
    if (status !== 200) throw new Error(`a reader was answered ${status}`);
  }

  private count(): void {
    const { lastNumber, events } = this.reading.scanner;
    this.highest = Math.max(this.highest, lastNumber);
    if (this.seen !== undefined && this.seen[lastNumber] === 0) {
      this.seen[lastNumber] = 1;
      this.distinct++;
    }
    const isLast = this.seen === undefined ? lastNumber >= this.plan.events : events >= this.plan.events;
    if (isLast) this.finished.resolve();
  }
}

let closed = Promise.withResolvers<void>();

process.on("message", (message) => {
  // The parent is the only one on this channel.
  const job = message as ReadJob | ReplayJob | CloseReaders;
  if (job.kind === "close") {
    closed.resolve();
    return;
  }
  closed = Promise.withResolvers<void>();
  const work = job.kind === "read" ? read(job) : replay(job);
  work.catch((error: unknown) =>
    tell({ kind: "failed", detail: error instanceof Error ? error.message : String(error) }),
  );
});
// The benchmark is gone, however it ended.
process.on("disconnect", () => process.exit());

async function read(job: ReadJob): Promise<void> {
  const latencies = new LatencyHistogram();
  const readers: CheckedReader[] = [];
  try {
    for (let at = 0; at < job.readers.length; at += OPENED_AT_ONCE) {
      const opened = job.readers
        .slice(at, at + OPENED_AT_ONCE)
        .map((plan) => new CheckedReader(plan, (latencyUs) => latencies.add(latencyUs)));
      readers.push(...opened);
      await Promise.all(opened.map((reader) => reader.attach()));
    }
    tell({ kind: "attached" });
    const allFinished = Promise.all(readers.map(({ finished }) => finished.promise));
    await Promise.race([allFinished, untilSilent(readers, job), closed.promise]);
    tell({ kind: "read", result: outcomeOf(readers, latencies) });
    if (job.staysOpen) await closed.promise;
  } finally {
    for (const { reading } of readers) reading.close();
  }
}

function outcomeOf(readers: readonly CheckedReader[], latencies: LatencyHistogram): ReadOutcome {
  const firstTimes = readers.flatMap(({ firstAtUs }) => (firstAtUs === 0 ? [] : firstAtUs));
  return {
    received: readers.map(({ events, isSound }) => ({ events, isSound })),
    events: readers.reduce((sum, { events }) => sum + events, 0),
    firstAtUs: firstTimes.length === 0 ? 0 : firstTimes.reduce((first, atUs) => Math.min(first, atUs)),
    lastAtUs: readers.reduce((last, { lastAtUs }) => Math.max(last, lastAtUs), 0),
    latencyCounts: latencies.counts,
  };
}

/** Until nothing more is to be expected: events came and no more do, or it takes too long altogether. */
async function untilSilent(readers: readonly CheckedReader[], { silenceMs, limitMs }: ReadJob): Promise<void> {
  const endUs = nowUs() + limitMs * US_PER_MS;
  let lastUs = 0;
  do {
    await wait(WATCH_MS);
    lastUs = readers.reduce((last, { lastAtUs }) => Math.max(last, lastAtUs), 0);
  } while (nowUs() < endUs && (lastUs === 0 || nowUs() - lastUs < silenceMs * US_PER_MS));
}

async function replay({ request, events, repetitions, limitMs }: ReplayJob): Promise<void> {
  const firstMs: number[] = [];
  const lastMs: number[] = [];
  let brokenReplays = 0;
  for (let done = 0; done < repetitions; done++) {
    const timing = await replayOnce(request, events, limitMs);
    if (timing === undefined) brokenReplays++;
    else {
      firstMs.push(timing.firstUs / US_PER_MS);
      lastMs.push(timing.lastUs / US_PER_MS);
    }
    // One that never ends well need not be waited for a hundred times.
    if (brokenReplays > 3 && firstMs.length === 0) break;
  }
  const result: ReplayOutcome = { firstMs, lastMs, brokenReplays };
  tell({ kind: "replayed", result });
}

/** @returns nothing where it was not whole */
async function replayOnce(
  request: PlannedRequest,
  events: number,
  limitMs: number,
): Promise<{ firstUs: number; lastUs: number } | undefined> {
  const reader = new CheckedReader({ request, events, isInAnyOrder: false }, () => undefined);
  try {
    await within(limitMs, reader.finished.promise, "a replay without end");
    const { requestedAtUs } = reader.reading;
    return reader.isSound && reader.events === events
      ? { firstUs: reader.firstAtUs - requestedAtUs, lastUs: reader.lastAtUs - requestedAtUs }
      : undefined;
  } catch {
    // Too late is not whole.
    return undefined;
  } finally {
    reader.reading.close();
  }
}

async function within<T>(limitMs: number, work: Promise<T>, detail: string): Promise<T> {
  const limit = new AbortController();
  const late = wait(limitMs, undefined, { signal: limit.signal }).then(() => {
    throw new Error(`${detail} within ${limitMs} ms`);
  });
  // Given up with the signal when the work is done first.
  late.catch(() => undefined);
  try {
    return await Promise.race([work, late]);
  } finally {
    limit.abort();
  }
}

function tell(message: ReaderReply): void {
  process.send?.(message);
}
