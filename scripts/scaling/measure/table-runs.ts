/**
 * What the table computes, without network and disk: a commit by its files, merging manifests by their
 * entries, compaction by its rows, and bytes of an event. In this process, over a bucket in memory.
 */
import { randomUUID } from "node:crypto";

import type { DataFile } from "../../../durable-objects/iceberg/data-file.ts";
import type { LakeEvent } from "../../../protocol/lake-event.ts";
import { toLakeEvent } from "../../../protocol/telemetry-event.ts";
import { makeTable, START_MS, type TableParts } from "../../../test/fixtures/lake-parts.ts";

const SHARD = "0-3fa9c1d2";
const ROUNDS = 5;
const MANY_FILES = 1000;
const ROWS = 2000;
const SMALL_FILES = 160;
const US_PER_MS = 1000;

export interface TableRuns {
  readonly commitCpuMs: number;
  readonly commitFileCpuUs: number;
  readonly mergeEntryCpuUs: number;
  readonly readEntryCpuUs: number;
  readonly compactRowCpuUs: number;
  readonly fileEventBytes: number;
  readonly jsonEventBytes: number;
}

export async function measureTable(): Promise<TableRuns> {
  const one = await sampleFile();
  const few = await commitMs(one.file, 1);
  const many = await commitMs(one.file, MANY_FILES);
  const fileUs = ((many - few) / (MANY_FILES - 1)) * US_PER_MS;
  return {
    commitCpuMs: few - fileUs / US_PER_MS,
    commitFileCpuUs: fileUs,
    mergeEntryCpuUs: await mergeEntryUs(one.file),
    readEntryCpuUs: await readEntryUs(one.file),
    compactRowCpuUs: await compactRowUs(),
    fileEventBytes: one.file.fileSizeBytes / ROWS,
    jsonEventBytes: one.jsonBytes / ROWS,
  };
}

/** The three events of a stream that nobody has to come back to, by turns. */
function telemetryOf(count: number): LakeEvent[] {
  let request = "";
  return Array.from({ length: count }, (_, at) => {
    const stream = Math.floor(at / 3);
    if (at % 3 === 0) request = randomUUID().replaceAll("-", "");
    const time = new Date(START_MS + stream).toISOString();
    const common = { time, request_id: request, route: "chat", tenant: "acme" };
    const uuid = randomUUID();
    if (at % 3 === 0) return toLakeEvent({ event: "SseStreamStarted", ...common }, uuid);
    const issued = { event: "SseResumeIssued", position: "1-0", readers: 1, events: 0 } as const;
    if (at % 3 === 1) return toLakeEvent({ ...issued, ...common }, uuid);
    const ended = { event: "SseStreamEnded", state: "completed", reason: null, trimmed_events: 0, resumes: 0 } as const;
    return toLakeEvent({ ...ended, duration_ms: 30_000 + (stream % 97), events: 240, ...common }, uuid);
  });
}

async function sampleFile(): Promise<{ readonly file: DataFile; readonly jsonBytes: number }> {
  const table = makeTable();
  const events = telemetryOf(ROWS);
  await table.stageRows(1, events);
  const [key = ""] = table.objects.keys(/\.parquet$/);
  const found = await table.objects.head(key);
  // Written by the sink, just above.
  const file = JSON.parse(found?.metadata["descriptor"] ?? "{}") as DataFile;
  // As a pipeline takes them: names, times and all.
  const jsonBytes = events.reduce((sum, event) => sum + JSON.stringify({ ...event, shard: SHARD, seq: 1 }).length, 0);
  return { file, jsonBytes };
}

/** The fastest of several rounds: what interrupts one only ever adds to it. */
async function commitMs(file: DataFile, files: number): Promise<number> {
  const table = makeTable();
  let batch = 0;
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < ROUNDS; round++) {
    for (let at = 0; at < files; at++) stage(table, file, ++batch);
    best = Math.min(best, await timed(() => commit(table)));
  }
  return best;
}

/** Of the commit that finds a hundred manifests, what it takes longer than the one before. */
async function mergeEntryUs(file: DataFile): Promise<number> {
  const perCommit = 40;
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 3; round++) {
    const table = makeTable();
    let batch = 0;
    let plainMs = Number.POSITIVE_INFINITY;
    for (let commits = 1; commits <= 100; commits++) {
      for (let at = 0; at < perCommit; at++) stage(table, file, ++batch);
      const ms = await timed(() => commit(table));
      if (commits > 50) plainMs = Math.min(plainMs, ms);
    }
    for (let at = 0; at < perCommit; at++) stage(table, file, ++batch);
    const mergingMs = await timed(() => commit(table));
    best = Math.min(best, ((mergingMs - plainMs) / (100 * perCommit)) * US_PER_MS);
  }
  return best;
}

/** Of the manifest that a commit of many files has written. */
async function readEntryUs(file: DataFile): Promise<number> {
  const table = makeTable();
  for (let batch = 1; batch <= MANY_FILES; batch++) stage(table, file, batch);
  await commit(table);
  const { snapshots = [] } = (await table.catalog.loadOrCreate()).metadata;
  const list = await table.manifests.readList(snapshots.at(-1)?.["manifest-list"] ?? "");
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < ROUNDS; round++) {
    const ms = await timed(async () => void (await table.manifests.readEntries(list[0]?.path ?? "")));
    best = Math.min(best, ms);
  }
  return (best / MANY_FILES) * US_PER_MS;
}

async function compactRowUs(): Promise<number> {
  const table = makeTable();
  for (let batch = 1; batch <= SMALL_FILES; batch++) {
    await table.stageRows(batch, telemetryOf(ROWS));
  }
  await commit(table);
  let rows = 0;
  const ms = await timed(async () => {
    const report = await table.maintenance.compact();
    if (!report.ok) throw new Error(`compaction failed: ${report.reason}`);
    rows = report.records;
  });
  return (ms / rows) * US_PER_MS;
}

function stage(table: TableParts, file: DataFile, batch: number): void {
  const path = file.path.replace(/[^/]+$/, `${SHARD}-${batch}.parquet`);
  table.store.stage({ shard: SHARD, index: 0 }, batch, JSON.stringify([{ ...file, path }]));
}

async function commit(table: TableParts): Promise<void> {
  const report = await table.committer.commit();
  if (!report.ok) throw new Error(`commit failed: ${report.reason}`);
}

/** @returns CPU of this thread, ms: whoever else is at work on the machine is not in it */
async function timed(work: () => Promise<void>): Promise<number> {
  const before = process.threadCpuUsage();
  await work();
  const { user, system } = process.threadCpuUsage(before);
  return (user + system) / US_PER_MS;
}
