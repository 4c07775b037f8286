/**
 * When what is due in a stream's life: from what it was last seen to do, and its settings. Says when, and
 * does nothing.
 */
import { KEEP_ALIVE_MS } from "../../protocol/limits.ts";
import { isFinished } from "./state-machine.ts";
import type { StreamRecord } from "./stream-store.ts";

/** Wall-clock times, each by the name of what is then due. */
export interface StreamDeadlines {
  /** While a source is read: being woken is what keeps the object in memory. */
  readonly keepAlive: number | undefined;
  readonly sweep: number | undefined;
  /** An unfinished stream that nobody feeds and nobody reads. */
  readonly abandon: number | undefined;
  /** A finished stream's end of life. */
  readonly expire: number | undefined;
  /** A finished stream's way into the archive, where it is to go there. */
  readonly archive: number | undefined;
}

/** What they depend on that others know. */
export interface DeadlineFacts {
  readonly hasReaders: boolean;
  /** Readers, or connections of such as are leaving. */
  readonly hasConnections: boolean;
  readonly archiveAtMs: number | undefined;
}

export class Deadlines {
  private readonly record: StreamRecord;
  /** Source or reader: whoever of them is there keeps the stream from being abandoned. */
  private lastActiveAtMs: number;
  private keepAliveAtMs: number;
  private sweepAtMs: number | undefined;
  /** When the source last sent something; `undefined` where this life of the object has not heard of it. */
  sourceActiveAtMs: number | undefined;

  constructor(record: StreamRecord, nowMs: number) {
    this.record = record;
    this.lastActiveAtMs = nowMs;
    this.keepAliveAtMs = nowMs + KEEP_ALIVE_MS;
  }

  noteSourceActivity(nowMs: number): void {
    this.lastActiveAtMs = nowMs;
    this.sourceActiveAtMs = nowMs;
  }

  /** A reader has come, or tried to. */
  noteReader(nowMs: number): void {
    this.lastActiveAtMs = nowMs;
    this.sweepAtMs ??= this.firstSweepAtMs(nowMs);
  }

  /** The last reader has gone. */
  noteNoReaders(nowMs: number): void {
    this.lastActiveAtMs = nowMs;
  }

  noteKeptAlive(nowMs: number): void {
    this.keepAliveAtMs = nowMs + KEEP_ALIVE_MS;
  }

  noteSwept(nowMs: number): void {
    this.sweepAtMs = nowMs + this.record.settings.cleanupIntervalMs;
  }

  all({ hasReaders, hasConnections, archiveAtMs }: DeadlineFacts): StreamDeadlines {
    const { settings, endedAtMs, broughtBackAtMs } = this.record;
    return {
      keepAlive: this.isFinished ? undefined : this.keepAliveAtMs,
      sweep: hasConnections ? this.sweepAtMs : undefined,
      abandon: this.isFinished || hasReaders ? undefined : this.lastActiveAtMs + settings.stateTtlMs,
      expire: endedAtMs === undefined ? undefined : Math.max(endedAtMs, broughtBackAtMs ?? 0) + settings.snapshotTtlMs,
      archive: archiveAtMs,
    };
  }

  private get isFinished(): boolean {
    return isFinished(this.record.state);
  }

  /** With the keep-alive where that comes in time: every alarm is paid for. */
  private firstSweepAtMs(nowMs: number): number {
    const dueAtMs = nowMs + this.record.settings.cleanupIntervalMs;
    const { keepAliveAtMs } = this;
    return !this.isFinished && keepAliveAtMs > nowMs && keepAliveAtMs <= dueAtMs ? keepAliveAtMs : dueAtMs;
  }
}

export function isDue(deadlineMs: number | undefined, nowMs: number): boolean {
  return deadlineMs !== undefined && deadlineMs <= nowMs;
}
