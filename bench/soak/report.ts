/**
 * A soak's results as JSON, as lines for people, and as a page with its plot. Pure.
 */
import { chartPage, escapeHtml, figure, htmlTable } from "../charts/chart-page.ts";
import { lineChart } from "../charts/charts.ts";
import { mostOf, type Latency } from "../gate/figures.ts";
import type { Machine, Versions } from "../gate/machine.ts";
import type { Behaviour } from "./churn.ts";
import type { Slope } from "./slope.ts";
import {
  detectableKbOf,
  intervalText,
  memoryVerdictOf,
  warmUpSecOf,
  type Finding,
  type Growth,
  type GrowthByProcess,
  type Leftovers,
  type MemorySample,
  type SoakLimits,
} from "./verdict.ts";

export interface SoakRecord {
  readonly date: string;
  readonly command: string;
  readonly options: {
    readonly minutes: number;
    readonly readers: number;
    readonly seed: number;
    readonly planted_kb: number;
  };
  readonly limits: SoakLimits;
  /** Broken off, after so many minutes as the options say. */
  readonly isInterrupted: boolean;
  readonly machine: Machine;
  readonly versions: Versions;
  readonly samples: readonly MemorySample[];
  readonly growth: GrowthByProcess | undefined;
  readonly streams: Readonly<Record<Behaviour, number>>;
  readonly complete: number;
  readonly incomplete: readonly string[];
  readonly resumes: number;
  readonly resumeLatencyMs: Latency;
  readonly events: number;
  readonly errors: readonly string[];
  readonly leftovers: Leftovers;
  /** Of /metrics, when all was over. */
  readonly counts: Readonly<Record<string, number | undefined>>;
  readonly findings: readonly Finding[];
}

export type SoakVerdict = "passed" | "failed" | "undecided" | "interrupted";

export function soakVerdictOf(record: SoakRecord): SoakVerdict {
  if (record.findings.length > 0) return "failed";
  if (record.isInterrupted) return "interrupted";
  return memoryOf(record) === "flat" ? "passed" : "undecided";
}

export function soakJson(record: SoakRecord): object {
  const { growth, samples, options, streams, leftovers, ...rest } = record;
  return {
    kind: "soak",
    date: rest.date,
    verdict: soakVerdictOf(record),
    memory_verdict: memoryOf(record),
    findings: rest.findings,
    command: rest.command,
    options: {
      ...options,
      limit_kb_per_stream: rest.limits.kbPerStream,
      rule_out_kb_per_stream: rest.limits.ruledOutKbPerStream,
      warm_up_sec: warmUpSecOf(options.minutes * 60),
    },
    machine: rest.machine,
    versions: rest.versions,
    summary: {
      streams: sum(Object.values(streams)),
      streams_by_reader: streams,
      streams_complete: rest.complete,
      streams_incomplete: rest.incomplete.length,
      incomplete_reasons: [...new Set(rest.incomplete)],
      resumes: rest.resumes,
      resume_latency_ms: rest.resumeLatencyMs,
      events_received: rest.events,
      errors: rest.errors.length,
      error_texts: [...new Set(rest.errors)].slice(0, 20),
      memory_mb: { first: totalMb(samples[0]), last: totalMb(samples.at(-1)), max: mostOf(samples.map(totalMb)) },
      memory_mb_per_hour: growth === undefined ? null : slopeJson(growth.workerd.mbPerHour),
      memory_kb_per_stream: growth === undefined ? null : byStreamJson(growth.workerd, rest.limits),
      host_mb_per_hour: growth === undefined ? null : slopeJson(growth.host.mbPerHour),
      host_kb_per_stream: growth === undefined ? null : byStreamJson(growth.host, rest.limits),
      leftovers: {
        objects: leftovers.objects,
        alarms: leftovers.alarms,
        object_bytes: leftovers.objectBytes,
        bucket_bytes: leftovers.bucketBytes,
        after_sec: leftovers.afterSec,
      },
      counts: rest.counts,
    },
    series: samples.map(({ second, streams, workerdMb, hostMb }) => ({
      second,
      streams,
      workerd_mb: round(workerdMb),
      host_mb: round(hostMb),
    })),
  };
}

