/**
 * A stream's buffer that is filled to the brim and then made to give way, step by step or turn by turn: the
 * same in the benchmark's process and inside workerd.
 */
import type { SqlPort } from "../../durable-objects/sql-storage.ts";
import { createClassifier } from "../../durable-objects/stream/classify.ts";
import type { ReliefChange } from "../../durable-objects/stream/relief-change.ts";
import { StreamBuffer } from "../../durable-objects/stream/stream-buffer.ts";
import { StreamStore } from "../../durable-objects/stream/stream-store.ts";
import type { ReliefPolicy } from "../../protocol/relief.ts";
import type { SourceEvent } from "../../protocol/sse-frame.ts";
import { streamRecord } from "../../test/fixtures/stream-record.ts";
import { chatData, recordData } from "./chat-script.ts";

export const RELIEF_KINDS = ["fold", "trim", "compress", "none"] as const;
export type ReliefKind = (typeof RELIEF_KINDS)[number];

/** What one step or turn did. */
export interface ReliefDone {
  /** Wire bytes that it looked at and changed. */
  readonly bytes: number;
  readonly savedBytes: number;
  /** Steps that came to something. */
  readonly changes: number;
  /** Whether more is left to do. */
  readonly hasMore: boolean;
  /** Events that gave way altogether so far. */
  readonly trimmedEvents: number;
}

const MAX_BYTES = 1.5 * 1024 * 1024;
const FILLED_SHARE = 0.95;
const DEFAULT_MAX_EVENTS = 256;
/** Bytes are to be what presses. */
const NO_EVENT_LIMIT = 65_536;
const RECORD_BYTES = 1000;
const BATCH = 16;
const NOW_MS = 1000;
const POLICIES: Readonly<Record<ReliefKind, Partial<ReliefPolicy>>> = {
  fold: { fold: "openai" },
  trim: { trimPaths: ["$.text"] },
  compress: { compresses: true },
  none: {},
};

export class ReliefScene {
  private readonly changes: ReliefChange[] = [];
  private readonly buffer: StreamBuffer;
  private readonly kind: ReliefKind;
  private events = 0;

  /**
   * @param isForTurns at the defaults, where a chat presses by its events; else steps are all there is, and
   *   the buffer holds as many events as it likes
   */
  constructor(port: SqlPort, kind: ReliefKind, isForTurns: boolean) {
    this.kind = kind;
    const isChat = kind === "fold";
    const maxEvents = isForTurns && isChat ? DEFAULT_MAX_EVENTS : NO_EVENT_LIMIT;
    this.buffer = new StreamBuffer(
      {
        store: new StreamStore(port),
        record: streamRecord({ maxEvents, maxBytes: MAX_BYTES, relief: POLICIES[kind] }),
        classify: createClassifier([]),
        onTrim: () => undefined,
        onRelief: (change) => this.changes.push(change),
        onDegraded: () => undefined,
      },
      undefined,
    );
  }

  /** One more batch of the source, written, without any relief. @returns whether there is room for more */
  fill(): boolean {
    this.buffer.append(this.batch(), NOW_MS);
    this.buffer.flush(NOW_MS);
    return this.buffer.retainedBytes < MAX_BYTES * FILLED_SHARE;
  }

  /** One step of relief. */
  step(): ReliefDone {
    this.buffer.relieve(NOW_MS);
    return this.done();
  }

  /** All that a batch of the source causes in its turn. */
  turn(): ReliefDone {
    this.buffer.append(this.batch(), NOW_MS);
    this.buffer.settle(NOW_MS);
    return this.done();
  }

  private batch(): SourceEvent[] {
    return Array.from({ length: BATCH }, () => {
      const number = ++this.events;
      const data = this.kind === "fold" ? chatData(number) : recordData(number, RECORD_BYTES);
      return { event: undefined, data, retryMs: undefined };
    });
  }

  private done(): ReliefDone {
    const changes = this.changes.splice(0);
    const sum = (of: (change: ReliefChange) => number) => changes.reduce((total, change) => total + of(change), 0);
    return {
      bytes: sum(({ olds }) => olds.reduce((total, { wireBytes }) => total + wireBytes, 0)),
      savedBytes: sum(({ savedBytes }) => savedBytes),
      changes: changes.length,
      hasMore: this.buffer.hasReliefToDo,
      trimmedEvents: this.buffer.trimmedEvents,
    };
  }
}
