/**
 * Reads a source to its end: whether or not anybody listens, at the pace of the fastest reader that
 * takes bytes, and never waiting for ever.
 */
import { SEGMENT_MAX_BYTES, TURN_MAX_EVENTS } from "../../protocol/limits.ts";
import type { EndReason } from "../../protocol/control-events.ts";
import type { SourceEvent } from "../../protocol/sse-frame.ts";
import { SourceParser } from "./source-parser.ts";

export type SourceOutcome =
  | { readonly move: "completed"; readonly trailingRetryMs: number | undefined }
  | { readonly move: "failed"; readonly reason: EndReason };

export interface PumpOptions {
  readonly eventMaxBytes: number;
  readonly idleTimeoutMs: number;
  readonly clock: () => number;
  readonly onEvents: (events: readonly SourceEvent[]) => void;
  /** The source sent something, if only a comment. */
  readonly onActivity: () => void;
  /** Resolves when the source may be read on; at once where nobody holds it back. */
  readonly pace: () => Promise<void> | undefined;
}

interface ByteSource {
  read(): Promise<{ done: boolean; value?: Uint8Array | undefined }>;
  cancel(): Promise<void>;
}

/** A default reader of a network body gets at most 4 KiB at a time, one with a buffer of its own what fits. */
function openSource(body: ReadableStream<Uint8Array>): ByteSource {
  try {
    const reader = body.getReader({ mode: "byob" });
    return { read: () => reader.read(new Uint8Array(SEGMENT_MAX_BYTES)), cancel: () => reader.cancel() };
  } catch {
    // Not a byte stream: its chunks are as large as their maker made them.
    const reader = body.getReader();
    return { read: () => reader.read(), cancel: () => reader.cancel() };
  }
}

export class SourcePump {
  private readonly source: ByteSource;
  private readonly parser: SourceParser;
  private failure: EndReason | undefined;
  private isStopped = false;
  private lastByteAtMs: number;
  private idleTimer: ReturnType<typeof setTimeout> | null = null;

  private readonly options: PumpOptions;

  constructor(body: ReadableStream<Uint8Array>, options: PumpOptions) {
    this.options = options;

    this.source = openSource(body);
    this.parser = new SourceParser(options.eventMaxBytes);
    this.lastByteAtMs = options.clock();
  }

  /**
   * Reads until the source ends, fails, stalls or is stopped.
   *
   * @returns the outcome; `undefined` when {@link stop} ended it
   */
  async run(): Promise<SourceOutcome | undefined> {
    this.watchIdle();
    try {
      for (;;) {
        const chunk = await this.nextChunk();
        if (this.isStopped) return undefined;
        if (this.failure !== undefined) return { move: "failed", reason: this.failure };
        if (chunk === undefined) return { move: "completed", trailingRetryMs: this.parser.trailingRetryMs };
        this.lastByteAtMs = this.options.clock();
        this.options.onActivity();
        await this.take(chunk);
        if (this.parser.isOverflown) return this.fail("event_too_large");
      }
    } finally {
      if (this.idleTimer !== null) clearTimeout(this.idleTimer);
    }
  }

  /** Lets go of the source: the stream was cancelled or abandoned. */
  stop(): void {
    this.isStopped = true;
    this.cancel();
  }

  /** @returns `undefined` at the end; a broken connection shows in `failure` */
  private async nextChunk(): Promise<Uint8Array | undefined> {
    try {
      const { done, value } = await this.source.read();
      return done ? undefined : value;
    } catch {
      // Whatever the network calls it, the source is gone.
      this.failure ??= "upstream_reset";
      return undefined;
    }
  }

  /** In bites of a segment, so that one huge chunk does not pass through the buffer in one turn. */
  private async take(chunk: Uint8Array): Promise<void> {
    for (let at = 0; at < chunk.byteLength; at += SEGMENT_MAX_BYTES) {
      const events = this.parser.feed(chunk.subarray(at, at + SEGMENT_MAX_BYTES));
      await this.hand(events);
      if (this.isStopped || this.parser.isOverflown) return;
    }
  }

  /** A few at a time: what a reader that has become full does not take must still be retained. */
  private async hand(events: readonly SourceEvent[]): Promise<void> {
    for (let at = 0; at < events.length; at += TURN_MAX_EVENTS) {
      this.options.onEvents(events.slice(at, at + TURN_MAX_EVENTS));
      const paced = this.options.pace();
      if (paced === undefined) continue;
      await paced;
      if (this.isStopped) return;
      // Held back by us, the source was not silent.
      this.lastByteAtMs = this.options.clock();
    }
  }

  private fail(reason: EndReason): SourceOutcome {
    this.failure = reason;
    this.cancel();
    return { move: "failed", reason };
  }

  private watchIdle(): void {
    const { idleTimeoutMs, clock } = this.options;
    const waitMs = this.lastByteAtMs + idleTimeoutMs - clock();
    if (waitMs <= 0) {
      this.fail("upstream_stalled");
      return;
    }
    this.idleTimer = setTimeout(() => this.watchIdle(), waitMs);
  }

  private cancel(): void {
    // The source may have failed already, and then has nothing to cancel.
    this.source.cancel().catch(() => undefined);
  }
}
