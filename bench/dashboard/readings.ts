/**
 * A stored result, as far as trends need it: what kind of run it was, when, on what, and its figures. Pure.
 */
import { member, numberAt, textAt } from "./json-reading.ts";
import { readBench } from "./kinds/bench.ts";
import { readGate } from "./kinds/gate.ts";
import { readNightly } from "./kinds/nightly.ts";
import { readPeers } from "./kinds/peers.ts";
import { readSoak } from "./kinds/soak.ts";
import type { KindReading, Measure } from "./measures.ts";

export interface Reading {
  readonly kind: string;
  readonly atMs: number;
  /** Runs of one class can be compared: the same kind of machine, and the same load. */
  readonly runClass: string;
  /** The run's own word, where it has one. */
  readonly verdict: string | undefined;
  /** Of the source it ran; "+" after it where that had been changed. */
  readonly commit: string | undefined;
  readonly measures: readonly Measure[];
  /** Where it was read from, as the page links to it. */
  readonly file: string;
}

export type ReadingOutcome =
  | { readonly kind: "read"; readonly reading: Reading }
  /** Something beside the results that is no result itself. */
  | { readonly kind: "ignored" }
  | { readonly kind: "broken"; readonly problem: string };

const KINDS: Readonly<Record<string, (json: unknown) => KindReading>> = {
  "sse-live": readGate,
  peers: readPeers,
  bench: readBench,
  soak: readSoak,
  "sim-nightly": readNightly,
};
/** Lie beside results of another kind, which say the same in brief. */
const COMPANIONS = new Set(["sse-live-windowed"]);

export function readResult(text: string, file: string): ReadingOutcome {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    return { kind: "broken", problem: `no JSON: ${error instanceof Error ? error.message : String(error)}` };
  }
  const kind = kindOf(json);
  if (kind === undefined) return { kind: "broken", problem: "no result that is known here" };
  if (COMPANIONS.has(kind)) return { kind: "ignored" };
  const read = KINDS[kind];
  if (read === undefined) return { kind: "broken", problem: `results of kind ${kind} are not known here` };
  const atMs = timeOf(json);
  if (atMs === undefined) return { kind: "broken", problem: "it has no date" };
  const { measures: all, conditions, verdict } = read(json);
  // Half a run says nothing of the whole.
  const measures = verdict === "interrupted" ? [] : all;
  // A run that failed at once, or was cut short, may have none, and is a run all the same.
  if (measures.length === 0 && verdict === undefined) {
    // A benchmark of one case alone may well have none.
    if (kind === "bench") return { kind: "ignored" };
    return { kind: "broken", problem: "it has no figure that is known here" };
  }
  const runClass = [machineOf(json), conditions].filter((part) => part !== "").join(", ");
  return { kind: "read", reading: { kind, atMs, runClass, verdict, commit: commitOf(json), measures, file } };
}

/** Some results do not say what they are. */
function kindOf(json: unknown): string | undefined {
  const kind = textAt(json, "kind");
  if (kind !== undefined) return kind;
  if (member(json, "seeds_per_sec") !== undefined && Array.isArray(member(json, "coverage"))) return "sim-nightly";
  return Array.isArray(member(json, "oneReader")) && Array.isArray(member(json, "latency")) ? "bench" : undefined;
}

/** Dates without a zone are UTC. */
function timeOf(json: unknown): number | undefined {
  const date = textAt(json, "date") ?? textAt(json, "at");
  if (date === undefined) return undefined;
  const atMs = Date.parse(/(?:Z|[+-]\d\d:\d\d)$/.test(date) ? date : `${date}Z`);
  return Number.isNaN(atMs) ? undefined : atMs;
}

const COMMIT_PLACES = [["versions", "commit"], ["machine", "commit"], ["git", "commit"], ["commit"]] as const;
const DIRTY_NAMES = ["dirty", "is_dirty", "isDirty"] as const;

function commitOf(json: unknown): string | undefined {
  for (const place of COMMIT_PLACES) {
    const commit = textAt(json, ...place);
    if (commit === undefined || commit === "") continue;
    const isDirty = DIRTY_NAMES.some((name) => member(json, ...place.slice(0, -1), name) === true);
    return isDirty && !commit.endsWith("+") ? `${commit}+` : commit;
  }
  return undefined;
}

/** Its load is no part of it: that is noise, and shows in the spread. */
function machineOf(json: unknown): string {
  const cores = numberAt(json, "machine", "cores");
  const cpu = textAt(json, "machine", "cpu");
  const platform = textAt(json, "machine", "platform");
  if (cores === undefined && cpu === undefined) return "machine not told";
  return [`${cores ?? "?"} × ${cpu ?? "unknown"}`, platform ?? ""].filter((part) => part !== "").join(", ");
}
