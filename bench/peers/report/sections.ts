/**
 * What the report says, as headings, lines and tables: written as Markdown and as a page from the same. Pure.
 */
import { figure, spread } from "../../lib/markdown.ts";
import type { SystemFacts } from "../system.ts";
import { slowestOf, timesText } from "./figures.ts";
import type { Figure, PeersReport } from "./shape.ts";

export interface Section {
  readonly heading: string;
  readonly lines: readonly string[];
  readonly tables: readonly Table[];
}

interface Table {
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** What stands at a figure of a run in which something was missing. */
const FLAW_MARK = "⚠";
const MOST_SLOWEST = 12;
/** A load process this busy may be what was measured. */
const BUSY_CORES = 0.9;
const HOW_TO_READ = [
  "Median (least to most) of the rounds. **× is Spillway's ratio to that system, round by round: above 1 is better for " +
    "Spillway, below 1 worse**, for rates and for times alike.",
  `${FLAW_MARK}: something was missing in a run of it, see “Not whole”. –: not measured, or not something that the system does.`,
  "How events come in differs. *source*: the system reads an SSE source, which writes one event to a chunk as fast as taken; " +
    "an event counts when a reader has it. *append*: each event is a request, and counts when it is answered. " +
    "Append rates of the one and the other are not the same thing.",
];

const HOW_JUDGED = [
  "Judged by the median (least to most) of the rounds' ratios, as × in the table; of times it is Spillway's over the other's, 1/×. " +
    "What Spillway did not deliver whole is missed; what another did not is nothing to compare with. " +
    "Read from a source and appended to one by one are not compared.",
];
const NO_SPILLWAY = "Spillway was not measured.";

export function sectionsOf(report: PeersReport): Section[] {
  const sections = [
    figuresSection(report),
    slowestSection(report),
    expectationsSection(report),
    flawsSection(report),
    failuresSection(report),
    systemsSection(report.systems),
    coresSection(report),
    commandsSection(report),
  ];
  return sections.filter((section) => section !== undefined);
}

function figuresSection(report: PeersReport): Section {
  const { systems, metrics } = report;
  const head = ["", "unit", "better", ...systems.map(({ label }) => label)];
  const rows = metrics
    .filter(({ id }) => report.figures.some(({ metric }) => metric === id))
    .map(({ id, label, unit, better }) => [
      label,
      unit,
      better,
      ...systems.map(({ name }) => cellOf(report, id, name)),
    ]);
  const ways = ["events come in by", "", "", ...systems.map(({ producing }) => producing)];
  const durability = ["a taken event is in", "", "", ...systems.map(({ durability }) => durability)];
  return { heading: "Figures", lines: HOW_TO_READ, tables: [{ head, rows: [...rows, ways, durability] }] };
}

function cellOf({ figures, ratios }: PeersReport, metric: string, system: string): string {
  const found = figures.find((figure) => figure.metric === metric && figure.system === system);
  if (found === undefined) return "–";
  const ratio = ratios.find((candidate) => candidate.metric === metric && candidate.peer === system)?.ratio.median;
  const mark = markOf(found.flaws);
  const value =
    found.value === undefined || found.rounds.length < 2 ? figure(found.value?.median) : spread(found.value);
  return `${value}${mark}${ratio === undefined ? "" : ` **×${figure(ratio)}**`}`;
}

function slowestSection({ ratios, metrics, figures, systems }: PeersReport): Section {
  const worst = slowestOf(ratios, MOST_SLOWEST);
  const valueOf = (metric: string, system: string, unit: string) => {
    const found = figures.find((candidate) => candidate.metric === metric && candidate.system === system);
    return `${figure(found?.value?.median)} ${unit}${markOf(found?.flaws)}`;
  };
  const rows = worst.map(({ metric, peer, ratio, isFlawed }) => {
    const found = metrics.find(({ id }) => id === metric);
    const unit = found?.unit ?? "";
    return [
      found?.label ?? metric,
      systems.find(({ name }) => name === peer)?.label ?? peer,
      `${timesText(ratio)}${isFlawed ? ` ${FLAW_MARK}` : ""}`,
      valueOf(metric, "spillway", unit),
      valueOf(metric, peer, unit),
    ];
  });
  const heading = "Where Spillway is slowest";
  if (!hasSpillway(figures)) return { heading, lines: [NO_SPILLWAY], tables: [] };
  if (ratios.length === 0) return { heading, lines: ["No peer was measured beside it."], tables: [] };
  if (rows.length === 0) return { heading, lines: ["In no figure is Spillway behind."], tables: [] };
  const lines = [
    `Its worst ratios, the worst first; below 1 the other is ahead. ${FLAW_MARK}: something was missing, of the side that carries the mark.`,
  ];
  return { heading, lines, tables: [{ head: ["", "behind", "ratio", "Spillway", "the other"], rows }] };
}

function expectationsSection({ expectations, figures }: PeersReport): Section {
  const heading = "Expected figures";
  if (!hasSpillway(figures)) return { heading, lines: [`${NO_SPILLWAY} Nothing of it can be judged.`], tables: [] };
  const head = ["expected", "wanted", "got", "", "from"];
  const rows = expectations.map(({ text, wanted, isMost, got, verdict, detail, reason }) => [
    text,
    `${isMost ? "≤" : "≥"} ${wanted}`,
    figure(got),
    verdict === "missed" ? "**missed**" : verdict,
    reason === undefined ? detail : `${detail}. ${reason}`,
  ]);
  return { heading, lines: HOW_JUDGED, tables: [{ head, rows }] };
}

function hasSpillway(figures: readonly Figure[]): boolean {
  return figures.some(({ system }) => system === "spillway");
}

function markOf(flaws: readonly string[] = []): string {
  return flaws.length > 0 ? ` ${FLAW_MARK}` : "";
}

function flawsSection({ figures, metrics, systems }: PeersReport): Section | undefined {
  const told = figures.filter(
    ({ flaws, remarks }) => flaws.length > 0 || remarks.some((text) => text.includes("lost")),
  );
  if (told.length === 0) return undefined;
  const rows = told.map(({ metric, system, flaws, remarks }) => [
    metrics.find(({ id }) => id === metric)?.label ?? metric,
    systems.find(({ name }) => name === system)?.label ?? system,
    [...flaws, ...remarks].join("; "),
  ]);
  const lines = [
    "Runs in which events were refused or lost. Of fan-out, the figure is of the highest load that every reader got whole, " +
      "and a loss at higher load is told here only.",
  ];
  return { heading: "Not whole", lines, tables: [{ head: ["", "system", "what was missing"], rows }] };
}

function failuresSection({ missing, failures }: PeersReport): Section | undefined {
  if (missing.length === 0 && failures.length === 0) return undefined;
  const rows = [
    ...missing.map(({ name, reason }) => [name, "could not be had on this machine", reason]),
    ...failures.map(({ system, measure, round, detail }) => [system, `${measure}, round ${round + 1}`, detail]),
  ];
  return { heading: "What failed", lines: [], tables: [{ head: ["system", "where", "why"], rows }] };
}

function systemsSection(systems: readonly SystemFacts[]): Section {
  const rows = systems.map(({ label, versions, producing, durability, cannot, notes }) => [
    label,
    versions,
    producing,
    durability,
    cannot.length === 0 ? "–" : cannot.join(", "),
    notes.join(" "),
  ]);
  const head = ["system", "versions", "events come in by", "a taken event is in", "does not do", "notes"];
  return { heading: "Systems", lines: [], tables: [{ head, rows }] };
}

function coresSection({ figures, metrics, systems }: PeersReport): Section | undefined {
  const busy = figures.flatMap((figure) => (figure.cores === undefined ? [] : [{ ...figure, cores: figure.cores }]));
  if (busy.length === 0) return undefined;
  const rows = busy.map(({ metric, system, cores }) => {
    const isLoad = Math.max(cores.source, cores.producers, cores.readers) >= BUSY_CORES;
    return [
      metrics.find(({ id }) => id === metric)?.label ?? metric,
      systems.find(({ name }) => name === system)?.label ?? system,
      ...[cores.system, cores.source, cores.producers, cores.readers].map(figure),
      isLoad ? "the load is at its limit" : "",
    ];
  });
  const head = ["", "system", "system, cores", "source", "producers", "readers", ""];
  const lines = [
    "CPU time over wall time, medians. Of each load process 1 is the most: near it, the load is what was measured.",
  ];
  return { heading: "Who was busy", lines, tables: [{ head, rows: rows.filter(isOfOwnRun(busy)) }] };
}

/** Figures of one run have the same cores: one line is enough. */
function isOfOwnRun(figures: readonly Figure[]) {
  return (_: unknown, at: number): boolean => {
    const { cores, system } = figures[at] ?? {};
    const first = figures.findIndex((other) => other.system === system && isSame(other.cores, cores));
    return first === at;
  };
}

function isSame(one: Figure["cores"], other: Figure["cores"]): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

function commandsSection({ command, systems }: PeersReport): Section {
  const each = systems
    .filter(({ name }) => name !== "spillway")
    .map(({ name }) => `\`npm run bench:peers -- --only spillway,${name}\``);
  return {
    heading: "Again",
    lines: [`This run: \`${command}\`.`, `One peer beside Spillway: ${each.length === 0 ? "–" : each.join(", ")}.`],
    tables: [],
  };
}
