/**
 * The dashboard as one page of HTML: what has become worse, latest values, trends, runs. Pure.
 */
import { chartPage, escapeHtml, figure, htmlTable, type PageSection } from "../charts/chart-page.ts";
import { lineChart } from "../charts/charts.ts";
import type { Reading } from "./readings.ts";
import { LEAST_RUNS, SPREADS, WINDOW_RUNS } from "./regression.ts";
import { failedRunsOf, regressionsOf, type Trend, type TrendPoint } from "./trends.ts";

export interface SkippedFile {
  readonly file: string;
  readonly problem: string;
}

export interface PageData {
  readonly readings: readonly Reading[];
  readonly trends: readonly Trend[];
  readonly skipped: readonly SkippedFile[];
  /** Where results were looked for. */
  readonly folders: readonly string[];
  readonly madeAtMs: number;
  /** Folder beside the page that holds the raw results. */
  readonly rawFolder: string;
}

export const PAGE_TITLE = "Spillway: performance over time";
/** More names than that do not fit below one. */
const SERIES_OF_A_CHART = 4;
const DIGITS = 3;

export function dashboardPage(data: PageData): string {
  const { readings, skipped } = data;
  const sections: PageSection[] = [{ heading: "Now", body: nowBody(data) }];
  if (skipped.length > 0) sections.push({ heading: "Files that were skipped", body: skippedBody(skipped) });
  if (readings.length > 0) {
    sections.push({ heading: "Latest values", body: latestBody(data) });
    sections.push({ heading: "Trends", body: trendsBody(data.trends) });
    sections.push({ heading: "Runs", body: runsBody(data) });
  }
  sections.push({ heading: "How this is read", body: howBody() });
  return chartPage(PAGE_TITLE, sections);
}

function nowBody({ readings, trends, folders, madeAtMs }: PageData): string {
  const made = `<p>Made ${timeText(madeAtMs)} UTC.</p>`;
  if (readings.length === 0) {
    const places = folders.map((folder) => `<code>${escapeHtml(folder)}</code>`).join(", ");
    return `<p>No stored result was found in ${places}. <code>npm run perf:gate</code> makes one.</p>${made}`;
  }
  const [oldest, newest] = [
    Math.min(...readings.map(({ atMs }) => atMs)),
    Math.max(...readings.map(({ atMs }) => atMs)),
  ];
  const span =
    readings.length === 1
      ? `<p>One stored run, of ${timeText(newest)} UTC: nothing to compare it with yet.</p>`
      : `<p>${readings.length} stored runs, from ${timeText(oldest)} to ${timeText(newest)} UTC.</p>`;
  const worse = regressionsOf(trends);
  const compared = trends.some(({ latest }) => latest.verdict !== "too few");
  const none = compared
    ? "<p>No figure of a latest run is worse than those before it.</p>"
    : `<p>No figure has the ${LEAST_RUNS} earlier runs yet that a comparison needs.</p>`;
  const failed = failedRunsOf(readings);
  const failures = failed.length === 0 ? "" : `<p>Latest runs that failed:</p>${markedList(failed.map(failedRunText))}`;
  return `${span}${failures}${worse.length === 0 ? none : markedList(worse.map(regressionText))}${made}`;
}

function markedList(texts: readonly string[]): string {
  const items = texts.map((text) => `<li class="regression">${escapeHtml(text)}</li>`);
  return `<ul>\n${items.join("\n")}\n</ul>`;
}

/** One line, for the page and for a terminal. */
export function failedRunText({ kind, atMs, runClass, verdict = "", commit }: Reading): string {
  return `${kind}, ${timeText(atMs)} UTC: ${verdict} (${[runClass, ...commitPart(commit)].join("; ")})`;
}

function commitPart(commit: string | undefined): readonly string[] {
  return commit === undefined ? [] : [`commit ${commit}`];
}

/** One line, for the page and for a terminal. */
export function regressionText({ spec, runClass, latest }: Trend): string {
  const before = `usually ${short(latest.usual)}, a regression beyond ${short(latest.limit)}`;
  return `${nameOf(spec)}: ${short(latest.value)} ${spec.unit} (${[before, runClass, ...commitPart(latest.commit)].join("; ")})`;
}

/** A group of one says already what its figure is. */
function nameOf({ group, label }: Trend["spec"]): string {
  return group.endsWith(` ${label}`) ? group : `${group}, ${label}`;
}

function skippedBody(skipped: readonly SkippedFile[]): string {
  return htmlTable(
    ["file", "why"],
    skipped.map(({ file, problem }) => [file, problem]),
  );
}

