/**
 * What a month costs at a steady number of streams: the cost model's bill for each, and what the lake costs by
 * being there. Pure.
 */
import { costOf } from "../cost-model/bill.ts";
import { BYTES_PER_GB, OBJECT_GB, PRICES, SEC_PER_MONTH } from "../cost-model/prices.ts";
import type { ServiceLoad } from "./service-load.ts";
import { shapeOf, type Workload } from "./workload.ts";

const STREAMS_OF_A_BILL = 1_000_000;
const SEC_PER_DAY = 86_400;
/** Beside the shards: the table and the monitor. */
const OTHER_LAKE_OBJECTS = 2;

/** US dollars a month. */
export interface MonthlyBill {
  readonly streams: number;
  readonly duration: number;
  readonly rows: number;
  readonly requests: number;
  /** Bytes of streams, in SQLite. */
  readonly storage: number;
  readonly telemetry: number;
  /** The lake's objects, awake all the time: less where nothing happens. */
  readonly lakeAwake: number;
  /** What a month adds to the table, for a month. */
  readonly tableGrowth: number;
  readonly total: number;
  /** Of one stream at once, for a month. */
  readonly perStream: number;
}

export function monthlyBill({ workload, table }: ServiceLoad): MonthlyBill {
  const bill = costOf(shapeOf(workload)).bill;
  const bills = streamsAMonth(workload) / STREAMS_OF_A_BILL;
  const awakeObjects = (workload.shards + OTHER_LAKE_OBJECTS) * workload.deployments;
  const lakeAwake = awakeObjects * SEC_PER_MONTH * OBJECT_GB * PRICES.objectGbSec.dollars;
  const gbAMonth = ((table?.bytesPerDay ?? 0) * workload.deployments * (SEC_PER_MONTH / SEC_PER_DAY)) / BYTES_PER_GB;
  const tableGrowth = gbAMonth * PRICES.bucketGbMonth.dollars;
  const total = bill.total * bills + lakeAwake + tableGrowth;
  return {
    streams: workload.streams,
    duration: bill.duration * bills,
    rows: bill.rows * bills,
    requests: bill.requests * bills,
    storage: bill.storage * bills,
    telemetry: bill.telemetry * bills,
    lakeAwake,
    tableGrowth,
    total,
    perStream: total / workload.streams,
  };
}

function streamsAMonth({ streams, streamSec }: Workload): number {
  return (streams / streamSec) * SEC_PER_MONTH;
}
