/**
 * What each part of the service has to do for a workload, and what share of what it can do that is. Closed
 * forms only: what waits in which queue is waits.ts's and storms.ts's to say. Pure.
 */
import { usageOf } from "../cost-model/stream-usage.ts";
import type { Figures } from "./figures.ts";
import { flushRhythm, type ShardTraffic } from "./simulated-shard.ts";
import { shapeOf, type Workload } from "./workload.ts";

const MS_PER_SEC = 1000;
const US_PER_SEC = 1_000_000;
const SEC_PER_DAY = 86_400;
const BYTES_PER_MB = 1_000_000;
const KIB = 1024;
const MERGE_OF_TWO_CALLS = 3;
/** Keys that the bucket tells of at a time. */
const LISTED_A_CALL = 1000;

type Reading = ReturnType<typeof readingOf>;

/** Of all deployments together, unless it says otherwise. */
export interface ServiceLoad {
  readonly workload: Workload;
  readonly workers: { readonly requestsPerSec: number };
  readonly streams: {
    readonly startsPerSec: number;
    readonly eventsPerSec: number;
    readonly rowsPerSec: number;
    /** CPU of one stream, ms for each second that it lives. */
    readonly cpuMsPerSec: number;
    /** Threads that are wholly used by all streams. */
    readonly threads: number;
    readonly kibPerStream: number;
    /** By memory alone. */
    readonly perIsolate: number;
  };
  /** One shard. */
  readonly shard: {
    readonly traffic: ShardTraffic;
    readonly handOversPerSec: number;
    readonly eventsPerSec: number;
    /** Of the object's soft limit. */
    readonly requestShare: number;
    readonly cpuShare: number;
    /** Whether more is handed over than it takes: telemetry is dropped. */
    readonly isOverrun: boolean;
    readonly flushesPerSec: number;
    readonly rowsPerFile: number;
  };
  /** One deployment's table; nothing of it where events go to a pipeline. */
  readonly table: TableLoad | undefined;
  /** One deployment. */
  readonly monitor: { readonly callsPerLook: number; readonly callsPerSec: number };
  /** One deployment's pipeline. */
  readonly pipeline: { readonly mbPerSec: number } | undefined;
}

interface TableLoad {
  readonly stagesPerSec: number;
  readonly requestShare: number;
  readonly filesPerCommit: number;
  readonly commitsPerInterval: number;
  /** From its begin until the table has it. */
  readonly commitMs: number;
  readonly commitCpuMs: number;
  /** Share of the time that a commit is under way. */
  readonly busyShare: number;
  /** Writes a second of the hint, the one key that every commit writes. */
  readonly hintWritesPerSec: number;
  readonly filesPerDay: number;
  readonly bytesPerDay: number;
  /** Maintenance of the embedded catalog; nothing of it where the catalog does that. */
  readonly maintenance: MaintenanceLoad | undefined;
}

interface MaintenanceLoad {
  /** Small files that a day makes, and that a day's runs take. */
  readonly smallFilesPerDay: number;
  readonly compactedPerDay: number;
  /** What a day leaves behind, small or not. */
  readonly netFilesPerDay: number;
  /** In the table by then: all of a day leaves a little more. */
  readonly tableFiles: number;
  /** Of one run of compaction, which is one alarm; nothing where there is nothing to compact. */
  readonly runCpuSec: number;
  readonly runCalls: number;
  /** During which nothing is committed. */
  readonly runSec: number;
  /** Of one sweep, which is one alarm. */
  readonly sweepCpuSec: number;
  readonly sweepCalls: number;
  readonly sweepMb: number;
}

/**
 * What one stream asks of its thread, a second. An event is one job for all readers of it, a start and its end are one;
 * readers beyond the first come as ones that resume do.
 */
export function streamJobs({ eventsPerSec, readers, resumes, streamSec }: Workload, figures: Figures) {
  return [
    { perSec: eventsPerSec, serviceSec: (readers * figures.eventCpuUs) / US_PER_SEC },
    { perSec: 1 / streamSec, serviceSec: figures.streamCpuMs / MS_PER_SEC },
    { perSec: (resumes + readers - 1) / streamSec, serviceSec: figures.resumeCpuMs / MS_PER_SEC },
  ];
}