export function soakLines(record: SoakRecord): string[] {
  const { growth, streams, complete, incomplete, resumes, errors, leftovers, counts } = record;
  return [
    `${sum(Object.values(streams))} streams, ${complete} of ${complete + incomplete.length} read to the end whole, ${resumes} resumes, ${errors.length} errors`,
    ...Object.entries(growth ?? {}).map(
      ([name, { mbPerHour, kbPerStream }]) =>
        `memory of ${name}: ${intervalText(mbPerHour)} MB/h, ${intervalText(kbPerStream)} KB a stream (95 % interval); ` +
        `Theil–Sen ${short(mbPerHour.robustPerX)} MB/h, ${short(kbPerStream.robustPerX)} KB a stream`,
    ),
    `memory: ${memoryOf(record)}; ${powerText(record)}`,
    `left after ${leftovers.afterSec} s: ${leftovers.objects} objects with tables, ${leftovers.alarms} alarms; ` +
      `${mb(leftovers.objectBytes)} MB of files, ${mb(leftovers.bucketBytes)} MB in the bucket`,
    `analytics: ${Object.entries(counts)
      .map(([name, count]) => `${name} ${count ?? "not told"}`)
      .join(", ")}`,
    ...record.findings.map(({ rule, detail }) => `FAILED ${rule}: ${detail}`),
    ...(record.findings.length === 0 ? [soakVerdictOf(record)] : []),
  ];
}

export function soakPage(record: SoakRecord): string {
  const { samples, growth, options, date, machine, versions } = record;
  const warmUpSec = warmUpSecOf(options.minutes * 60);
  const points = (of: (sample: MemorySample) => number) =>
    samples.map((sample): [number, number] => [sample.second, of(sample)]);
  const memory = lineChart({
    title: "Resident memory",
    xLabel: "s",
    yLabel: "MB",
    series: [
      { name: "workerd", points: points(({ workerdMb }) => workerdMb) },
      { name: "host", points: points(({ hostMb }) => hostMb) },
      ...(growth === undefined
        ? []
        : [{ name: "fit of workerd", points: fitOf(samples, growth.workerd.mbPerHour, options.minutes * 60) }]),
    ],
  });
  const churn = lineChart({
    title: "Streams that readers were done with",
    xLabel: "s",
    yLabel: "streams",
    series: [{ name: "streams", points: points(({ streams }) => streams) }],
  });
  const about = `${date}, ${machine.cores} cores (${machine.cpu}), load average ${machine.load_average.toFixed(1)}, Node ${versions.node}, workerd ${versions.workerd}, commit ${versions.commit ?? "unknown"}`;
  return chartPage("Spillway: soak", [
    {
      heading: "Verdict",
      body: `<pre>${escapeHtml(soakLines(record).join("\n"))}</pre><p>${escapeHtml(about)}; <code>${escapeHtml(record.command)}</code></p>`,
    },
    {
      heading: "Memory",
      body: `${figure(memory)}<p>The first ${Math.round(warmUpSec)} s are warming up and not in the fit.</p>`,
    },
    {
      heading: "Churn",
      body:
        figure(churn) +
        htmlTable(
          ["reader", "streams"],
          Object.entries(record.streams).map(([name, count]) => [name, String(count)]),
        ),
    },
  ]);
}

function memoryOf(record: SoakRecord): string {
  return memoryVerdictOf({ ...record, streams: sum(Object.values(record.streams)) });
}

/** What the run would have found, and what it has ruled out. */
function powerText({ growth, limits }: SoakRecord): string {
  const parts = Object.entries(growth ?? {}).map(
    ([name, each]) =>
      `of ${name} growth beyond ${short(each.kbPerStream.high)} KB a stream is ruled out, ` +
      `${short(detectableKbOf(each, limits))} KB would have been found in 8 of 10 runs`,
  );
  const { kbPerStream, ruledOutKbPerStream } = limits;
  return [...parts, `${kbPerStream} are allowed, flat needs ${ruledOutKbPerStream} ruled out`].join("; ");
}

/** Of workerd. */
function fitOf(samples: readonly MemorySample[], { perX }: Slope, seconds: number): [number, number][] {
  const counted = samples.filter(({ second }) => second >= warmUpSecOf(seconds) && second <= seconds);
  const meanSec = sum(counted.map(({ second }) => second)) / counted.length;
  const meanMb = sum(counted.map(({ workerdMb }) => workerdMb)) / counted.length;
  return [counted[0], counted.at(-1)].flatMap((sample): [number, number][] =>
    sample === undefined ? [] : [[sample.second, meanMb + (perX / 3600) * (sample.second - meanSec)]],
  );
}

function slopeJson({ perX, low, high, robustPerX, correlation, points }: Slope) {
  return {
    slope: round(perX),
    low: round(low),
    high: round(high),
    theil_sen: round(robustPerX),
    correlation: round(correlation),
    points,
  };
}

function byStreamJson(growth: Growth, limits: SoakLimits) {
  return { ...slopeJson(growth.kbPerStream), detectable: round(detectableKbOf(growth, limits)) };
}

function totalMb(sample: MemorySample | undefined): number {
  return sample === undefined ? Number.NaN : sample.workerdMb + sample.hostMb;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function mb(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(1);
}

function short(value: number): string {
  return String(Number(value.toPrecision(3)));
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}
