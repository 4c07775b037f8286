/**
 * What operators may see of streams and do to them: brings together what a stream's object says, what the
 * shards were told of it, and the lake. Not for readers: their calls carry tokens, see routes/streams.ts.
 */
import type { AdminFlushReport } from "../protocol/admin-report.ts";
import type {
  AdminStreamList,
  AdminStreamReport,
  FlushedStream,
  StreamHandOver,
  StreamInspection,
  StreamList,
  TimelineStep,
} from "../protocol/admin-streams.ts";
import type { SpillwayError } from "../protocol/errors.ts";
import type { KnownStream, TimelineEntry } from "../protocol/rollup.ts";
import { shardOf } from "../protocol/shard-choice.ts";
import type { Result, StreamStatus } from "../protocol/stream-call.ts";
import type { KnownStreams, StreamHistory } from "./known-streams.ts";
import {
  candidatesFor,
  isWorthAsking,
  listOf,
  summaryOfSeen,
  type ObjectAnswer,
  type SeenStream,
} from "./stream-lists.ts";

/** Most stream objects that one list asks: each may have to be woken for it. */
export const ASKED_MAX = 100;
const ASKED_AT_ONCE = 25;
const LIST_TIMEOUT_MS = 2000;
const INSPECT_TIMEOUT_MS = 5000;
const NOT_FOUND: SpillwayError = { code: "stream_not_found" };

/** The streams' own objects, as they are asked here. */
interface AskedStreams {
  inspect(requestId: string, timeoutMs: number): Promise<Result<StreamInspection | undefined>>;
  cancelByOperator(requestId: string): Promise<Result<StreamStatus | undefined>>;
  handOver(requestId: string): Promise<Result<StreamHandOver | undefined>>;
  objectId(requestId: string): string;
}

export interface StreamAdminDeps {
  readonly streams: AskedStreams;
  readonly known: Pick<KnownStreams, "all" | "history">;
  readonly lake: { flushShards(indexes: readonly number[]): Promise<AdminFlushReport> };
  readonly shards: number;
  readonly clock: () => number;
}

export type StreamFlushReport = AdminFlushReport & { readonly stream: FlushedStream | null };

export class StreamAdmin {
  private readonly deps: StreamAdminDeps;

  constructor(deps: StreamAdminDeps) {
    this.deps = deps;
  }

  async list(state: StreamList, limit: number): Promise<AdminStreamList> {
    const { known, clock } = this.deps;
    // In the others, some will turn out not to belong.
    const wanted = state === "recent" ? limit : ASKED_MAX;
    const shortlist = (streams: readonly KnownStream[]) => candidatesFor(state, streams, clock()).slice(0, wanted);
    const { streams, missing } = await known.all(shortlist);
    const seen = await this.askAll(shortlist(streams));
    const nowMs = clock();
    return {
      state,
      at: new Date(nowMs).toISOString(),
      streams: listOf(state, seen, nowMs).slice(0, limit),
      missing_shards: missing,
    };
  }

  async report(requestId: string): Promise<Result<AdminStreamReport>> {
    const { streams, known, clock } = this.deps;
    const [inspected, history] = await Promise.all([
      streams.inspect(requestId, INSPECT_TIMEOUT_MS),
      known.history(requestId, streams.objectId(requestId)),
    ]);
    if (!inspected.ok) return inspected;
    const timeline = { timeline: history.timeline.map(stepOf), timeline_error: errorOf(history) };
    if (inspected.value !== undefined) return { ok: true, value: { ...inspected.value, ...timeline } };
    if (history.known === undefined && history.timeline.length === 0)
      return { ok: false, error: unknownStream(history) };
    const answer = { kind: "holds_nothing" } as const;
    const summary = history.known === undefined ? null : summaryOfSeen({ known: history.known, answer }, clock());
    return { ok: true, value: { status: null, summary, ...timeline } };
  }

  /** Ends it for all its readers; one that has ended stays as it is. */
  async cancel(requestId: string): Promise<Result<StreamStatus>> {
    const cancelled = await this.deps.streams.cancelByOperator(requestId);
    if (!cancelled.ok) return cancelled;
    const { value } = cancelled;
    return value === undefined ? { ok: false, error: NOT_FOUND } : { ok: true, value };
  }

  /** Brings everything of one stream into the table: from the stream to its shard, and from there. */
  async flush(requestId: string): Promise<StreamFlushReport> {
    const { streams, lake, shards } = this.deps;
    const stream = flushedOf(requestId, await streams.handOver(requestId));
    // Also without a stream: what it told in its life may still be in the shard.
    const report = await lake.flushShards([shardOf([streams.objectId(requestId)], shards)]);
    const isWhole = stream === null || (stream.stored && stream.error === null);
    return { ...report, ok: report.ok && isWhole, stream };
  }

  private async askAll(considered: readonly KnownStream[]): Promise<SeenStream[]> {
    const seen: SeenStream[] = [];
    for (let at = 0; at < considered.length; at += ASKED_AT_ONCE) {
      const turn = considered.slice(at, at + ASKED_AT_ONCE);
      const answers = await Promise.all(turn.map(async (known) => ({ known, answer: await this.ask(known) })));
      seen.push(...answers);
    }
    return seen;
  }

  private async ask(known: KnownStream): Promise<ObjectAnswer> {
    if (!isWorthAsking(known)) return { kind: "none" };
    const answer = await this.deps.streams.inspect(known.requestId, LIST_TIMEOUT_MS);
    if (!answer.ok) return { kind: "none" };
    return answer.value === undefined ? { kind: "holds_nothing" } : { kind: "holds", inspection: answer.value };
  }
}

function flushedOf(requestId: string, answer: Result<StreamHandOver | undefined>): FlushedStream | null {
  const nothing = { request_id: requestId, stored: false, telemetry_events: 0 };
  if (!answer.ok) return { ...nothing, error: "the stream's object cannot be reached" };
  if (answer.value === undefined) return null;
  const { isStored, telemetryEvents } = answer.value;
  return { request_id: requestId, stored: isStored, telemetry_events: telemetryEvents, error: null };
}

function stepOf({ atMs, event, fields }: TimelineEntry): TimelineStep {
  return { at: new Date(atMs).toISOString(), event, ...fields };
}

function errorOf({ missing }: StreamHistory): string | null {
  return missing.length === 0 ? null : `cannot be asked: ${missing.join(", ")}`;
}

/** That nobody knows it can only be said where all were asked. */
function unknownStream({ missing }: StreamHistory): SpillwayError {
  return missing.length === 0 ? NOT_FOUND : { code: "storage_unavailable", retryAfterSec: 2 };
}
