/**
 * From what a stream uses to dollars per million streams. Pure.
 */
import { BYTES_PER_GB, OBJECT_GB, PRICES, SEC_PER_MONTH } from "./prices.ts";
import type { StreamShape } from "./stream-shape.ts";
import { rowsWithRowPerEvent, usageOf, type StreamUsage } from "./stream-usage.ts";

/** US dollars per million streams. */
interface Bill {
  readonly duration: number;
  readonly rows: number;
  readonly requests: number;
  /** SQLite's bytes and the archive. */
  readonly storage: number;
  /** All that the stream's telemetry costs in the lake. */
  readonly telemetry: number;
  readonly total: number;
}

export interface StreamCost {
  readonly shape: StreamShape;
  readonly usage: StreamUsage;
  readonly bill: Bill;
  /** The same stream with a row for each event. */
  readonly rowPerEvent: { readonly rowsWritten: number; readonly total: number };
}

const STREAMS = 1_000_000;

export function costOf(shape: StreamShape): StreamCost {
  const usage = usageOf(shape);
  const bill = billOf(usage, shape);
  const rowsWritten = rowsWithRowPerEvent(shape);
  const more = (rowsWritten - usage.rowsWritten) * PRICES.rowWritten.dollars * STREAMS;
  return { shape, usage, bill, rowPerEvent: { rowsWritten, total: bill.total + more } };
}

function billOf(usage: StreamUsage, shape: StreamShape): Bill {
  const { archive, telemetry } = usage;
  const lines = {
    duration: usage.objectSec * OBJECT_GB * PRICES.objectGbSec.dollars,
    rows: usage.rowsWritten * PRICES.rowWritten.dollars + usage.rowsRead * PRICES.rowRead.dollars,
    requests:
      usage.workerRequests * (PRICES.workerRequest.dollars + shape.workerCpuMs * PRICES.workerCpuMs.dollars) +
      usage.objectRequests * PRICES.objectRequest.dollars,
    storage:
      gbMonths(usage.storedByteSec) * PRICES.objectGbMonth.dollars +
      gbMonths(archive.storedByteSec) * PRICES.bucketGbMonth.dollars +
      archive.puts * PRICES.bucketClassA.dollars +
      archive.gets * PRICES.bucketClassB.dollars,
    telemetry:
      telemetry.rowsWritten * PRICES.rowWritten.dollars +
      telemetry.objectRequests * PRICES.objectRequest.dollars +
      telemetry.puts * PRICES.bucketClassA.dollars +
      telemetry.gets * PRICES.bucketClassB.dollars,
  };
  const { duration, rows, requests, storage, telemetry: told } = lines;
  const total = duration + rows + requests + storage + told;
  return {
    duration: duration * STREAMS,
    rows: rows * STREAMS,
    requests: requests * STREAMS,
    storage: storage * STREAMS,
    telemetry: told * STREAMS,
    total: total * STREAMS,
  };
}

function gbMonths(byteSec: number): number {
  return byteSec / BYTES_PER_GB / SEC_PER_MONTH;
}
