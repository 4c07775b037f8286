/**
 * Rows to a Parquet file, beside the least one would do with them: lines of JSON, compressed. In this
 * process, by turns; the shard objects run the same code.
 */
import { zstdCompressSync } from "node:zlib";

import { encodeParquet } from "../../durable-objects/iceberg/parquet-encode.ts";
import { TABLE_COLUMNS } from "../../durable-objects/iceberg/table-columns.ts";
import type { LakeRow } from "../../protocol/lake-event.ts";
import { cloudEventText, createLakeRows } from "../../test/fixtures/lake-rows.ts";
import type { Plan } from "../lib/options.ts";
import { spreadOf, type Spread } from "../lib/statistics.ts";

export interface LakeEncodeResult {
  readonly rows: number;
  readonly rounds: number;
  /** The events as CloudEvents in JSON, as they were sent. */
  readonly jsonBytes: number;
  readonly parquetBytes: number;
  /** The rows as lines of JSON, zstd. */
  readonly linesBytes: number;
  readonly eventsPerSec: { readonly parquet: Spread; readonly lines: Spread };
  /** Bytes of `jsonBytes` encoded a second, in MB. */
  readonly jsonMbPerSec: Spread;
  /** Parquet's events a second over those of compressed lines, round by round. */
  readonly ratio: Spread;
}

const WARM_UP_ROUNDS = 3;
const SEED = 20_261_121;
const BYTES_PER_MB = 1_000_000;

export function measureLakeEncode(
  { rows: counts, rounds }: Plan["lakeEncode"],
  note: (line: string) => void,
): LakeEncodeResult[] {
  return counts.map((count) => {
    note(`${count} rows`);
    const rows = createLakeRows(count, { seed: SEED });
    const jsonBytes = rows.reduce((sum, row) => sum + Buffer.byteLength(cloudEventText(row)), 0);
    const parquet: number[] = [];
    const lines: number[] = [];
    let parquetBytes = 0;
    let linesBytes = 0;
    for (let round = -WARM_UP_ROUNDS; round < rounds; round++) {
      const parquetSec = secondsOf(() => (parquetBytes = encodeParquet(rows, TABLE_COLUMNS).bytes.byteLength));
      const linesSec = secondsOf(() => (linesBytes = compressLines(rows)));
      if (round < 0) continue;
      parquet.push(count / parquetSec);
      lines.push(count / linesSec);
    }
    return {
      rows: count,
      rounds,
      jsonBytes,
      parquetBytes,
      linesBytes,
      eventsPerSec: { parquet: spreadOf(parquet), lines: spreadOf(lines) },
      jsonMbPerSec: spreadOf(parquet.map((rate) => (rate * jsonBytes) / count / BYTES_PER_MB)),
      ratio: spreadOf(parquet.map((rate, index) => rate / (lines[index] ?? Number.NaN))),
    };
  });
}

function compressLines(rows: readonly LakeRow[]): number {
  return zstdCompressSync(rows.map((row) => JSON.stringify(row)).join("\n")).byteLength;
}

function secondsOf(work: () => unknown): number {
  const beganMs = performance.now();
  work();
  return (performance.now() - beganMs) / 1000;
}
