/**
 * Empties a shard on an operator's word, after everything it drops has been written to the bucket.
 *
 * - R1 nothing is dropped before all of it is in the bucket, and nothing that may be in the table or on its way
 *   there: a batch that was taken is finished, one of which nothing can be known is kept;
 * - R2 a batch whose number was given up is never delivered under it, however late: a reset that ends half-way
 *   leaves its events to the next flush, under a new number;
 * - R3 what comes while it runs is kept.
 */
import type { OperatorRefusal, ResetAnswer } from "../../protocol/buffer-call.ts";
import type { LakeTelemetry } from "../../protocol/telemetry.ts";
import type { ObjectStore } from "../iceberg/object-store.ts";
import type { BatchSink } from "./batch-sink.ts";
import { readPage } from "./buffer-pages.ts";
import { ExportParts } from "./export-parts.ts";
import type { ShardBuffer } from "./shard-buffer.ts";
import type { ShardFlush } from "./shard-flush.ts";
import type { SealedBatch, ShardStore } from "./shard-store.ts";

export interface ResetDeps {
  readonly buffer: ShardBuffer;
  readonly store: ShardStore;
  readonly flush: ShardFlush;
  readonly sink: BatchSink;
  readonly objects: ObjectStore;
  readonly clock: () => number;
  readonly telemetry: (event: LakeTelemetry) => void;
}

/** A moment an operator was told of, to be confirmed. */
interface Offer {
  readonly expected: string;
  readonly events: number;
  readonly uptoSeq: number;
}

export class BufferReset {
  private readonly deps: ResetDeps;
  private offer: Offer | undefined;

  constructor(deps: ResetDeps) {
    this.deps = deps;
  }

  /**
   * @param confirm the shard's life and what it has buffered, as its status or an earlier refusal has said
   * @throws where bucket, storage or table object fail; nothing has been dropped then
   */
  async reset(confirm: string | undefined): Promise<ResetAnswer> {
    const now = this.uptoSeqOf(confirm);
    // Refused before anything is waited for.
    if (typeof now !== "number") return now;
    return this.deps.flush.exclusively(async () => {
      // A flush may have changed what was confirmed.
      const uptoSeq = this.uptoSeqOf(confirm);
      return typeof uptoSeq === "number" ? this.run(uptoSeq) : uptoSeq;
    });
  }

  /**
   * Which moment is confirmed: now, or the one last told of. The service's own telemetry that has come since,
   * the record of the refusal itself among it, does not stand in the way.
   */
  private uptoSeqOf(confirm: string | undefined): number | OperatorRefusal {
    const { buffer } = this.deps;
    const expected = `${buffer.record.name} ${buffer.bufferedEvents}`;
    if (confirm === expected) return buffer.lastSeq;
    const { offer } = this;
    if (offer !== undefined && confirm === offer.expected) {
      const left = buffer.eventsUpto(offer.uptoSeq);
      if (left?.events === offer.events && !left.hasLaterOnes) return offer.uptoSeq;
    }
    this.offer = { expected, events: buffer.bufferedEvents, uptoSeq: buffer.lastSeq };
    return { ok: false, code: "confirmation_needed", expected };
  }

  private async run(uptoSeq: number): Promise<ResetAnswer> {
    const { buffer, clock, telemetry } = this.deps;
    // Only this one can have been tried: batches are delivered one after the other.
    const tried = buffer.headBatch;
    buffer.sealUpto(uptoSeq);
    const outcome = tried === undefined ? "withdrawn" : await this.settle(tried);
    const first = outcome === "withdrawn" ? (tried ?? buffer.headBatch)?.fromSeq : (tried?.uptoSeq ?? 0) + 1;
    const fromSeq = first ?? uptoSeq + 1;
    const parts = new ExportParts({ objects: this.deps.objects, shard: buffer.record.name, nowMs: clock() });
    await this.write(parts, fromSeq, uptoSeq);
    // R1: the bucket has it all; from here on there is no await.
    const { events, bytes } = buffer.drop(fromSeq, uptoSeq);
    this.offer = undefined;
    const report = {
      shard: buffer.record.name,
      events,
      bytes,
      delivered_events: outcome === "taken" ? (tried?.eventCount ?? 0) : 0,
      kept_events: buffer.bufferedEvents,
    };
    telemetry({ event: "BufferReset", ...report, exports: parts.keys.length });
    return { ok: true, ...report, exports: parts.keys };
  }

  /** R1, R2 */
  private async settle(tried: SealedBatch) {
    const { buffer, sink, flush } = this.deps;
    const { index, name } = buffer.record;
    const outcome = await sink.withdraw({ shardIndex: index, shard: name, batch: tried.batch });
    if (outcome === "taken") await flush.deliverHead(tried);
    return outcome;
  }

  private async write(parts: ExportParts, fromSeq: number, uptoSeq: number): Promise<void> {
    const { buffer, store, objects } = this.deps;
    try {
      let afterSeq: number | undefined = fromSeq - 1;
      while (afterSeq !== undefined) {
        const page = readPage(store, buffer.record.name, { afterSeq, uptoSeq });
        await parts.add(page.lines, page.unreadableRows);
        afterSeq = page.nextAfterSeq;
      }
      await parts.end();
    } catch (error) {
      // Of events that stay in the buffer: whoever found these parts might replay them one day.
      await objects.delete(parts.keys).catch(() => undefined);
      throw error;
    }
  }
}
