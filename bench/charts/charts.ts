/**
 * Charts as SVG text, for pages that need no script: lines over time or runs, and bars side by side.
 *
 * Drawn by ECharts without a browser. Colours of text and lines are the page's custom properties
 * (chart-page.ts), so that a chart follows its page into the dark.
 */
import { BarChart, LineChart, ScatterChart } from "echarts/charts";
import { AriaComponent, GridComponent, LegendComponent, MarkLineComponent, TitleComponent } from "echarts/components";
import { init, use } from "echarts/core";
import { SVGRenderer } from "echarts/renderers";

use([
  AriaComponent,
  BarChart,
  GridComponent,
  LegendComponent,
  LineChart,
  MarkLineComponent,
  ScatterChart,
  SVGRenderer,
  TitleComponent,
]);

interface LineSeries {
  readonly name: string;
  /** x ascending; a point without a value is a break in the line. */
  readonly points: readonly (readonly [x: number, y: number | undefined])[];
  /** Points that need a look, drawn large in the colour of warnings. */
  readonly marked?: readonly (readonly [x: number, y: number])[];
}

export interface LineChartOptions {
  readonly title: string;
  readonly xLabel: string;
  readonly yLabel: string;
  readonly series: readonly LineSeries[];
  /** A line across: what is allowed or expected. */
  readonly limit?: { readonly label: string; readonly y: number };
  /** How x is written: as it is, or as a UTC date. */
  readonly x?: "number" | "date";
}

export interface BarChartOptions {
  readonly title: string;
  /** What the bars' length means, with its unit. */
  readonly xLabel: string;
  readonly bars: readonly { readonly name: string; readonly value: number; readonly isOurs?: boolean }[];
  /** For values that lie powers of ten apart. */
  readonly isLogarithmic?: boolean;
}

const WIDTH_PX = 720;
const LINE_HEIGHT_PX = 320;
const BAR_HEIGHT_PX = 30;
const BAR_CHROME_PX = 90;
const INK = "var(--ink)";
const FAINT = "var(--faint)";
const OURS = "var(--ours)";
const OTHERS = "var(--others)";
const WARNING = "var(--warning)";
const SERIES_COLOURS = [OURS, "var(--series-2)", "var(--series-3)", "var(--series-4)", "var(--series-5)"];
const AXIS = {
  axisLabel: { color: INK, fontSize: 12 },
  axisLine: { lineStyle: { color: FAINT } },
  nameTextStyle: { color: INK, fontSize: 12 },
  splitLine: { lineStyle: { color: FAINT, opacity: 0.4 } },
};
/** By a function: the library's own labels of time have sizes of their own. */
const DATE_AXIS = {
  type: "time" as const,
  splitNumber: 6,
  axisLabel: { color: INK, fontSize: 12, hideOverlap: true, formatter: (atMs: number) => dateText(atMs) },
};

/** @returns an `<svg>` element as text */
export function lineChart({ title, xLabel, yLabel, series, limit, x = "number" }: LineChartOptions): string {
  const lines = series.map(({ name, points }, at) => ({
    type: "line" as const,
    name,
    showSymbol: points.length < 60,
    symbolSize: 5,
    color: SERIES_COLOURS[at % SERIES_COLOURS.length] ?? OURS,
    data: points.map(([at, y]) => [at, y ?? "-"]),
    ...(limit !== undefined && at === 0 ? { markLine: limitLine(limit) } : {}),
  }));
  const marks = series.flatMap(({ marked }) =>
    marked === undefined
      ? []
      : [{ type: "scatter" as const, symbolSize: 13, color: WARNING, data: marked.map(([at, y]) => [at, y]) }],
  );
  const names = series.map(({ name }) => name);
  return draw(LINE_HEIGHT_PX, {
    title: titleOf(title),
    legend: { show: names.length > 1, data: names, bottom: 0, textStyle: { color: INK } },
    grid: { left: 70, right: 50, top: 70, bottom: names.length > 1 ? 70 : 45 },
    xAxis: {
      ...AXIS,
      ...(x === "date" ? DATE_AXIS : { type: "value" as const }),
      name: xLabel,
      nameLocation: "middle",
      nameGap: 28,
      min: "dataMin",
    },
    yAxis: { ...AXIS, type: "value", name: yLabel, nameLocation: "end", scale: isFar(series), ...roomFor(limit) },
    series: [...lines, ...marks],
  });
}

/** @returns an `<svg>` element as text; the first bar on top */
export function barChart({ title, xLabel, bars, isLogarithmic = false }: BarChartOptions): string {
  return draw(BAR_CHROME_PX + bars.length * BAR_HEIGHT_PX, {
    title: titleOf(title),
    grid: { left: 190, right: 80, top: 40, bottom: 45 },
    xAxis: { ...AXIS, type: isLogarithmic ? "log" : "value", name: xLabel, nameLocation: "middle", nameGap: 28 },
    yAxis: { ...AXIS, type: "category", inverse: true, data: bars.map(({ name }) => name) },
    series: [
      {
        type: "bar",
        barMaxWidth: 20,
        label: {
          show: true,
          position: "right",
          color: INK,
          formatter: ({ value }: { readonly value: unknown }) => shortFigure(Number(value)),
        },
        data: bars.map(({ value, isOurs = false }) => ({ value, itemStyle: { color: isOurs ? OURS : OTHERS } })),
      },
    ],
  });
}

/** Values that lie close together far from zero: on an axis from zero what matters would be a flat line. */
function isFar(series: readonly LineSeries[]): boolean {
  const values = series.flatMap(({ points }) => points.flatMap(([, y]) => (y === undefined ? [] : [y])));
  const [least, most] = [Math.min(...values), Math.max(...values)];
  return least > 0 && most - least < least / 4;
}

/** An axis that ends below its limit would not show it. */
function roomFor(limit: LineChartOptions["limit"]) {
  return limit === undefined ? {} : { max: ({ max }: { readonly max: number }) => Math.max(max, limit.y * 1.1) };
}

/** `11-21 14:05`, UTC. */
function dateText(atMs: number): string {
  return new Date(atMs).toISOString().slice(5, 16).replace("T", " ");
}

/** Three significant digits, without powers of ten. */
function shortFigure(value: number): string {
  return Number(value.toPrecision(3)).toLocaleString("en-GB", { maximumFractionDigits: 6 });
}

function titleOf(text: string) {
  return { text, left: 0, textStyle: { color: INK, fontSize: 15, fontWeight: "bold" as const } };
}

function limitLine({ label, y }: { readonly label: string; readonly y: number }) {
  return {
    symbol: "none",
    silent: true,
    lineStyle: { color: WARNING, type: "dashed" as const },
    label: { formatter: label, color: INK, position: "insideEndTop" as const },
    data: [{ yAxis: y }],
  };
}

function draw(height: number, option: Parameters<ReturnType<typeof init>["setOption"]>[0]): string {
  const chart = init(undefined, undefined, { renderer: "svg", ssr: true, width: WIDTH_PX, height });
  try {
    chart.setOption({ animation: false, aria: { enabled: true }, textStyle: { fontFamily: "inherit" }, ...option });
    return chart.renderToSVGString();
  } finally {
    chart.dispose();
  }
}
