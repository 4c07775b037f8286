/**
 * The buffer under pressure: its part of a run's results, as tables. Pure.
 */
import type { EvictionResult } from "../cases/eviction.ts";
import type { MemoryResult } from "../cases/memory.ts";
import type { DeflateResult, ReliefResult } from "../cases/relief.ts";
import type { TrimRateResult } from "../cases/trim-rate.ts";
import { figure, spread, table } from "./markdown.ts";
import type { Spread } from "./statistics.ts";

const BYTES_PER_KIB = 1024;
const BYTES_PER_MB = 1_000_000;

export function pressureSections(results: {
  readonly memory: readonly MemoryResult[];
  readonly trimRate: readonly TrimRateResult[];
  readonly eviction: readonly EvictionResult[];
  readonly relief: readonly ReliefResult[];
  readonly deflate: readonly DeflateResult[];
}): string[] {
  const { memory, trimRate, eviction, relief, deflate } = results;
  return [
    ...(memory.length > 0 ? [memorySection(memory)] : []),
    ...(trimRate.length > 0 ? [trimRateSection(trimRate)] : []),
    ...(eviction.length > 0 ? [evictionSection(eviction)] : []),
    ...(relief.length > 0 ? [reliefSection(relief)] : []),
    ...(deflate.length > 0 ? [deflateSection(deflate)] : []),
  ];
}

function memorySection(results: readonly MemoryResult[]): string {
  const head = [
    "streams",
    "buffer",
    "retained, KB",
    "events",
    "isolate above the floor, KiB a stream",
    "process above the floor, KiB a stream",
    "isolate, MB: floor; full",
    "process, MB: floor; full",
    "process before collecting, MB",
    "whole",
  ];
  const rows = results.map(({ floor, full, bytesAboveFloor, ...result }) => [
    String(result.streams),
    result.compresses ? "compressed" : "plain",
    figure(result.retainedBytes / 1000),
    figure(result.retainedEvents),
    figure(bytesAboveFloor.isolate / BYTES_PER_KIB),
    figure(bytesAboveFloor.process / BYTES_PER_KIB),
    `${mb(floor.isolateBytes)}; ${mb(full.isolateBytes)}`,
    `${mb(floor.processBytes)}; ${mb(full.processBytes)}`,
    `${figure(floor.filledBytes / BYTES_PER_MB)}; ${figure(full.filledBytes / BYTES_PER_MB)}`,
    result.isWhole ? "yes" : "NO",
  ]);
  return `## Memory of live streams with full buffers, above that of idle ones\n\n${table(head, rows)}`;
}

function mb({ median, min, max }: Spread): string {
  return spread({ median: median / BYTES_PER_MB, min: min / BYTES_PER_MB, max: max / BYTES_PER_MB });
}

function trimRateSection(results: readonly TrimRateResult[]): string {
  const head = [
    "tokens/s",
    "",
    "dropped",
    "trims told",
    "folded into others",
    "retained: events, KB",
    "rows written",
    "CPU of workerd, ms",
    "ratio",
    "late reader: of the text",
    "told missing",
    "KB, ms",
    "live reader has all",
  ];
  const rows = results.flatMap(({ rate, folded, plain, cpuRatio }) =>
    [folded, plain].map((run) => [
      rate === 0 ? "unthrottled" : String(rate),
      run === folded ? "with fold" : "without",
      String(run.droppedEvents),
      String(run.trims),
      String(run.foldedEvents),
      `${run.retainedEvents}, ${figure(run.retainedBytes / 1000)}`,
      String(run.rows),
      spread(run.cpuMs),
      run === folded ? spread(cpuRatio) : "",
      run.late.isWhole ? "all, to the letter" : `${figure(run.late.share * 100)} %`,
      String(run.late.missingEvents),
      `${figure(run.late.bytes / 1000)}, ${figure(run.late.ms)}`,
      run.isLiveWhole ? "yes" : "NO",
    ]),
  );
  return `## A chat of ${results[0]?.tokens ?? 0} tokens at the defaults, with fold and without\n\n${table(head, rows)}`;
}

function evictionSection(results: readonly EvictionResult[]): string {
  const head = [
    "events retained",
    "whole buffer, µs an event",
    "growth",
    "index alone, one priority",
    "growth",
    "index alone, mixed",
    "growth",
    "exact",
  ];
  const [first] = results;
  // Of the fastest rounds: what interrupts one only ever adds to it.
  const growth = (of: "bufferUs" | "indexUs" | "mixedUs", result: EvictionResult) =>
    figure(result[of].min / (first?.[of].min ?? Number.NaN));
  const rows = results.map((result) => [
    String(result.maxEvents),
    spread(result.bufferUs),
    growth("bufferUs", result),
    spread(result.indexUs),
    growth("indexUs", result),
    spread(result.mixedUs),
    growth("mixedUs", result),
    result.isExact ? "yes" : "NO",
  ]);
  const rounds = `${first?.rounds ?? 0} rounds of ${first?.events ?? 0}`;
  return `## An event that makes another give way: median (least to most) of ${rounds}\n\n${table(head, rows)}`;
}

function reliefSection(results: readonly ReliefResult[]): string {
  const head = [
    "",
    "",
    "where",
    "count",
    "wall, ms: p50, p99, longest",
    "CPU, ms: p50, p99, longest",
    "first of a fresh isolate, CPU ms",
    "ms for each MB",
    "saved",
  ];
  const rows = results.map((result) => [
    result.kind,
    result.unit,
    result.place === "workerd" ? "workerd" : "this process",
    String(result.count),
    Object.values(result.wallMs).map(figure).join(", "),
    result.cpuMs === undefined ? "" : Object.values(result.cpuMs).map(figure).join(", "),
    result.firstCpuMs === undefined ? "" : spread(result.firstCpuMs),
    result.bytes === 0 ? "" : figure(result.msPerMb),
    result.bytes === 0 ? "" : `${figure((result.savedBytes / result.bytes) * 100)} %`,
  ]);
  return `## Relief: steps, and turns of 16 events\n\n${table(head, rows)}`;
}

function deflateSection(results: readonly DeflateResult[]): string {
  const head = ["16 KiB segments of records", "workerd, CPU ms a MB", "this process, ms a MB", "out to in"];
  const rows = results.map(({ deflater, msPerMb, ratio }) => [
    deflater,
    spread(msPerMb.workerd),
    spread(msPerMb.process),
    figure(ratio),
  ]);
  return `## Deflate by itself\n\n${table(head, rows)}`;
}
