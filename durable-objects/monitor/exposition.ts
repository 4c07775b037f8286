/**
 * Prometheus' text format, version 0.0.4
 * (https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format). Pure.
 */
import type { MetricFamily } from "./metric-families.ts";

export interface MetricSample {
  /** In the order of the family's labels. */
  readonly labelValues: readonly string[];
  readonly value: number;
}

export interface HistogramSample {
  /** Upper bounds, ascending, without the last one, which is infinite. */
  readonly bounds: readonly number[];
  /** By bucket, not cumulative, that above the last bound included. */
  readonly counts: readonly number[];
  readonly sum: number;
}

export function familyText(family: MetricFamily, samples: readonly MetricSample[]): string {
  const lines = samples.map(({ labelValues, value }) => {
    const pairs = family.labels.map((label, at) => [label, labelValues[at] ?? ""] as const);
    return `${family.name}${labelText(pairs)} ${numberText(value)}\n`;
  });
  return headText(family) + lines.join("");
}

export function histogramText(family: MetricFamily, { bounds, counts, sum }: HistogramSample): string {
  let cumulative = 0;
  const buckets = bounds.map((bound, at) => {
    cumulative += counts[at] ?? 0;
    return `${family.name}_bucket${labelText([["le", numberText(bound)]])} ${cumulative}\n`;
  });
  const count = cumulative + (counts[bounds.length] ?? 0);
  const tail = [
    `${family.name}_bucket${labelText([["le", "+Inf"]])} ${count}\n`,
    `${family.name}_sum ${numberText(sum)}\n`,
    `${family.name}_count ${count}\n`,
  ];
  return headText(family) + buckets.join("") + tail.join("");
}

function headText({ name, kind, help }: MetricFamily): string {
  const escaped = help.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
  return `# HELP ${name} ${escaped}\n# TYPE ${name} ${kind}\n`;
}

function labelText(pairs: readonly (readonly [string, string])[]): string {
  if (pairs.length === 0) return "";
  const texts = pairs.map(([label, value]) => `${label}="${escapeValue(value)}"`);
  return `{${texts.join(",")}}`;
}

function escapeValue(value: string): string {
  return value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}

function numberText(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return "+Inf";
  return value === Number.NEGATIVE_INFINITY ? "-Inf" : String(value);
}
