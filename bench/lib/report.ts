/**
 * A run's results, as JSON keeps them and as a table shows them. Pure.
 */
import type { EvictionResult } from "../cases/eviction.ts";
import type { LakeCommitsResult } from "../cases/lake-commits.ts";
import type { LakeEncodeResult } from "../cases/lake-encode.ts";
import type { LakeIngestResult } from "../cases/lake-ingest.ts";
import type { LatencyResult } from "../cases/latency.ts";
import type { ManyReadersResult } from "../cases/many-readers.ts";
import type { MemoryResult } from "../cases/memory.ts";
import type { OneReaderResult } from "../cases/one-reader.ts";
import type { DeflateResult, ReliefResult } from "../cases/relief.ts";
import type { ResumesResult } from "../cases/resumes.ts";
import type { RowsResult } from "../cases/rows.ts";
import type { TrimRateResult } from "../cases/trim-rate.ts";
import { lakeSections } from "./lake-report.ts";
import type { Machine } from "./machine.ts";
import { figure, spread, table } from "./markdown.ts";
import { pressureSections } from "./pressure-report.ts";

export interface Report {
  readonly date: string;
  readonly command: string;
  readonly isQuick: boolean;
  readonly machine: Machine;
  /** Empty where the case did not run. */
  readonly oneReader: readonly OneReaderResult[];
  readonly latency: readonly LatencyResult[];
  readonly manyReaders: readonly ManyReadersResult[];
  readonly resumes: readonly ResumesResult[];
  readonly rows: readonly RowsResult[];
  readonly memory: readonly MemoryResult[];
  readonly trimRate: readonly TrimRateResult[];
  readonly eviction: readonly EvictionResult[];
  readonly relief: readonly ReliefResult[];
  readonly deflate: readonly DeflateResult[];
  readonly lakeEncode: readonly LakeEncodeResult[];
  readonly lakeIngest: readonly LakeIngestResult[];
  readonly lakeCommits: readonly LakeCommitsResult[];
}

export function toMarkdown(report: Report): string {
  const { machine } = report;
  const where = `${machine.cores} × ${machine.cpu}, ${machine.memoryGb} GB, ${machine.platform}`;
  const load = `load average ${machine.loadBefore.toFixed(1)} before and ${machine.loadAfter.toFixed(1)} after`;
  const sections = [
    `# Benchmark of ${report.date}\n\n\`${report.command}\` on ${where}; Node ${machine.node}, workerd ${machine.workerd}; ${load}.`,
    report.oneReader.length > 0 && oneReaderSection(report.oneReader),
    report.latency.length > 0 && latencySection(report.latency),
    report.manyReaders.length > 0 && manyReadersSection(report.manyReaders),
    report.resumes.length > 0 && resumesSection(report.resumes),
    report.rows.length > 0 && rowsSection(report.rows),
    ...pressureSections(report),
    ...lakeSections(report),
  ];
  return `${sections.filter((section) => section !== false).join("\n\n")}\n`;
}

function oneReaderSection(results: readonly OneReaderResult[]): string {
  const head = [
    "data, bytes",
    "events a chunk",
    "Spillway, events/s",
    "bare, events/s",
    "ratio to bare",
    "bare in JavaScript, events/s",
    "ratio to that",
    "workerd, µs an event",
    "whole",
  ];
  const rows = results.map((result) => [
    String(result.bytes),
    String(result.batch),
    spread(result.eventsPerSec.spillway),
    spread(result.eventsPerSec.bare),
    spread(result.ratio),
    spread(result.eventsPerSec["bare-fan"]),
    spread(result.ratioToScript),
    figure(result.spillwayCpuUsPerEvent),
    result.brokenStreams === 0 && result.faults.length === 0 ? "yes" : `NO: ${result.faults.join("; ")}`,
  ]);
  const rounds = results[0]?.rounds ?? 0;
  return `## One reader, unthrottled source: median (least to most) of ${rounds} rounds\n\n${table(head, rows)}`;
}

function latencySection(results: readonly LatencyResult[]): string {
  const head = ["events/s", "", "Spillway, ms", "bare, ms", "added, ms", "ratio"];
  const rows = results.flatMap((result) =>
    (["p50", "p99"] as const).map((percentile) => [
      String(result.rate),
      percentile,
      figure(result.spillwayMs[percentile]),
      figure(result.bareMs[percentile]),
      figure(result.addedMs[percentile]),
      figure(result.ratio[percentile]),
    ]),
  );
  return `## One reader, steady source: latency from source to reader\n\n${table(head, rows)}`;
}

function manyReadersSection(results: readonly ManyReadersResult[]): string {
  const head = [
    "events/s",
    "a chunk",
    "offered/s",
    "",
    "delivered/s",
    "readers with all",
    "workerd, µs an event",
    "workerd, cores",
    "readers, cores",
    "p50, ms",
    "p99, ms",
    "memory, MB: before, attached, after, peak",
  ];
  const rows = results.flatMap((result) => [
    fanOutCells(result, "Spillway"),
    fanOutCells(result, "bare"),
    [
      ...Array.from({ length: 3 }, () => ""),
      "ratio",
      figure(result.deliveredRatio),
      "",
      figure(result.cpuRatio),
      ...Array.from({ length: 2 }, () => ""),
      figure(result.ratio.p50),
      figure(result.ratio.p99),
      "",
    ],
  ]);
  const [first] = results;
  return `## ${first?.readers ?? 0} readers on one stream, ${first?.bytes ?? 0} bytes of data\n\n${table(head, rows)}`;
}

function fanOutCells(result: ManyReadersResult, name: "Spillway" | "bare"): string[] {
  const fan = name === "bare" ? result.bare : result.spillway;
  const ms = name === "bare" ? result.bareMs : result.spillwayMs;
  return [
    String(result.rate),
    String(result.batch),
    figure(result.offeredPerSec),
    name,
    figure(fan.deliveredPerSec),
    `${fan.completeReaders} of ${fan.allReaders}`,
    figure(fan.workerdCpuUsPerEvent),
    figure(fan.workerdCores),
    figure(fan.readerCores),
    figure(ms.p50),
    figure(ms.p99),
    Object.values(fan.memoryMb).map(figure).join(", "),
  ];
}

function resumesSection(results: readonly ResumesResult[]): string {
  const head = [
    "resumes",
    "of them late",
    "incorrect",
    "streams",
    "events told to be missing",
    "resumes/s",
    "late: first event p50, ms",
    "p99, ms",
    "seed",
  ];
  const rows = results.map((result) => [
    figure(result.resumes),
    figure(result.lateResumes),
    result.incorrect === 0 ? "0" : `**${result.incorrect}**: ${result.faults.join("; ")}`,
    figure(result.chains),
    figure(result.missingEvents),
    figure(result.resumesPerSec),
    figure(result.firstEventMs.p50),
    figure(result.firstEventMs.p99),
    String(result.seed),
  ]);
  return `## Resumes, each checked\n\n${table(head, rows)}`;
}

function rowsSection(results: readonly RowsResult[]): string {
  const kinds = Object.keys(results[0]?.byKind ?? {});
  const head = ["events/s", "events", "rows written", ...kinds, "whole"];
  const rows = results.map((result) => [
    String(result.rate),
    String(result.events),
    String(result.rows),
    ...Object.values(result.byKind).map(String),
    result.isWhole ? "yes" : "NO",
  ]);
  return `## Rows written by one stream, ${results[0]?.bytes ?? 0} bytes of data\n\n${table(head, rows)}`;
}
