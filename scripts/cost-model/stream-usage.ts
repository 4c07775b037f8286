/**
 * What one stream uses, counted from how the code behaves. Pure: no clock, no storage, no prices.
 *
 * test/workerd/row-costs.test.ts lets real streams run on real storage and holds these counts against
 * what SQLite says.
 */
import { KEEP_ALIVE_MS, SEGMENT_MAX_BYTES } from "../../protocol/limits.ts";
import { eventFrame } from "../../protocol/sse-frame.ts";
import { canFold, foldedRows, pressedEvents, type Packing, type SegmentRows } from "./fold-rows.ts";
import type { StreamShape } from "./stream-shape.ts";

interface RowsWritten {
  /** Two tables, two rows each. */
  readonly tables: number;
  /** The stream's record: at its start, at its end, and when it lies in the archive. */
  readonly records: number;
  /** In the place of one that was evicted, where there is one. */
  readonly segments: number;
  /** Folded runs, in the place of segments. */
  readonly folds: number;
  /** Rows that gave way where fewer were written in the same commit: what folds were made of. */
  readonly deletes: number;
  /** Segments written once more, when the stream is brought back from the archive. */
  readonly broughtBack: number;
  readonly alarms: number;
  /** `deleteAll()`: taken for one. */
  readonly clearing: number;
}

export interface StreamUsage {
  readonly events: number;
  readonly rows: RowsWritten;
  readonly rowsWritten: number;
  readonly rowsRead: number;
  readonly alarmRuns: number;
  /** How long the object is billed for. */
  readonly objectSec: number;
  readonly workerRequests: number;
  readonly objectRequests: number;
  /** Bytes kept in SQLite, times the seconds that they are kept. */
  readonly storedByteSec: number;
  readonly archive: { readonly puts: number; readonly gets: number; readonly storedByteSec: number };
  readonly telemetry: TelemetryUsage;
}

/** What the stream's telemetry uses on its way into the lake. */
interface TelemetryUsage {
  readonly events: number;
  /** Calls to a shard. */
  readonly handOvers: number;
  readonly rowsWritten: number;
  readonly objectRequests: number;
  readonly puts: number;
  readonly gets: number;
}

const TABLE_ROWS = 4;
const RECORD_ROWS = 2;
const CLEARING_ROWS = 1;
/** A wake reads whether there is a stream, its record, and each segment's metadata. */
const WAKE_ROWS_READ = 2;
/** SQLite without a row in it, by the platform's FAQ. */
const EMPTY_DATABASE_BYTES = 12_000;
/** Telemetry is gathered for so long before it is handed over; that timer is the last to keep the object. */
const GATHER_SEC = 1;
/** From storage, and what is due done: generous. */
const WAKE_SEC = 0.05;
/** A connected reader gets a fresh token after this part of its token's life. */
const TOKEN_REFRESH_FRACTION = 0.45;
/** What gives way is told of at once, then summed up for so long, and once more at the end. */
const RELIEF_GATHER_SEC = 10;
/** Started, token issued; ended. */
const TOLD_OF_LIFE = { events: 3, handOvers: 2 };
/** Attempt, success, token issued, live again; gone. */
const TOLD_OF_RESUME = { events: 5, handOvers: 2 };
/** Attempt, success, token issued; the end follows at once. */
const TOLD_OF_LATE_RESUME = { events: 3, handOvers: 1 };
/** Set when the object wakes, for the sweep, and again for the end of life. */
const ALARMS_OF_LATE_RESUME = { set: 3, goneOff: 1 };
/** An append in its shard: written, emptied when it is in the table, deleted when it leaves the window. */
const ROWS_PER_HAND_OVER = 3;
/** A flush and the commit of its file: the shard's record and batch, the table's staging, both alarms. About. */
const FLUSH = { rows: 20, requests: 4, puts: 5, gets: 2 };

const SEC_PER_DAY = 86_400;
const MS_PER_SEC = 1000;

