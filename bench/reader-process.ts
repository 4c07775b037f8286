/**
 * The benchmark's readers, a process of its own: bare sockets, one job at a time.
 */
import { LatencyHistogram } from "./lib/latency-histogram.ts";
import type { ReaderMessage, ReadJob, ReadResult } from "./lib/messages.ts";
import { Reading } from "./lib/reading.ts";
import { nowUs } from "./lib/source-script.ts";

/** Nothing for so long, and the stream is taken to be stuck. */
const SILENCE_LIMIT_US = 20_000_000;
const US_PER_SEC = 1_000_000;

process.on("message", (message) => {
  // The parent is the only one on this channel.
  run(message as ReadJob).catch((error: unknown) => tell({ kind: "failed", detail: String(error) }));
});
// The benchmark is gone, however it ended.
process.on("disconnect", () => process.exit());

async function run(job: ReadJob): Promise<void> {
  const latencies = new LatencyHistogram();
  const began = { atUs: nowUs(), cpu: process.cpuUsage() };
  let firstEventUs = 0;
  let lastEventUs = 0;
  const onEvent = (sentAtUs: number, receivedAtUs: number) => {
    if (firstEventUs === 0) firstEventUs = receivedAtUs;
    lastEventUs = receivedAtUs;
    if (sentAtUs > 0) latencies.add(receivedAtUs - sentAtUs);
  };
  const readings: Reading[] = [];
  const open = async (method: string, path: string, token?: string) => {
    const headers = { accept: "text/event-stream", ...(token === undefined ? {} : { "x-resume-token": token }) };
    const reading = new Reading({ origin: job.origin, method, path, headers }, onEvent);
    readings.push(reading);
    const head = await reading.attached.promise;
    if (head.status !== 200) throw new Error(`${method} ${path} answered ${head.status}`);
    return head;
  };
  try {
    const { headers } = await open(job.start.method, job.start.path);
    const token = headers.get("x-resume-token");
    await Promise.all(Array.from({ length: job.readers - 1 }, () => open("GET", job.joinPath, token)));
    tell({ kind: "attached", requestId: headers.get("x-request-id"), resumeToken: token });
    await untilEnded(readings, began.atUs);
  } finally {
    for (const reading of readings) reading.close();
  }
  const { user, system } = process.cpuUsage(began.cpu);
  const result: ReadResult = {
    completeReaders: readings.filter(
      ({ scanner, isComplete }) => scanner.isContiguous && scanner.events === job.expectedEvents && isComplete,
    ).length,
    events: readings.reduce((sum, { scanner }) => sum + scanner.events, 0),
    bytes: readings.reduce((sum, { bytes }) => sum + bytes, 0),
    totalSec: (lastEventUs - began.atUs) / US_PER_SEC,
    streamingSec: (lastEventUs - firstEventUs) / US_PER_SEC,
    readerCpuSec: (user + system) / US_PER_SEC,
    latencyCounts: latencies.counts,
  };
  tell({ kind: "done", result });
}

/** Until every reader has its end, or all of them have been silent for too long. */
async function untilEnded(readings: readonly Reading[], beganUs: number): Promise<void> {
  const silence = Promise.withResolvers<void>();
  const watch = setInterval(() => {
    const lastUs = readings.reduce((last, { receivedAtUs }) => Math.max(last, receivedAtUs), beganUs);
    if (nowUs() - lastUs > SILENCE_LIMIT_US) silence.resolve();
  }, 500);
  await Promise.race([Promise.all(readings.map(({ ended }) => ended.promise)), silence.promise]);
  clearInterval(watch);
}

function tell(message: ReaderMessage): void {
  process.send?.(message);
}
