/**
 * What an operator is shown of a stream: its facts in the words of the admin API. Pure.
 */
import type {
  InspectedDeadlines,
  InspectedReader,
  InspectedSettings,
  InspectedSource,
  InspectedStorage,
  StreamInspection,
} from "../../protocol/admin-streams.ts";
import { formatEventId, type EventId } from "../../protocol/event-id.ts";
import type { StreamStatus } from "../../protocol/stream-call.ts";
import type { StreamSettings } from "../../protocol/stream-settings.ts";
import type { StreamDeadlines } from "./deadlines.ts";
import type { Reader } from "./reader.ts";
import type { StreamBuffer } from "./stream-buffer.ts";
import type { StreamRecord } from "./stream-store.ts";

interface ReaderFacts {
  readonly reader: Pick<Reader, "mode" | "attachedAtMs" | "sentBytes" | "waitingMs">;
  /** Of the last event it was sent. */
  readonly position: EventId;
}

export interface InspectionFacts {
  readonly record: Pick<StreamRecord, "identity" | "settings" | "state">;
  readonly buffer: Pick<StreamBuffer, "isDegraded" | "unstoredBytes" | "oldestUnstoredAtMs" | "segmentCount">;
  readonly readers: readonly ReaderFacts[];
  readonly sourceActiveAtMs: number | undefined;
  readonly deadlines: StreamDeadlines;
  readonly status: StreamStatus;
}

export function inspectionOf(facts: InspectionFacts, nowMs: number): StreamInspection {
  const { record, status } = facts;
  return {
    status,
    tenant: record.identity.tenant,
    readers: facts.readers.map((reader) => readerOf(reader, nowMs)),
    source: sourceOf(facts, nowMs),
    storage: storageOf(facts.buffer, nowMs),
    deadlines: deadlinesOf(facts.deadlines),
    settings: settingsOf(record.settings),
  };
}

function readerOf({ reader, position }: ReaderFacts, nowMs: number): InspectedReader {
  return {
    mode: reader.mode,
    position: formatEventId(position),
    attached_at: isoOf(reader.attachedAtMs),
    age_ms: since(reader.attachedAtMs, nowMs),
    sent_bytes: reader.sentBytes,
    waiting_ms: reader.waitingMs(nowMs),
  };
}

function sourceOf({ record, sourceActiveAtMs }: InspectionFacts, nowMs: number): InspectedSource {
  const isOpen = record.state === "streaming";
  return {
    is_open: isOpen,
    last_activity_at: isoOrNull(sourceActiveAtMs),
    silent_ms: isOpen && sourceActiveAtMs !== undefined ? since(sourceActiveAtMs, nowMs) : null,
  };
}

function storageOf(buffer: InspectionFacts["buffer"], nowMs: number): InspectedStorage {
  const { isDegraded, unstoredBytes, oldestUnstoredAtMs, segmentCount } = buffer;
  const isWaiting = unstoredBytes > 0 && oldestUnstoredAtMs !== undefined;
  return {
    is_degraded: isDegraded,
    unstored_bytes: unstoredBytes,
    oldest_unstored_ms: isWaiting ? since(oldestUnstoredAtMs, nowMs) : null,
    segments: segmentCount,
  };
}

function deadlinesOf({ keepAlive, sweep, abandon, expire, archive }: StreamDeadlines): InspectedDeadlines {
  return {
    keep_alive: isoOrNull(keepAlive),
    sweep: isoOrNull(sweep),
    abandon: isoOrNull(abandon),
    expire: isoOrNull(expire),
    archive: isoOrNull(archive),
  };
}

/** Member by member: what a later version adds to the settings is not public by itself. */
function settingsOf(settings: StreamSettings): InspectedSettings {
  return {
    buffer_max_events: settings.bufferMaxEvents,
    buffer_max_bytes: settings.bufferMaxBytes,
    event_max_bytes: settings.eventMaxBytes,
    commit_interval_ms: settings.commitIntervalMs,
    state_ttl_ms: settings.stateTtlMs,
    snapshot_ttl_ms: settings.snapshotTtlMs,
    resume_ttl_ms: settings.resumeTtlMs,
    heartbeat_ms: settings.heartbeatMs,
    retry_ms: settings.retryMs,
    max_readers: settings.maxReaders,
    reader_limit_policy: settings.readerLimitPolicy,
    reader_stall_ms: settings.readerStallMs,
    reader_max_age_ms: settings.readerMaxAgeMs,
    cleanup_interval_ms: settings.cleanupIntervalMs,
    reader_buffer_bytes: settings.readerBufferBytes,
    archives: settings.archives,
  };
}

/** Never negative, also after the clock was set back. */
function since(timeMs: number, nowMs: number): number {
  return Math.max(0, nowMs - timeMs);
}

function isoOf(timeMs: number): string {
  return new Date(timeMs).toISOString();
}

function isoOrNull(timeMs: number | undefined): string | null {
  return timeMs === undefined ? null : isoOf(timeMs);
}
