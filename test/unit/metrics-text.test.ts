/**
 * `/metrics` by the grammar of its format, and everything that is written about it: docs/metrics.md, dashboard and
 * rules name metrics that exist.
 */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";

import { expect, test } from "vitest";

import { toAlert } from "../../durable-objects/monitor/alert-book.ts";
import { familyText, histogramText } from "../../durable-objects/monitor/exposition.ts";
import { METRIC_FAMILIES, type MetricFamily } from "../../durable-objects/monitor/metric-families.ts";
import { metricsText } from "../../durable-objects/monitor/metrics.ts";
import type { Sample } from "../../durable-objects/monitor/sample.ts";
import { NO_SUMS, type Sums } from "../../durable-objects/monitor/tally.ts";
import { ALERT_NAMES } from "../../protocol/monitor-report.ts";
import { VERSION } from "../../protocol/version.ts";
import { parseExposition, valueOf } from "../fixtures/exposition-check.ts";
import { QUIET_STATUS } from "../fixtures/watched-service.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const read = (path: string) => readFileSync(resolve(ROOT, path), "utf8");

const SHARDS: Sample["shards"] = [
  { index: 0, digest: undefined, status: { ...QUIET_STATUS, events: 5, buffer_fill_rate: 0.25 }, isReachable: true },
  { index: 1, digest: undefined, status: undefined, isReachable: false },
];

function textOf(sums: Sums = NO_SUMS, shards = SHARDS): string {
  const sample: Sample = {
    atMs: 1_795_251_600_000,
    shards,
    table: { status: null, error: "the table object cannot be reached" },
    window: { counts: {}, flushFailures: {} },
  };
  return metricsText({ sample, sums, alerts: { firing: [], recent: [] }, webhooksWaiting: 0 });
}

test("the text is of the format, and each metric is there with its kind and help before anything was counted", () => {
  const families = parseExposition(textOf());
  expect([...families.values()].map(({ name, type, help }) => [name, type, help])).toEqual(
    METRIC_FAMILIES.map(({ name, kind, help }) => [name, kind, help]),
  );
});

test("names follow the conventions: our prefix, base units, _total on counters alone", () => {
  for (const { name, kind } of METRIC_FAMILIES) {
    expect(name).toMatch(/^spillway_[a-z]+(_[a-z]+)*$/);
    expect(name).not.toMatch(/_(ms|milliseconds|kb|mb|percent)(_|$)/);
    expect(name.endsWith("_total")).toBe(kind === "counter");
    expect(name).not.toMatch(/_(count|sum|bucket)$/);
  }
  expect(new Set(METRIC_FAMILIES.map(({ name }) => name)).size).toBe(METRIC_FAMILIES.length);
});

test("counters carry their labels; values that hold the separator or are too many break nothing", () => {
  const text = textOf({
    counters: {
      streams_ended: { "chat|completed": 3, "chat|failed": 1, other: 2, "other|other": 5, "a|b|c": 1 },
      resume_failures: { token_invalid: 4 },
      flushes: { "": 6 },
    },
    histograms: {},
  });
  const families = parseExposition(text);
  const ended = (labels: Record<string, string>) => valueOf(families, "spillway_streams_ended_total", labels);
  expect(ended({ route: "chat", state: "completed" })).toBe(3);
  expect(ended({ route: "other", state: "other" })).toBe(7);
  expect(ended({ route: "a", state: "b|c" })).toBe(1);
  expect(valueOf(families, "spillway_resume_failures_total", { code: "token_invalid" })).toBe(4);
  expect(valueOf(families, "spillway_flushes_total")).toBe(6);
});

test("histograms are cumulative, in seconds, and end in +Inf", () => {
  const counts = [1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 4];
  const families = parseExposition(
    textOf({ counters: {}, histograms: { resume_latency_ms: { counts, sum: 70_500 } } }),
  );
  const bucket = (le: string) => valueOf(families, "spillway_resume_latency_seconds_bucket", { le });
  expect([bucket("0.005"), bucket("0.01"), bucket("0.025"), bucket("15"), bucket("+Inf")]).toEqual([1, 1, 3, 3, 7]);
  expect(valueOf(families, "spillway_resume_latency_seconds_sum")).toBe(70.5);
  expect(valueOf(families, "spillway_resume_latency_seconds_count")).toBe(7);
});

test("a shard that never answered is down, and says nothing else of itself", () => {
  const families = parseExposition(textOf());
  expect(valueOf(families, "spillway_shard_up", { shard: "shard-0" })).toBe(1);
  expect(valueOf(families, "spillway_shard_up", { shard: "shard-1" })).toBe(0);
  expect(families.get("spillway_buffer_fill_ratio")?.samples).toEqual([
    { name: "spillway_buffer_fill_ratio", labels: { shard: "shard-0" }, value: 0.25 },
  ]);
});

test("what a label or a help text holds is escaped", () => {
  const family: MetricFamily = { name: "spillway_x", kind: "gauge", labels: ["a"], help: "a \\ and\nb" };
  const value = 'quote " backslash \\ end\nnext';
  const text = familyText(family, [{ labelValues: [value], value: 1.5 }]);
  expect(text).toBe(
    '# HELP spillway_x a \\\\ and\\nb\n# TYPE spillway_x gauge\nspillway_x{a="quote \\" backslash \\\\ end\\nnext"} 1.5\n',
  );
  expect(parseExposition(text).get("spillway_x")?.samples[0]?.labels["a"]).toBe(value);
});