export function usageOf(shape: StreamShape): StreamUsage {
  const { events } = packingOf(shape);
  const segmentRows = segmentRowsOf(shape);
  const { rows, retainedRows } = rowsOf(shape, segmentRows);
  const { lateResumes, isArchived } = shape;
  const returns = shape.readers - 1 + shape.resumes + lateResumes;
  const fromArchive = isArchived ? lateResumes : 0;
  const alarmRuns = lifeAlarms(shape) + lateResumes * ALARMS_OF_LATE_RESUME.goneOff + fromArchive;
  // The end of life, and the keep-alive that outlives the stream: the way into the archive comes before that.
  const wakes = (isArchived ? 1 : 2) + lateResumes * (1 + ALARMS_OF_LATE_RESUME.goneOff) + fromArchive;
  const retainedBytes = retainedEvents(shape) * frameBytes(shape);
  const lifeSec = shape.durationSec + shape.snapshotTtlSec * (1 + fromArchive);
  return {
    events,
    rows,
    alarmRuns,
    rowsWritten: Object.values(rows).reduce((sum, count) => sum + count, 0),
    rowsRead: wakes * (WAKE_ROWS_READ + retainedRows) + returns * retainedRows,
    objectSec: shape.durationSec + (1 + lateResumes) * GATHER_SEC + wakes * WAKE_SEC + (1 + wakes) * shape.idleSec,
    workerRequests: 1 + returns,
    objectRequests: 1 + returns + alarmRuns,
    storedByteSec: (EMPTY_DATABASE_BYTES + retainedBytes) * lifeSec,
    archive: {
      puts: isArchived ? 1 : 0,
      gets: fromArchive,
      storedByteSec: isArchived ? retainedBytes * shape.archiveRatio * shape.archiveDays * SEC_PER_DAY : 0,
    },
    telemetry: telemetryOf(shape, segmentRows),
  };
}

/** The same stream, were each event a row of its own, deleted when it gives way. */
export function rowsWithRowPerEvent(shape: StreamShape): number {
  const { events, rows, rowsWritten } = usageOf({ ...shape, isFolded: false });
  const retained = retainedEvents(shape);
  const fromArchive = shape.isArchived ? shape.lateResumes : 0;
  const segments = rows.segments + rows.broughtBack;
  return rowsWritten - segments + events + (events - retained) + fromArchive * retained;
}

/**
 * A row is written when a commit interval has passed since its first event, or when the next event would
 * not fit: whichever comes first.
 */
export function eventsPerRow(shape: StreamShape): number {
  const bySize = Math.floor(SEGMENT_MAX_BYTES / frameBytes(shape));
  const byTime = Math.floor((shape.commitIntervalMs / MS_PER_SEC) * shape.eventsPerSec) + 1;
  return Math.max(1, Math.min(bySize, byTime));
}

function packingOf(shape: StreamShape): Packing {
  return { events: eventsOf(shape), frameBytes: frameBytes(shape), eventsPerRow: eventsPerRow(shape) };
}

function eventsOf({ durationSec, eventsPerSec }: StreamShape): number {
  return Math.floor(durationSec * eventsPerSec);
}

/** On the wire, and in a row: the data, the id in the middle of the stream, the field names. */
function frameBytes(shape: StreamShape): number {
  const seq = Math.max(1, eventsOf(shape) >>> 1);
  return eventFrame({ epoch: 1, seq }, { event: undefined, data: "", retryMs: undefined }).length + shape.dataBytes;
}

