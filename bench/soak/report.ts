/**
 * A soak's results as JSON, as lines for people, and as a page with its plot. Pure.
 */
import { chartPage, escapeHtml, figure, htmlTable } from "../charts/chart-page.ts";
import { lineChart } from "../charts/charts.ts";
import type { Latency } from "../gate/figures.ts";
import type { Machine, Versions } from "../gate/machine.ts";
import type { Behaviour } from "./churn.ts";
import type { Slope } from "./slope.ts";
import {
  intervalText,
  isWide,
  warmUpSecOf,
  type Finding,
  type GrowthByProcess,
  type Leftovers,
  type MemorySample,
} from "./verdict.ts";

export interface SoakRecord {
  readonly date: string;
  readonly command: string;
  readonly options: { readonly minutes: number; readonly readers: number; readonly seed: number };
  readonly limitKbPerStream: number;
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
  readonly counts: Readonly<Record<string, number>>;
  readonly findings: readonly Finding[];
}

export function soakJson(record: SoakRecord): object {
  const { growth, samples, options, streams, leftovers, ...rest } = record;
  return {
    kind: "soak",
    date: rest.date,
    verdict: rest.findings.length === 0 ? "passed" : "failed",
    memory_verdict: memoryVerdict(record),
    findings: rest.findings,
    command: rest.command,
    options: { ...options, limit_kb_per_stream: rest.limitKbPerStream, warm_up_sec: warmUpSecOf(options.minutes * 60) },
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
      memory_mb: { first: totalMb(samples[0]), last: totalMb(samples.at(-1)), max: Math.max(...samples.map(totalMb)) },
      memory_mb_per_hour: growth === undefined ? null : slopeJson(growth.workerd.mbPerHour),
      memory_kb_per_stream: growth === undefined ? null : slopeJson(growth.workerd.kbPerStream),
      host_mb_per_hour: growth === undefined ? null : slopeJson(growth.host.mbPerHour),
      host_kb_per_stream: growth === undefined ? null : slopeJson(growth.host.kbPerStream),
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
  const { growth, limitKbPerStream, streams, complete, incomplete, resumes, errors, leftovers, counts } = record;
  return [
    `${sum(Object.values(streams))} streams, ${complete} of ${complete + incomplete.length} read to the end whole, ${resumes} resumes, ${errors.length} errors`,
    ...Object.entries(growth ?? {}).map(
      ([name, { mbPerHour, kbPerStream }]) =>
        `memory of ${name}: ${intervalText(mbPerHour)} MB/h, ${intervalText(kbPerStream)} KB a stream (95 % interval); ` +
        `Theil–Sen ${short(mbPerHour.robustPerX)} MB/h, ${short(kbPerStream.robustPerX)} KB a stream`,
    ),
    `memory: ${memoryVerdict(record)}; ${limitKbPerStream} KB a stream are allowed`,
    `left after ${leftovers.afterSec} s: ${leftovers.objects} objects with tables, ${leftovers.alarms} alarms; ` +
      `${mb(leftovers.objectBytes)} MB of files, ${mb(leftovers.bucketBytes)} MB in the bucket`,
    `analytics: ${Object.entries(counts)
      .map(([name, count]) => `${name} ${count}`)
      .join(", ")}`,
    ...record.findings.map(({ rule, detail }) => `FAILED ${rule}: ${detail}`),
    ...(record.findings.length === 0 ? ["passed"] : []),
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

/** Flat or growing, and whether the run was long enough to say so. */
function memoryVerdict({ growth, limitKbPerStream }: SoakRecord): string {
  if (growth === undefined) return "not measured";
  const all = Object.values(growth);
  if (all.some(({ kbPerStream }) => kbPerStream.low > limitKbPerStream)) return "growing";
  return all.some((each) => isWide(each, limitKbPerStream))
    ? "flat as far as can be told: an interval reaches beyond the limit, a longer run says more"
    : "flat";
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