test("the check itself sees what breaks the format", () => {
  const family: MetricFamily = { name: "spillway_d", kind: "histogram", labels: [], help: "x" };
  const good = histogramText(family, { bounds: [1, 2], counts: [1, 2, 3], sum: 9 });
  expect(() => parseExposition(good)).not.toThrow();
  for (const [from, to] of [
    ['le="2"} 3', 'le="2"} 0'],
    ["_count 6", "_count 5"],
    ['le="+Inf"', 'le="3"'],
    ["# TYPE spillway_d histogram\n", ""],
    ["spillway_d_sum 9", "spillway_d_sum nine"],
    ["spillway_d_sum 9\n", "spillway_d_sum 9\nspillway_d_sum 9\n"],
    ['{le="1"}', '{le="1}'],
    ["spillway_d_sum 9", "other_sum 9"],
  ] as const) {
    expect(good).toContain(from);
    expect(() => parseExposition(good.replace(from, to)), to).toThrow(/\w/);
  }
});

test("the version is package.json's", () => {
  const { version } = JSON.parse(read("package.json")) as { version: string };
  expect(VERSION).toBe(version);
});

test("docs/metrics.md lists what is exported, and nothing else", () => {
  const rows = read("docs/metrics.md")
    .split("\n")
    .filter((line) => line.startsWith("| `spillway_"));
  const expected = METRIC_FAMILIES.map(({ name, kind, labels, help }) => {
    const cells = [`\`${name}\``, kind, labels.map((label) => `\`${label}\``).join(", "), help];
    return `| ${cells.join(" | ")} |`.replaceAll("|  |", "| |");
  });
  expect(rows).toEqual(expected);
});

/** Names of metrics in a text of expressions, without what a histogram adds. */
function metricsIn(text: string): string[] {
  const names = [...text.matchAll(/(?<![\w:])spillway_\w+/g)].map(([name]) => name);
  const known = new Set(METRIC_FAMILIES.filter(({ kind }) => kind === "histogram").map(({ name }) => name));
  return names.map((name) => {
    const base = name.replace(/_(?:bucket|sum|count)$/, "");
    return known.has(base) ? base : name;
  });
}

interface Panel {
  readonly type: string;
  readonly title: string;
  readonly targets?: readonly { readonly expr: string }[];
  readonly fieldConfig?: {
    readonly defaults: { readonly thresholds: { readonly steps: readonly { value: number }[] } };
  };
}

interface Dashboard {
  readonly schemaVersion: number;
  readonly templating: { readonly list: readonly { readonly name: string; readonly type: string }[] };
  readonly panels: readonly Panel[];
}

test("the dashboard asks for metrics and labels that exist, from a data source that is chosen", () => {
  const dashboard = JSON.parse(read("examples/grafana/spillway-dashboard.json")) as Dashboard;
  expect(dashboard.schemaVersion).toBeGreaterThanOrEqual(39);
  expect(dashboard.templating.list).toContainEqual(expect.objectContaining({ name: "datasource", type: "datasource" }));
  const exported = new Set(METRIC_FAMILIES.map(({ name }) => name));
  const expressions = dashboard.panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));
  expect(expressions.length).toBeGreaterThan(30);
  for (const name of metricsIn(expressions.join("\n"))) expect(exported).toContain(name);
  const labels = new Set(["le", "job", ...METRIC_FAMILIES.flatMap((family) => family.labels)]);
  for (const [, list = ""] of expressions.join("\n").matchAll(/by \(([^)]*)\)/g)) {
    for (const label of list.split(", ")) expect(labels).toContain(label);
  }
  const fill = dashboard.panels.find(({ title }) => title === "Buffer fill");
  expect(fill?.fieldConfig?.defaults.thresholds.steps.map(({ value }) => value)).toEqual([null, 0.5, 0.7, 0.9]);
});

/** Anchors of the runbook's sections. */
function runbookSections(): Set<string> {
  const titles = [...read("RUNBOOK.md").matchAll(/^#+ (.+)$/gm)];
  return new Set(titles.map(([, title = ""]) => title.toLowerCase().replaceAll(" ", "-")));
}

test("the Prometheus rules name metrics and sections of the runbook that exist", () => {
  const rules = read("examples/prometheus/spillway-alerts.yml");
  const exported = new Set(METRIC_FAMILIES.map(({ name }) => name));
  for (const name of metricsIn(rules)) expect(exported).toContain(name);
  const sections = runbookSections();
  for (const [, section = ""] of rules.matchAll(/RUNBOOK\.md#([\w-]+)/g)) expect(sections).toContain(section);
});

test("every alert leads to a section of the runbook, and has a row in docs/metrics.md", () => {
  const sections = runbookSections();
  const rows = read("docs/metrics.md");
  const told = { severity: "info", subject: "x", value: 0, threshold: 0, message: "", sinceMs: 0 } as const;
  for (const alert of ALERT_NAMES) {
    expect(sections).toContain(toAlert({ alert, ...told }, null).runbook.replace("RUNBOOK.md#", ""));
    expect(rows).toContain(`| \`${alert}\` |`);
  }
});
