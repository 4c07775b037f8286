/**
 * Operators' work on one shard, as its object offers it: every failure is an answer, and the shard's alarm is
 * set anew after whatever was done.
 */
import type {
  ExportPage,
  ExportPageCall,
  ExportScope,
  LetterPage,
  OperatorRefusal,
  PurgeAnswer,
  PurgeCall,
  RedriveAnswer,
  ResetAnswer,
} from "../../protocol/buffer-call.ts";
import { readPage } from "./buffer-pages.ts";
import { BufferReset, type ResetDeps } from "./buffer-reset.ts";
import { LetterWork } from "./letter-work.ts";
import { describeFailure } from "./shard-flush.ts";

export interface OperationsDeps extends ResetDeps {
  /** What is in the way of delivering anything. */
  readonly blockedBy: string | undefined;
  /** After whatever has changed the buffer. */
  readonly settle: () => Promise<void>;
}

export class ShardOperations {
  private readonly deps: OperationsDeps;
  private readonly resetting: BufferReset;
  private readonly lettering: LetterWork;

  constructor(deps: OperationsDeps) {
    this.deps = deps;
    this.resetting = new BufferReset(deps);
    this.lettering = new LetterWork(deps);
  }

  exportScope(): ExportScope {
    const { buffer } = this.deps;
    return { shard: buffer.record.name, events: buffer.bufferedEvents, uptoSeq: buffer.lastSeq };
  }

  exportPage(call: ExportPageCall): ExportPage {
    const { buffer, store } = this.deps;
    return readPage(store, buffer.record.name, call);
  }

  async reset(confirm: string | undefined): Promise<ResetAnswer> {
    return this.perform(() => this.resetting.reset(confirm));
  }

  deadLetters(afterLetterId: number, limit: number): LetterPage {
    return this.lettering.list(afterLetterId, limit);
  }

  async redrive(ids: readonly number[] | undefined): Promise<RedriveAnswer> {
    return this.perform(() => this.lettering.redrive(ids));
  }

  async purge(call: PurgeCall): Promise<PurgeAnswer> {
    return this.perform(() => this.lettering.purge(call));
  }

  private async perform<T extends { readonly ok: boolean }>(work: () => Promise<T>): Promise<T | OperatorRefusal> {
    const { blockedBy, settle } = this.deps;
    if (blockedBy !== undefined) return { ok: false, code: "unavailable", reason: blockedBy };
    try {
      return await work();
    } catch (error) {
      return { ok: false, code: "unavailable", reason: describeFailure(error) };
    } finally {
      // Also of a failure: what it has sealed wants to be flushed. What is done is done, and told so: an alarm
      // that could not be set is set with the next append or flush.
      await settle().catch(() => undefined);
    }
  }
}
