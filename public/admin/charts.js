// @ts-check
/**
 * Draws charts: uPlot for the lines, a list for the values, a table for those who would rather read.
 *
 * uPlot is loaded apart from the page. It asks for the number format of the browser's language when it is
 * loaded, and throws where that language is none (Chromium started with `LANG=C`): then the page has no lines,
 * says so, and has everything else.
 */
import { CHARTS, chartData, chartSummary } from "./chart-specs.js";
import { element, find, setText } from "./elements.js";
import { minute, UNKNOWN } from "./format.js";
import { LiveTable } from "./live-table.js";
import { describe } from "./outcome.js";
import { colourOf } from "./theme.js";

/** @import uPlot from "./vendor/uplot.js" */
/** @import { Point } from "./contract.d.ts" */
/** @import { ChartSpec } from "./chart-specs.js" */

const HEIGHT_PX = 132;
const LEAST_SPAN_SEC = 1800;
const ROWS_MAX = 60;
const DASHES = [[], [6, 3], [2, 3]];

export class Charts {
  constructor() {
    const host = find("#charts", HTMLElement);
    this.charts = CHARTS.map((spec) => new Chart(host, spec));
    void this.#load();
  }

  async #load() {
    try {
      const { default: Plot } = await import("./vendor/uplot.js");
      for (const chart of this.charts) chart.drawWith(Plot);
    } catch (error) {
      find("#charts-problem", HTMLElement).textContent =
        `The charts cannot be drawn in this browser (${describe(error)}). Their last values and their tables are here.`;
      for (const chart of this.charts) chart.drawNothing();
    }
  }

  show(/** @type {readonly Point[]} */ points) {
    for (const chart of this.charts) chart.show(points);
  }

  /** After a change of colours. */
  redraw() {
    for (const chart of this.charts) chart.draw();
  }
}

class Chart {
  /** @type {readonly Point[]} */
  #points = [];
  /** Undefined until it is loaded; null where it cannot be. @type {typeof uPlot | null | undefined} */
  #Plot;
  /** @type {uPlot | undefined} */
  #plot;

