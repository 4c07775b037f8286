/**
 * The streams of which a shard has heard: those that run, and those that ended last. Pure, and a function
 * of what was heard and in which order: a restart that hears the same again knows the same.
 *
 * Of running streams beyond its bound, the oldest are known by little more than their number of events.
 */
import { ROLLUP_LIMITS, type KnownStream } from "../../protocol/rollup.ts";
import type { StreamState } from "../../protocol/stream-call.ts";
import { countIn, seqIn, textIn, type OwnRecord } from "./rollup-record.ts";

/** Running streams beyond the bound of which at least the number of events is known. */
const FAINT_MAX = 2500;
/** One that was not heard of for so long has ended, and the word of it was lost. */
const SILENT_MAX_MS = 86_400_000;
const NOT_TOLD = "unknown";

/** By name of event: where it says how far the source has come. Never by what a client has claimed. */
const PROGRESS: Readonly<Record<string, (record: OwnRecord) => number | undefined>> = {
  SseStreamEnded: (record) => countIn(record, "events"),
  SseResumeIssued: (record) => countIn(record, "events"),
  SseReaderRemoved: (record) => countIn(record, "events"),
  SseBufferTrimmed: (record) => countIn(record, "seq"),
  SseBufferFolded: (record) => countIn(record, "seq"),
  SsePayloadTrimmed: (record) => countIn(record, "seq"),
  SseBufferCompressed: (record) => countIn(record, "seq"),
  SseResumeLiveStart: (record) => seqIn(record, "position"),
  SseSnapshotCreated: (record) => seqIn(record, "position"),
};

interface FaintStream {
  readonly events: number;
  readonly lastHeardAtMs: number;
}

/** As it is stored: without names, of which there would be more than of content. */
type StoredStream = readonly [
  requestId: string,
  route: string,
  tenant: string,
  state: StreamState,
  reason: string | null,
  startedAtMs: number,
  endedAtMs: number | null,
  lastHeardAtMs: number,
  events: number,
  trimmedEvents: number,
  foldedEvents: number,
  resumes: number,
  readers: number,
  isDegraded: 0 | 1,
];

export interface StoredStreams {
  /** In the order in which they began. */
  readonly active: readonly StoredStream[];
  readonly faint: readonly (readonly [requestId: string, events: number, lastHeardAtMs: number])[];
  /** In the order in which they ended. */
  readonly ended: readonly StoredStream[];
}

export class RollupStreams {
  private readonly active: Map<string, KnownStream>;
  private readonly faint: Map<string, FaintStream>;
  private readonly ended: Map<string, KnownStream>;

  constructor({ active, faint, ended }: StoredStreams = { active: [], faint: [], ended: [] }) {
    this.active = new Map(active.map(readStream));
    this.faint = new Map(faint.map(([id, events, lastHeardAtMs]) => [id, { events, lastHeardAtMs }]));
    this.ended = new Map(ended.map(readStream));
  }

  /** @returns source events of which nothing had been heard before */
  note(record: OwnRecord): number {
    const { requestId } = record;
    if (requestId === undefined) return 0;
    if (record.event === "SseStreamStarted") {
      this.begin(requestId, record);
      return 0;
    }
    const known = this.active.get(requestId) ?? this.faint.get(requestId);
    const told = Object.hasOwn(PROGRESS, record.event) ? PROGRESS[record.event]?.(record) : undefined;
    // Of a stream whose beginning was not heard of, or is forgotten, part may have been counted.
    const fresh = known === undefined ? 0 : Math.max(0, (told ?? 0) - known.events);
    if (record.event === "SseStreamEnded") this.end(requestId, record);
    else this.hear(requestId, record, fresh);
    return fresh;
  }

  get(requestId: string): KnownStream | undefined {
    return this.active.get(requestId) ?? this.ended.get(requestId);
  }

  /** The newest first. */
  listActive(nowMs: number): KnownStream[] {
    return [...this.active.values()].filter((stream) => !isLost(stream, nowMs)).reverse();
  }

  /** The newest first. */
  listEnded(): KnownStream[] {
    return [...this.ended.values()].reverse();
  }

  countActive(nowMs: number): number {
    const faint = [...this.faint.values()].filter((stream) => !isLost(stream, nowMs));
    return this.listActive(nowMs).length + faint.length;
  }

  store(): StoredStreams {
    return {
      active: [...this.active.values()].map(toStored),
      faint: [...this.faint].map(([id, { events, lastHeardAtMs }]) => [id, events, lastHeardAtMs]),
      ended: [...this.ended.values()].map(toStored),
    };
  }

  private begin(requestId: string, record: OwnRecord): void {
    // The same id again: an Idempotency-Key was used anew after its first stream was deleted.
    this.forget(requestId);
    dropLost(this.active, record.atMs);
    dropLost(this.faint, record.atMs);
    for (const [id, { events, lastHeardAtMs }] of oldestBeyond(this.active, ROLLUP_LIMITS.activeStreams - 1)) {
      this.active.delete(id);
      this.faint.set(id, { events, lastHeardAtMs });
    }
    for (const [id] of oldestBeyond(this.faint, FAINT_MAX)) this.faint.delete(id);
    this.active.set(requestId, newStream(requestId, record));
  }