function rowsOf(
  shape: StreamShape,
  { segments, folds, deletes }: SegmentRows,
): { rows: RowsWritten; retainedRows: number } {
  const { events, eventsPerRow: perRow } = packingOf(shape);
  const fromArchive = shape.isArchived ? shape.lateResumes : 0;
  const evictedRows = folds > 0 ? 0 : Math.floor((events - retainedEvents(shape)) / perRow);
  const retainedRows = segments - deletes - evictedRows;
  return {
    retainedRows,
    rows: {
      tables: TABLE_ROWS * (1 + fromArchive),
      records: RECORD_ROWS + (shape.isArchived ? 1 : 0) + fromArchive,
      // The last reader's leaving writes what waits, if anything does.
      segments: Math.min(segments + shape.resumes, Math.max(events, segments)),
      folds,
      deletes,
      broughtBack: fromArchive * retainedRows,
      // Into the archive by an alarm at once.
      alarms: lifeAlarms(shape) + (shape.isArchived ? 1 : 0) + shape.lateResumes * ALARMS_OF_LATE_RESUME.set,
      clearing: CLEARING_ROWS * (1 + fromArchive),
    },
  };
}

/** Rows that are evicted are written over, one for one: nothing is deleted, and each event gives way to the next. */
function segmentRowsOf(shape: StreamShape): SegmentRows {
  const packing = packingOf(shape);
  if (canFold(shape, packing)) return foldedRows(shape, packing);
  return { segments: Math.ceil(packing.events / packing.eventsPerRow), folds: 0, deletes: 0, eventsPerStep: 1 };
}

function retainedEvents(shape: StreamShape): number {
  const byBytes = Math.floor(shape.bufferMaxBytes / frameBytes(shape));
  return Math.min(eventsOf(shape), shape.bufferMaxEvents, byBytes);
}

/** Set at the start, again each time it goes off, and for the end of life. */
function lifeAlarms({ durationSec }: StreamShape): number {
  return Math.ceil(durationSec / (KEEP_ALIVE_MS / MS_PER_SEC)) + 1;
}

function telemetryOf(shape: StreamShape, segmentRows: SegmentRows): TelemetryUsage {
  const { lateResumes } = shape;
  const returns = shape.readers - 1 + shape.resumes;
  const refreshes = Math.floor(shape.durationSec / (shape.resumeTtlSec * TOKEN_REFRESH_FRACTION));
  const relief = reliefReports(shape, segmentRows);
  // Archived; read from there.
  const ofArchive = shape.isArchived ? 1 + lateResumes : 0;
  const told =
    TOLD_OF_LIFE.events +
    returns * TOLD_OF_RESUME.events +
    lateResumes * TOLD_OF_LATE_RESUME.events +
    refreshes * shape.readers +
    relief.events +
    ofArchive;
  const handOvers =
    TOLD_OF_LIFE.handOvers +
    returns * TOLD_OF_RESUME.handOvers +
    lateResumes * TOLD_OF_LATE_RESUME.handOvers +
    refreshes +
    relief.handOvers;
  const flushes = told / shape.lakeFlushEvents;
  return {
    events: told,
    handOvers,
    rowsWritten: handOvers * ROWS_PER_HAND_OVER + flushes * FLUSH.rows,
    objectRequests: handOvers + flushes * FLUSH.requests,
    puts: flushes * FLUSH.puts,
    gets: flushes * FLUSH.gets,
  };
}

/** Of a full buffer: what was evicted or folded. */
function reliefReports(shape: StreamShape, { eventsPerStep }: SegmentRows): { events: number; handOvers: number } {
  const packing = packingOf(shape);
  const isFolded = canFold(shape, packing);
  const keptEvents = isFolded ? pressedEvents(shape, packing) - 1 : retainedEvents(shape);
  const fullEvents = packing.events - keptEvents;
  // Folded for the archive alone: told of with the end.
  if (fullEvents <= 0) return { events: isFolded && shape.isArchived ? 1 : 0, handOvers: 0 };
  const occasions = 1 + Math.floor((fullEvents - 1) / eventsPerStep);
  const gathered = Math.ceil((RELIEF_GATHER_SEC * shape.eventsPerSec) / eventsPerStep);
  const atOnce = Math.ceil(occasions / gathered);
  // What came since goes with the end.
  const isAnyLeft = (occasions - 1) % gathered > 0;
  return { events: atOnce + (isAnyLeft ? 1 : 0), handOvers: atOnce };
}
