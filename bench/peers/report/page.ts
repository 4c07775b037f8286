/**
 * The comparison as a page with charts. Pure.
 */
import { chartPage, escapeHtml, figure as svgFigure, htmlTable, type PageSection } from "../../charts/chart-page.ts";
import { barChart } from "../../charts/charts.ts";
import { headline } from "./markdown.ts";
import { sectionsOf, type Section } from "./sections.ts";
import type { PeersReport } from "./shape.ts";

/** From so much between the least and the most on, bars of even scale hide the least. */
const WIDE = 30;
const US_PER_MS = 1000;

export function toPage(report: PeersReport): string {
  const [figures, ...others] = sectionsOf(report).map(written);
  const head = { heading: "The run", body: paragraph(headline(report)) };
  const sections = [head, figures, { heading: "Charts", body: chartsOf(report) }, ...others];
  return chartPage(
    `Spillway beside its peers, ${report.date}`,
    sections.filter((section) => section !== undefined),
  );
}

function chartsOf({ metrics, figures, systems }: PeersReport): string {
  const charts = metrics.flatMap(({ id, label, unit, better }) => {
    const bars = systems.flatMap(({ name, label: system }) => {
      const found = figures.find((figure) => figure.metric === id && figure.system === name);
      if (found?.value === undefined || found.value.median <= 0) return [];
      // Room for names is short.
      const shortName = system.replace(/ \(.*\)$/, "");
      const mark = found.flaws.length > 0 ? " ⚠" : "";
      return [{ name: `${shortName}${mark}`, value: found.value.median, isOurs: name === "spillway" }];
    });
    if (bars.length === 0) return [];
    const values = bars.map(({ value }) => value);
    const isWide = Math.max(...values) > WIDE * Math.min(...values);
    // On a logarithmic scale bars begin at 1: what is less would go the other way.
    const isInUs = isWide && unit === "ms" && Math.min(...values) < 1;
    const shown = isInUs ? bars.map((bar) => ({ ...bar, value: bar.value * US_PER_MS })) : bars;
    const isLogarithmic = isWide && shown.every(({ value }) => value >= 1);
    const scale = `${isInUs ? "µs" : unit}, ${better} is better${isLogarithmic ? ", logarithmic" : ""}`;
    return svgFigure(barChart({ title: label, xLabel: scale, bars: shown, isLogarithmic }));
  });
  return charts.join("\n");
}

function written({ heading, lines, tables }: Section): PageSection {
  const texts = lines.map(paragraph);
  const all = tables.map(({ head, rows }) =>
    htmlTable(
      head,
      rows.map((cells) => cells.map(plain)),
    ),
  );
  return { heading, body: [...texts, ...all].join("\n") };
}

/** The few marks of Markdown that lines have: bold, emphasis, code. */
function paragraph(line: string): string {
  const html = escapeHtml(line)
    .replaceAll(/`([^`]*)`/g, "<code>$1</code>")
    .replaceAll(/\*\*([^*]*)\*\*/g, "<strong>$1</strong>")
    .replaceAll(/\*([^*]*)\*/g, "<em>$1</em>");
  return `<p>${html}</p>`;
}

function plain(cell: string): string {
  return cell.replaceAll(/[*`]/g, "");
}
