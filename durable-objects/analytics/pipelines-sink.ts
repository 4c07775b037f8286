/**
 * Delivers batches to a Cloudflare Pipeline instead of our own files: at least once. A consumer tells
 * repeated events apart by `shard` and `seq`.
 */
import { exportedEvent } from "../../protocol/buffer-export.ts";
import type { LakeRow } from "../../protocol/lake-event.ts";
import type { Batch, BatchSink, Delivery, PoisonRow, WithdrawAnswer } from "./batch-sink.ts";

/** A Pipelines binding, or whatever is bound in its place. */
export interface PipelinePort {
  send(records: readonly object[]): Promise<void>;
}

/** One call carries at most 5 MB and one record at most 1 MB (platform limits, Pipelines). */
const CALL_MAX_BYTES = 4 * 1024 * 1024;
const RECORD_MAX_BYTES = 1_000_000;

export class PipelinesSink implements BatchSink {
  private readonly pipeline: PipelinePort;

  constructor(pipeline: PipelinePort) {
    this.pipeline = pipeline;
  }

  async deliver({ rows }: Batch): Promise<Delivery> {
    const poison: PoisonRow[] = [];
    let records: object[] = [];
    let callBytes = 0;
    let totalBytes = 0;
    const encoder = new TextEncoder();
    for (const row of rows) {
      const record = toRecord(row);
      const bytes = encoder.encode(JSON.stringify(record)).byteLength;
      if (bytes > RECORD_MAX_BYTES) {
        poison.push({ row, reason: `${bytes} bytes, a pipeline takes ${RECORD_MAX_BYTES}` });
        continue;
      }
      if (records.length > 0 && callBytes + bytes > CALL_MAX_BYTES) {
        await this.pipeline.send(records);
        records = [];
        callBytes = 0;
      }
      records.push(record);
      callBytes += bytes;
      totalBytes += bytes;
    }
    if (records.length > 0) await this.pipeline.send(records);
    return { files: 0, bytes: totalBytes, poison };
  }

  /** A pipeline cannot be asked what it has, and takes nothing back. */
  async withdraw(): Promise<WithdrawAnswer> {
    return "unknown";
  }
}

/** Members named as the table's columns; times as RFC 3339 with microseconds. */
function toRecord(row: LakeRow): object {
  return { ...exportedEvent(row), shard: row.shard, seq: row.seq };
}
