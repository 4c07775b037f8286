/**
 * The archive of finished streams in R2: one object each, under the stream's id.
 */
import type { TelemetrySink } from "../protocol/telemetry.ts";
import {
  decodeArchive,
  encodeArchive,
  UnreadableArchiveError,
  type ArchivedStream,
  type PackedSegment,
} from "./stream/archive-file.ts";
import type { StreamSession } from "./stream/stream-session.ts";
import { sleep } from "../protocol/timing.ts";

interface ArchiveBucket {
  put(key: string, bytes: Uint8Array): Promise<void>;
  get(key: string): Promise<Uint8Array | undefined>;
}

/** What the archive has of a stream; why it cannot be had, telemetry has been told. */
export type ArchiveReading =
  | { readonly kind: "found"; readonly stream: ArchivedStream }
  | { readonly kind: "absent" }
  | { readonly kind: "failed" };

/** A lifecycle rule of the bucket deletes by this prefix: see docs/configuration.md. */
const PREFIX = "streams/";
const REASON_MAX_CHARS = 200;
/** What is packed in one turn, a single larger event excepted: about a millisecond. */
const TURN_MAX_BYTES = 64 * 1024;

/** One stream's, since an object has only one. */
export class StreamArchive {
  /** While the stream is being fetched: who asks for it meanwhile waits for the same. */
  reading: Promise<ArchiveReading> | undefined;
  private readonly bucket: ArchiveBucket;
  private readonly telemetry: TelemetrySink;

  constructor(bucket: ArchiveBucket, telemetry: TelemetrySink) {
    this.bucket = bucket;
    this.telemetry = telemetry;
  }

  /** Folds the stream, packs it and puts it; what became of it is noted by the session. */
  async keep(session: StreamSession, isFinal: boolean): Promise<void> {
    const begunAtMs = Date.now();
    try {
      const segments = await packAll(session);
      // Storage has lost all of it meanwhile.
      if (segments.length === 0) return;
      const file = encodeArchive(session.archivedRecord(), segments);
      await this.bucket.put(keyOf(session.identity.requestId), file);
      session.noteArchived({ segments: segments.length, bytes: file.byteLength, begunAtMs }, Date.now());
    } catch (error) {
      session.noteArchiveFailed(reasonOf(error), isFinal, Date.now());
    }
  }

  read(requestId: string): Promise<ArchiveReading> {
    this.reading ??= this.fetch(requestId).finally(() => (this.reading = undefined));
    return this.reading;
  }

  private async fetch(requestId: string): Promise<ArchiveReading> {
    try {
      const file = await this.bucket.get(keyOf(requestId));
      return file === undefined ? { kind: "absent" } : { kind: "found", stream: decodeArchive(file) };
    } catch (error) {
      const time = new Date().toISOString();
      const reason = reasonOf(error);
      this.telemetry({
        event: "SseArchiveFailed",
        action: "read",
        reason,
        is_final: false,
        request_id: requestId,
        time,
      });
      return { kind: "failed" };
    }
  }
}

async function packAll(session: StreamSession): Promise<PackedSegment[]> {
  const { archiving } = session;
  while (archiving.foldFurther(Date.now())) await sleep(0);
  let segments: PackedSegment[] = [];
  let nextSeq = 1;
  let bytes = 0;
  for (;;) {
    const packed = archiving.segmentFrom(nextSeq);
    if (packed === undefined) return segments;
    if (packed.facts.firstSeq < nextSeq) {
      segments = [];
      nextSeq = 1;
      continue;
    }
    segments.push(packed);
    nextSeq = packed.facts.lastSeq + 1;
    bytes += packed.facts.wireBytes;
    if (bytes < TURN_MAX_BYTES) continue;
    bytes = 0;
    // Readers are served in between.
    await sleep(0);
  }
}

function keyOf(requestId: string): string {
  return `${PREFIX}${requestId}`;
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return "unknown";
  // R2's messages, and those of our time limit, begin with the call; others may hold what a log must not.
  const isSafe = error instanceof UnreadableArchiveError || /^(?:put|get)\b/.test(error.message);
  return isSafe ? error.message.slice(0, REASON_MAX_CHARS) : error.name;
}