  /** @param {HTMLElement} host @param {ChartSpec} spec */
  constructor(host, spec) {
    this.spec = spec;
    this.when = element("span", { class: "soft" });
    this.values = spec.series.map(() => element("b", {}, "–"));
    const legend = spec.series.map(({ label }, index) =>
      element("li", {}, element("i", { class: `swatch line-${index + 1}` }), `${label} `, this.values[index] ?? ""),
    );
    this.canvas = element("div", { class: "plot", role: "img" });
    this.canvas.hidden = true;
    this.empty = element("p", { class: "plot empty" }, UNKNOWN);
    this.details = element("details", {}, element("summary", {}, "As a table"));
    const tableHost = element("div");
    this.details.append(tableHost);
    this.table = this.#makeTable(tableHost);
    this.details.addEventListener("toggle", () => this.#showTable());
    const title = element("h3", {}, spec.title);
    const about = element("p", { class: "soft" }, spec.about);
    const caption = element("figcaption", {}, title, about, element("ul", { class: "legend" }, ...legend), this.when);
    host.append(element("figure", { class: "chart panel" }, caption, this.canvas, this.empty, this.details));
    new ResizeObserver(() => this.#fit()).observe(this.canvas);
  }

  drawWith(/** @type {typeof uPlot} */ Plot) {
    this.#Plot = Plot;
    this.draw();
  }

  drawNothing() {
    this.#Plot = null;
    this.canvas.hidden = true;
  }

  show(/** @type {readonly Point[]} */ points) {
    this.#points = points;
    this.canvas.setAttribute("aria-label", chartSummary(points, this.spec));
    this.canvas.hidden = points.length === 0 || this.#Plot === null;
    this.empty.hidden = points.length > 0;
    setText(this.empty, "The first point comes with the first minute that something happens in.");
    if (this.#plot === undefined) this.draw();
    else this.#plot.setData(chartData(points, this.spec));
    this.#showValues(undefined);
    this.#showTable();
  }

  /** Makes the plot anew: its colours are fixed when it is made. */
  draw() {
    this.#plot?.destroy();
    this.#plot = undefined;
    if (this.#points.length > 0 && this.#Plot)
      this.#plot = new this.#Plot(this.#options(), chartData(this.#points, this.spec), this.canvas);
  }

  #fit() {
    const { clientWidth } = this.canvas;
    if (clientWidth > 0) this.#plot?.setSize({ width: clientWidth, height: HEIGHT_PX });
  }

  /** Those under the pointer; the last ones where it is elsewhere. */
  #showValues(/** @type {number | undefined} */ index) {
    const data = chartData(this.#points, this.spec);
    const at = index ?? data[0].length - 1;
    for (const [series, node] of this.values.entries()) {
      setText(node, this.spec.show(data[series + 1]?.[at] ?? null));
    }
    const sec = data[0][at];
    setText(
      this.when,
      sec === undefined ? "no points yet" : `${index === undefined ? "last " : ""}${minute(sec * 1000)}`,
    );
  }

  #showTable() {
    if (this.details.open) this.table.show(this.#points.slice(-ROWS_MAX).toReversed());
  }

  #makeTable(/** @type {HTMLElement} */ host) {
    const { title, series, show } = this.spec;
    return new LiveTable(host, {
      caption: `${title}: the last ${ROWS_MAX} minutes`,
      columns: [
        { title: "Time", text: ({ at }) => minute(Date.parse(at)), isHeader: true },
        ...series.map(({ label, of }) => ({
          title: label,
          kind: /** @type {const} */ ("number"),
          text: (/** @type {Point} */ point) => show(of(point)),
        })),
      ],
      key: ({ at }) => at,
      empty: "No points yet.",
    });
  }

  /** @returns {uPlot.Options} */
  #options() {
    const soft = colourOf("--soft");
    const line = colourOf("--line");
    const axis = { stroke: soft, font: "11px system-ui, sans-serif", ticks: { show: false } };
    const { show, series, marks = [], scale } = this.spec;
    return {
      width: Math.max(this.canvas.clientWidth, 1),
      height: HEIGHT_PX,
      padding: [8, 8, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 } },
      scales: {
        x: { time: true, range: () => timeSpan(this.#points) },
        y: {
          range: (_, min, max) =>
            scale === undefined ? [0, Math.max((max ?? 0) * 1.1, 1)] : scale(min ?? 0, max ?? 0),
        },
      },
      axes: [
        {
          ...axis,
          grid: { show: false },
          space: 60,
          size: 24,
          values: (_, splits) => splits.map((sec) => minute(sec * 1000)),
        },
        {
          ...axis,
          grid: { stroke: line, width: 1 },
          space: 28,
          size: (_, values) => 14 + 6.5 * Math.max(2, ...(values ?? []).map((value) => value.length)),
          values: (_, splits) => splits.map((value) => (isShown(value, show) ? show(value) : "")),
        },
      ],
      series: [
        {},
        ...series.map(({ label }, index) => ({
          label,
          stroke: colourOf(`--line-${index + 1}`),
          width: 1.75,
          dash: DASHES[index] ?? [],
          points: { show: this.#points.length < 3, size: 5 },
        })),
      ],
      hooks: {
        setCursor: [({ cursor }) => this.#showValues(cursor.idx ?? undefined)],
        draw: [(plot) => drawMarks(plot, marks)],
      },
    };
  }
}

/** Of the points themselves: uPlot makes a day of a single one. @param {readonly Point[]} points @returns {[number, number]} */
function timeSpan(points) {
  const [firstSec, lastSec] = [points[0], points.at(-1)].map((point) => Date.parse(point?.at ?? "") / 1000 || 0);
  return [Math.min(firstSec ?? 0, (lastSec ?? 0) - LEAST_SPAN_SEC), lastSec ?? 0];
}

/** Counts have no halves. @param {number} value @param {(value: number) => string} show */
function isShown(value, show) {
  return Number.isInteger(value) || show(value).includes(" ");
}

/** @param {uPlot} plot @param {readonly number[]} marks */
function drawMarks(plot, marks) {
  const { ctx, bbox } = plot;
  const tones = marks.length === 1 ? ["--warn"] : ["--info", "--warn", "--bad"];
  ctx.save();
  ctx.lineWidth = devicePixelRatio;
  ctx.setLineDash([4 * devicePixelRatio, 4 * devicePixelRatio]);
  for (const [index, mark] of marks.entries()) {
    const y = Math.round(plot.valToPos(mark, "y", true));
    if (y < bbox.top) continue;
    ctx.strokeStyle = colourOf(tones[index] ?? "--warn");
    ctx.beginPath();
    ctx.moveTo(bbox.left, y);
    ctx.lineTo(bbox.left + bbox.width, y);
    ctx.stroke();
  }
  ctx.restore();
}