  private hear(requestId: string, record: OwnRecord, fresh: number): void {
    const lastHeardAtMs = record.atMs;
    const active = this.active.get(requestId);
    if (active !== undefined) {
      const events = active.events + fresh;
      this.active.set(requestId, {
        ...withHeard(active, record),
        events,
        readers: countIn(record, "readers") ?? active.readers,
      });
    }
    const faint = this.faint.get(requestId);
    if (faint !== undefined) this.faint.set(requestId, { events: faint.events + fresh, lastHeardAtMs });
    const ended = this.ended.get(requestId);
    // Readers of a finished stream are told its end, and not told of as removed.
    if (ended !== undefined) this.ended.set(requestId, withHeard(ended, record));
  }

  private end(requestId: string, record: OwnRecord): void {
    const known = this.active.get(requestId) ?? newStream(requestId, record);
    const durationMs = countIn(record, "duration_ms");
    this.forget(requestId);
    for (const [id] of oldestBeyond(this.ended, ROLLUP_LIMITS.endedStreams - 1)) this.ended.delete(id);
    this.ended.set(requestId, {
      ...known,
      // Written by StreamSession, of that type.
      state: (textIn(record, "state") ?? "expired") as StreamState,
      reason: textIn(record, "reason") ?? null,
      startedAtMs: durationMs === undefined ? known.startedAtMs : record.atMs - durationMs,
      endedAtMs: record.atMs,
      lastHeardAtMs: record.atMs,
      events: Math.max(known.events, countIn(record, "events") ?? 0),
      trimmedEvents: Math.max(known.trimmedEvents, countIn(record, "trimmed_events") ?? 0),
      resumes: Math.max(known.resumes, countIn(record, "resumes") ?? 0),
      readers: 0,
    });
  }

  private forget(requestId: string): void {
    for (const streams of [this.active, this.faint, this.ended]) streams.delete(requestId);
  }
}

function newStream(requestId: string, record: OwnRecord): KnownStream {
  return {
    requestId,
    route: textIn(record, "route") ?? NOT_TOLD,
    tenant: record.tenant,
    state: "streaming",
    reason: null,
    startedAtMs: record.atMs,
    endedAtMs: undefined,
    lastHeardAtMs: record.atMs,
    events: 0,
    trimmedEvents: 0,
    foldedEvents: 0,
    resumes: 0,
    readers: 0,
    isDegraded: false,
  };
}

function withHeard(stream: KnownStream, record: OwnRecord): KnownStream {
  const heard = { ...stream, lastHeardAtMs: Math.max(stream.lastHeardAtMs, record.atMs) };
  switch (record.event) {
    case "SseBufferTrimmed":
      return { ...heard, trimmedEvents: stream.trimmedEvents + (countIn(record, "events") ?? 0) };
    case "SseBufferFolded":
      return { ...heard, foldedEvents: stream.foldedEvents + (countIn(record, "folded") ?? 0) };
    case "SseResumeSuccess":
      return { ...heard, resumes: stream.resumes + 1 };
    case "SseDegraded":
      return textIn(record, "kind") === "storage" ? { ...heard, isDegraded: record.fields["is_over"] !== true } : heard;
    default:
      return heard;
  }
}

function isLost({ lastHeardAtMs }: FaintStream, nowMs: number): boolean {
  return nowMs - lastHeardAtMs > SILENT_MAX_MS;
}

/** Only from the front, where the oldest are: the others wait for their turn, and are not listed meanwhile. */
function dropLost(streams: Map<string, FaintStream>, nowMs: number): void {
  for (const [id, stream] of streams) {
    if (!isLost(stream, nowMs)) return;
    streams.delete(id);
  }
}

/** Whoever walks through them may take them out. */
function* oldestBeyond<T>(streams: ReadonlyMap<string, T>, max: number): IterableIterator<[string, T]> {
  let excess = streams.size - max;
  for (const entry of streams) {
    if (excess-- <= 0) return;
    yield entry;
  }
}

function toStored(stream: KnownStream): StoredStream {
  return [
    stream.requestId,
    stream.route,
    stream.tenant,
    stream.state,
    stream.reason,
    stream.startedAtMs,
    stream.endedAtMs ?? null,
    stream.lastHeardAtMs,
    stream.events,
    stream.trimmedEvents,
    stream.foldedEvents,
    stream.resumes,
    stream.readers,
    stream.isDegraded ? 1 : 0,
  ];
}

function readStream(stored: StoredStream): [string, KnownStream] {
  const [requestId, route, tenant, state, reason, startedAtMs, endedAtMs, lastHeardAtMs, ...counts] = stored;
  const [events, trimmedEvents, foldedEvents, resumes, readers, isDegraded] = counts;
  const names = { requestId, route, tenant, state, reason };
  const times = { startedAtMs, endedAtMs: endedAtMs ?? undefined, lastHeardAtMs };
  const tallies = { events, trimmedEvents, foldedEvents, resumes, readers, isDegraded: isDegraded === 1 };
  return [requestId, { ...names, ...times, ...tallies }];
}
