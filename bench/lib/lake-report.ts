/**
 * The lake's part of a run's results, as tables. Pure.
 */
import type { LakeCommitsResult } from "../cases/lake-commits.ts";
import type { LakeEncodeResult } from "../cases/lake-encode.ts";
import type { LakeIngestResult } from "../cases/lake-ingest.ts";
import { figure, spread, table } from "./markdown.ts";

const BYTES_PER_KB = 1000;

export function lakeSections(results: {
  readonly lakeEncode: readonly LakeEncodeResult[];
  readonly lakeIngest: readonly LakeIngestResult[];
  readonly lakeCommits: readonly LakeCommitsResult[];
}): string[] {
  const { lakeEncode, lakeIngest, lakeCommits } = results;
  return [
    ...(lakeEncode.length > 0 ? [encodeSection(lakeEncode)] : []),
    ...(lakeIngest.length > 0 ? [ingestSection(lakeIngest)] : []),
    ...(lakeCommits.length > 0 ? [commitsSection(lakeCommits)] : []),
  ];
}

function encodeSection(results: readonly LakeEncodeResult[]): string {
  const head = [
    "rows",
    "Parquet, events/s",
    "JSON, MB/s",
    "lines of JSON with zstd, events/s",
    "ratio",
    "JSON, bytes an event",
    "Parquet",
    "lines with zstd",
    "JSON to Parquet",
  ];
  const rows = results.map((result) => [
    String(result.rows),
    spread(result.eventsPerSec.parquet),
    spread(result.jsonMbPerSec),
    spread(result.eventsPerSec.lines),
    spread(result.ratio),
    figure(result.jsonBytes / result.rows),
    figure(result.parquetBytes / result.rows),
    figure(result.linesBytes / result.rows),
    `${figure(result.jsonBytes / result.parquetBytes)} to 1`,
  ]);
  return `## The lake, rows to a file: median (least to most) of ${results[0]?.rounds ?? 0} rounds\n\n${table(head, rows)}`;
}

function ingestSection(results: readonly LakeIngestResult[]): string {
  const head = [
    "events",
    "a request",
    "connections",
    "lake, committed, events/s",
    "body to the bucket, events/s",
    "ratio",
    "body parsed, events/s",
    "ratio",
    "workerd, µs an event: lake, bucket, parsed",
    "flush at the end, ms",
    "peak memory, MB",
    "whole",
  ];
  const rows = results.map((result) => [
    String(result.events),
    String(result.batch),
    String(result.connections),
    spread(result.eventsPerSec.lake),
    spread(result.eventsPerSec.put),
    spread(result.ratio.put),
    spread(result.eventsPerSec.parse),
    spread(result.ratio.parse),
    Object.values(result.cpuUsPerEvent).map(figure).join(", "),
    spread(result.flushMs),
    figure(result.peakMb),
    result.isWhole ? "yes" : "NO",
  ]);
  const rounds = results[0]?.rounds ?? 0;
  return `## The lake, ingest to commit: median (least to most) of ${rounds} rounds\n\n${table(head, rows)}`;
}

function commitsSection(results: readonly LakeCommitsResult[]): string {
  const head = ["", "snapshots kept", "commits so far", "commit, ms", "metadata.json, KB", "growth", "slowest, ms"];
  const rows = results.flatMap(({ place, kept, points, growth, slowestMs }) =>
    points.map(({ commits, ms, metadataBytes }, index) => {
      const isLast = index === points.length - 1;
      return [
        place === "service" ? "service" : "in memory",
        String(kept),
        String(commits),
        spread(ms),
        figure(metadataBytes / BYTES_PER_KB),
        isLast ? figure(growth) : "",
        isLast ? figure(slowestMs) : "",
      ];
    }),
  );
  return `## The lake, commits: median (least to most) of the last 20\n\n${table(head, rows)}`;
}