function latestBody({ trends, rawFolder }: PageData): string {
  const head = ["figure", "latest", "usually", "change", "bounds", "runs", "", "of"];
  const rows = trends.map((trend) => {
    const { spec, latest, points, runClass } = trend;
    const cells = [
      nameOf(spec),
      `${short(latest.value)} ${spec.unit}`,
      short(latest.usual),
      changeText(latest),
      latest.limit === undefined ? "" : `${spec.better === "less" ? "at most" : "at least"} ${short(latest.limit)}`,
      String(points.length),
    ].map((cell) => `<td>${escapeHtml(cell)}</td>`);
    const mark = latest.verdict === "regression" ? ' class="regression"' : "";
    const link = fileLink(rawFolder, latest.file, timeText(latest.atMs));
    return `<tr title="${escapeHtml(runClass)}">${cells.join("")}<td${mark}>${latest.verdict}</td><td>${link}</td></tr>`;
  });
  const titles = head.map((cell) => `<th>${escapeHtml(cell)}</th>`).join("");
  return `<div class="wide" tabindex="0"><table><thead><tr>${titles}</tr></thead><tbody>\n${rows.join("\n")}\n</tbody></table></div>`;
}

function trendsBody(trends: readonly Trend[]): string {
  const longer = trends.filter(({ points }) => points.length > 1);
  if (longer.length === 0) return "<p>No figure has two runs that can be compared.</p>";
  const groups = Map.groupBy(longer, ({ spec, runClass }) => JSON.stringify([spec.group, runClass]));
  const charts = [...groups.values()].flatMap((group) => {
    const parts = Array.from({ length: Math.ceil(group.length / SERIES_OF_A_CHART) }, (_, part) =>
      group.slice(part * SERIES_OF_A_CHART, (part + 1) * SERIES_OF_A_CHART),
    );
    return parts.map(chartOf);
  });
  return charts.join("\n");
}

function chartOf(group: readonly Trend[]): string {
  const [first] = group;
  if (first === undefined) return "";
  const { spec, runClass } = first;
  const svg = lineChart({
    title: spec.group,
    xLabel: "run, UTC",
    yLabel: spec.unit,
    x: "date",
    series: group.map(({ spec: { label }, points }) => ({
      name: label,
      points: points.map(({ atMs, value }): [number, number] => [atMs, value]),
      marked: points
        .filter(({ verdict }) => verdict === "regression")
        .map(({ atMs, value }): [number, number] => [atMs, value]),
    })),
  });
  const better = spec.better === "less" ? "less is better" : "more is better";
  return `${figure(svg)}<p><small>${escapeHtml(`${runClass}; ${better}; large dots are regressions`)}</small></p>`;
}

function runsBody({ readings, rawFolder }: PageData): string {
  const newestFirst = readings.toSorted((left, right) => right.atMs - left.atMs);
  const rows = newestFirst.map(({ atMs, kind, runClass, verdict = "", commit = "", file }) => {
    const mark = !["", "passed", "interrupted"].includes(verdict) ? ' class="regression"' : "";
    const cells = [timeText(atMs), kind, runClass, commit].map((cell) => `<td>${escapeHtml(cell)}</td>`).join("");
    return `<tr>${cells}<td${mark}>${escapeHtml(verdict)}</td><td>${fileLink(rawFolder, file, file)}</td></tr>`;
  });
  const head = ["UTC", "kind", "machine and load", "commit", "own verdict", "raw result"].map(
    (cell) => `<th>${cell}</th>`,
  );
  return `<div class="wide" tabindex="0"><table><thead><tr>${head.join("")}</tr></thead><tbody>\n${rows.join("\n")}\n</tbody></table></div>`;
}

function howBody(): string {
  return `<p>A figure is compared with the median of up to ${WINDOW_RUNS} runs before it, ${LEAST_RUNS} at least, on the same kind of machine
with the same load. It is a regression where it is worse by more than all of these: a share of that median, an amount in its own
unit, and ${SPREADS} times the spread of those runs (their median distance from the median, as a standard deviation). A
lasting change is marked until it is the median itself. What became better is told, never marked.</p>`;
}

function changeText({ usual, value }: TrendPoint): string {
  if (usual === undefined || usual === 0) return "";
  const percent = ((value - usual) / Math.abs(usual)) * 100;
  return `${percent >= 0 ? "+" : "−"}${Math.abs(percent).toFixed(percent > -10 && percent < 10 ? 1 : 0)} %`;
}

function fileLink(folder: string, file: string, text: string): string {
  const path = [folder, ...file.split("/")].map(encodeURIComponent).join("/");
  return `<a href="${escapeHtml(path)}">${escapeHtml(text)}</a>`;
}

function timeText(atMs: number): string {
  return new Date(atMs).toISOString().slice(0, 16).replace("T", " ");
}

function short(value: number | undefined): string {
  if (value === undefined) return "";
  if (value !== 0 && Math.abs(value) < 0.001) return value.toExponential(1);
  return Number(value.toPrecision(DIGITS)).toLocaleString("en", { maximumSignificantDigits: DIGITS });
}
