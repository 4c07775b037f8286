/**
 * Delivers batches as Parquet files that the table object then commits.
 *
 * Every crash point is safe: files have the key of their batch and are written only once; whoever finds
 * one there reads beside it what it holds. Staging a batch again changes nothing.
 */
import type { StageAnswer, StageCall } from "../../protocol/lake-call.ts";
import { dayOf, type LakeRow } from "../../protocol/lake-event.ts";
import { DESCRIPTOR, type DataFile } from "../iceberg/data-file.ts";
import { dayText, keyOf } from "../iceberg/locations.ts";
import type { ObjectStore } from "../iceberg/object-store.ts";
import { decodeParquet } from "../iceberg/parquet-decode.ts";
import { encodeParquet, findUnencodable } from "../iceberg/parquet-encode.ts";
import { TABLE_COLUMNS } from "../iceberg/table-columns.ts";
import { jsonSizeOf } from "../row-size.ts";
import type { Batch, BatchSink, Delivery, PoisonRow, WithdrawAnswer } from "./batch-sink.ts";

export interface IcebergSinkDeps {
  readonly objects: ObjectStore;
  /** The table's location, absolute. */
  readonly tableLocation: () => Promise<string>;
  /** Idempotent; `taken` once the table object has the files for good. */
  readonly stage: (call: StageCall) => Promise<StageAnswer>;
  /** Refuses a batch for good, unless it has been staged. Idempotent. */
  readonly withdraw: (batch: Omit<StageCall, "files">) => Promise<StageAnswer>;
}

export class IcebergSink implements BatchSink {
  private readonly deps: IcebergSinkDeps;

  constructor(deps: IcebergSinkDeps) {
    this.deps = deps;
  }

  async deliver(batch: Batch): Promise<Delivery | "withdrawn"> {
    const location = await this.deps.tableLocation();
    const poison: PoisonRow[] = [];
    const files: DataFile[] = [];
    for (const [day, rows] of splitByDay(batch.rows)) {
      const sound = siftPoison(rows, poison);
      // One day after the other: only one file's rows and bytes are in memory at a time.
      if (sound.length > 0) files.push(await this.putFile(batch, { location, day, rows: sound, poison }));
    }
    const { shardIndex, shard, batch: number } = batch;
    if (files.length > 0) {
      const answer = await this.deps.stage({ shardIndex, shard, batch: number, files: JSON.stringify(files) });
      // Its files stay behind; the sweep of orphans takes them.
      if (answer === "withdrawn") return "withdrawn";
    }
    return { files: files.length, bytes: files.reduce((sum, file) => sum + file.fileSizeBytes, 0), poison };
  }

  async withdraw({ shardIndex, shard, batch }: Omit<Batch, "rows">): Promise<WithdrawAnswer> {
    return this.deps.withdraw({ shardIndex, shard, batch });
  }

  private async putFile(
    { shard, batch }: Batch,
    part: { location: string; day: number; rows: readonly LakeRow[]; poison: PoisonRow[] },
  ): Promise<DataFile> {
    const path = `${part.location}/data/${dayText(part.day)}/${shard}-${batch}.parquet`;
    const { bytes, recordCount, metrics } = encodeParquet(part.rows, TABLE_COLUMNS);
    const jsonBytes = part.rows.reduce((sum, row) => sum + jsonSizeOf(row), 0);
    const file: DataFile = { path, day: part.day, recordCount, fileSizeBytes: bytes.byteLength, jsonBytes, ...metrics };
    const key = keyOf(path);
    const outcome = await this.deps.objects.putIfAbsent(key, bytes, { [DESCRIPTOR]: JSON.stringify(file) });
    if (outcome === "written") return file;
    if (outcome === "throttled") throw new Error("the bucket asks for fewer writes");
    // An earlier attempt at this batch wrote it, maybe by an older version with other bytes: what is staged
    // must be true of the file that is there.
    const found = await this.deps.objects.head(key);
    const descriptor = found?.metadata[DESCRIPTOR];
    if (descriptor === undefined) throw new Error("a file of this batch is there without its descriptor");
    const earlier = JSON.parse(descriptor) as DataFile;
    if (earlier.recordCount !== recordCount) await this.setAsideMissing(key, part);
    return earlier;
  }

  /** A version that could encode less than this one wrote the file: what it left out is kept apart. */
  private async setAsideMissing(key: string, { rows, poison }: { rows: readonly LakeRow[]; poison: PoisonRow[] }) {
    const bytes = await this.deps.objects.get(key);
    if (bytes === undefined) throw new Error("a file of this batch has just been deleted");
    const kept = new Set((await decodeParquet(bytes)).map(({ seq }) => seq));
    for (const row of rows) {
      if (!kept.has(row.seq)) poison.push({ row, reason: "not in the file that an earlier version wrote" });
    }
  }
}

function splitByDay(rows: readonly LakeRow[]): [number, LakeRow[]][] {
  const byDay = new Map<number, LakeRow[]>();
  for (const row of rows) {
    const day = dayOf(row.timeUs);
    const sameDay = byDay.get(day);
    if (sameDay === undefined) byDay.set(day, [row]);
    else sameDay.push(row);
  }
  return [...byDay].toSorted(([left], [right]) => left - right);
}

/** @returns the rows that can be encoded; the others go to `poison` */
function siftPoison(rows: readonly LakeRow[], poison: PoisonRow[]): readonly LakeRow[] {
  const unencodable = findUnencodable(rows, TABLE_COLUMNS);
  if (unencodable.length === 0) return rows;
  const reasons = new Map(unencodable.map(({ index, reason }) => [index, reason]));
  return rows.filter((row, at) => {
    const reason = reasons.get(at);
    if (reason !== undefined) poison.push({ row, reason });
    return reason === undefined;
  });
}