/** Of a shard's time for one hand-over, its part of a flush included: what its CPU needs, or the soft limit allows. */
export function handOverSec(figures: Figures): number {
  return Math.max(figures.handOverCpuUs / US_PER_SEC, 1 / figures.objectRequestsPerSec);
}

export function loadOf(workload: Workload, figures: Figures): ServiceLoad {
  const usage = usageOf(shapeOf(workload));
  const { streams: count, streamSec, eventsPerSec, deployments, shards } = workload;
  const startsPerSec = count / streamSec;
  const handOversPerSec = (startsPerSec * usage.telemetry.handOvers) / deployments / shards;
  const traffic: ShardTraffic = {
    handOversPerSec,
    events: usage.telemetry.events / usage.telemetry.handOvers,
    flushEvents: workload.flushEvents,
    flushAgeSec: workload.flushAgeMs / MS_PER_SEC,
    ownEvents: figures.ownEventsPerFlush,
  };
  const rhythm = flushRhythm(traffic);
  const cpuMsPerSec =
    streamJobs(workload, figures).reduce((sum, { perSec, serviceSec }) => sum + perSec * serviceSec, 0) * MS_PER_SEC;
  const kibPerStream = figures.objectKib + figures.fullBufferKib;
  const told = handOversPerSec * traffic.events;
  return {
    workload,
    workers: { requestsPerSec: startsPerSec * usage.workerRequests },
    streams: {
      startsPerSec,
      eventsPerSec: count * eventsPerSec,
      rowsPerSec: startsPerSec * usage.rowsWritten,
      cpuMsPerSec,
      threads: (count * cpuMsPerSec) / MS_PER_SEC,
      kibPerStream,
      perIsolate: Math.floor((figures.isolateMb * BYTES_PER_MB) / (kibPerStream * KIB)),
    },
    shard: {
      traffic,
      handOversPerSec,
      eventsPerSec: told,
      requestShare: handOversPerSec / figures.objectRequestsPerSec,
      cpuShare: (handOversPerSec * figures.handOverCpuUs) / US_PER_SEC,
      isOverrun: handOversPerSec * handOverSec(figures) >= 1,
      flushesPerSec: rhythm.perSec,
      rowsPerFile: rhythm.rowsPerFile,
    },
    table: workload.isPiped ? undefined : tableLoad(workload, figures, rhythm),
    monitor: monitorLoad(workload, figures),
    pipeline: workload.isPiped ? { mbPerSec: (told * shards * figures.jsonEventBytes) / BYTES_PER_MB } : undefined,
  };
}

function tableLoad(
  workload: Workload,
  figures: Figures,
  { perSec, rowsPerFile }: { readonly perSec: number; readonly rowsPerFile: number },
): TableLoad {
  const stagesPerSec = perSec * workload.shards;
  const filesPerDay = stagesPerSec * SEC_PER_DAY;
  const maintenance = workload.isForeignCatalog
    ? undefined
    : maintenanceLoad(filesPerDay, rowsPerFile, workload, figures);
  // Nothing staged, nothing to commit: the first file waits for no interval.
  const intervalSec = Math.max(workload.commitIntervalMs / MS_PER_SEC, 1 / stagesPerSec);
  const filesPerInterval = Math.max(1, stagesPerSec * intervalSec);
  const commitsPerInterval = Math.ceil(filesPerInterval / figures.batchesPerCommit);
  const filesPerCommit = filesPerInterval / commitsPerInterval;
  const tableFiles = maintenance?.tableFiles ?? filesPerDay * workload.tableDays;
  const merging = mergingOf(filesPerCommit, tableFiles, figures);
  const commitCpuMs =
    figures.commitCpuMs +
    (filesPerCommit * figures.commitFileCpuUs + merging.entries * figures.mergeEntryCpuUs) / MS_PER_SEC;
  const commitMs = commitCpuMs + (figures.commitBucketCalls + merging.bucketCalls) * figures.bucketMs;
  return {
    stagesPerSec,
    requestShare: stagesPerSec / figures.objectRequestsPerSec,
    filesPerCommit,
    commitsPerInterval,
    commitMs,
    commitCpuMs,
    busyShare: (commitMs * commitsPerInterval) / MS_PER_SEC / intervalSec,
    // Commits of one run follow each other as fast as they can.
    hintWritesPerSec: commitsPerInterval > 1 ? MS_PER_SEC / commitMs : commitsPerInterval / intervalSec,
    filesPerDay,
    bytesPerDay: filesPerDay * rowsPerFile * figures.fileEventBytes,
    maintenance,
  };
}

/**
 * Small manifests are merged with every commit once the table has so many manifests, full ones included:
 * then the small ones are on average half a manifest. Before, one commit in some hundred merges a hundred.
 */
function mergingOf(filesPerCommit: number, tableFiles: number, figures: Figures) {
  const { mergeAtManifests, manifestMaxEntries } = figures;
  const fullManifests = tableFiles / manifestMaxEntries;
  const isEachTime = fullManifests >= mergeAtManifests;
  if (!isEachTime) {
    const every = mergeAtManifests - fullManifests;
    const entries = Math.min(manifestMaxEntries, mergeAtManifests * filesPerCommit);
    return { entries: entries / every, bucketCalls: 1 + 1 / every };
  }
  // Read: the small one there is, and the last commit's own; written: the two as one.
  return { entries: manifestMaxEntries / 2, bucketCalls: MERGE_OF_TWO_CALLS };
}

function maintenanceLoad(filesPerDay: number, rowsPerFile: number, workload: Workload, figures: Figures) {
  const isSmall = rowsPerFile < figures.compactedRows / 2;
  const perOutput = Math.max(1, Math.floor(figures.compactedRows / rowsPerFile));
  // Of its time one half goes to asking for sizes, the other to reading and writing.
  const inTime = (figures.compactionRunMaxMs / 2 / figures.bucketMs) * figures.compactionCallsAtOnce;
  const perRun = Math.min(figures.compactionInputs, figures.compactionOutputs * perOutput, Math.floor(inTime));
  const smallFilesPerDay = isSmall ? filesPerDay : 0;
  const compactedPerDay = Math.min(smallFilesPerDay, perRun * figures.compactionRunsPerDay);
  const netFilesPerDay = filesPerDay - compactedPerDay + compactedPerDay / perOutput;
  const tableFiles = netFilesPerDay * workload.tableDays + compactedPerDay;
  const reading = readingOf(tableFiles, figures);
  return {
    smallFilesPerDay,
    compactedPerDay,
    netFilesPerDay,
    tableFiles,
    ...runOf({ isSmall, filesPerDay, rowsPerFile, perRun, perOutput }, reading, figures),
    sweepCpuSec: reading.cpuSec,
    sweepCalls: reading.calls + tableFiles / LISTED_A_CALL,
    sweepMb: (tableFiles * figures.markBytes) / BYTES_PER_MB,
  };
}

/** All manifests of the table, once. */
function readingOf(tableFiles: number, figures: Figures) {
  return {
    calls: figures.mergeAtManifests / 2 + tableFiles / figures.manifestMaxEntries,
    cpuSec: (tableFiles * figures.readEntryCpuUs) / US_PER_SEC,
  };
}

interface SmallFiles {
  readonly isSmall: boolean;
  readonly filesPerDay: number;
  readonly rowsPerFile: number;
  readonly perRun: number;
  readonly perOutput: number;
}

/** Manifests are read to find small files, and again to replace them. */
function runOf({ isSmall, filesPerDay, rowsPerFile, ...files }: SmallFiles, all: Reading, figures: Figures) {
  if (!isSmall) return { runCpuSec: 0, runCalls: 0, runSec: 0 };
  const taken = Math.min(files.perRun, filesPerDay);
  // The sizes of as many as it may take are asked for, whatever fits then.
  const asked = Math.min(figures.compactionInputs, filesPerDay);
  const callsInTurn = 2 * all.calls + (asked + taken) / figures.compactionCallsAtOnce + taken / files.perOutput;
  const runCalls = 2 * all.calls + asked + taken + taken / files.perOutput;
  const runCpuSec = 2 * all.cpuSec + (taken * rowsPerFile * figures.compactRowCpuUs) / US_PER_SEC;
  return { runCpuSec, runCalls, runSec: runCpuSec + (callsInTurn * figures.bucketMs) / MS_PER_SEC };
}

/** What a shard sums up and how it is, of each; the table's list of shards, and how it is. */
function monitorLoad({ shards }: Workload, figures: Figures) {
  const callsPerLook = 2 * shards + 2;
  return { callsPerLook, callsPerSec: callsPerLook / figures.monitorIntervalSec };
}
