/**
 * What a comparison leaves behind, as JSON: read again by the dashboard. `version` changes with the meaning
 * of what is here.
 */
import type { Machine } from "../../lib/machine.ts";
import type { Spread } from "../../lib/statistics.ts";
import type { Failure } from "../comparison.ts";
import type { Cores, Metric } from "../measures/samples.ts";
import type { MissingSystem, SystemFacts, SystemName } from "../system.ts";

export interface PeersReport {
  readonly kind: "peers";
  readonly version: 2;
  /** UTC, to the second, without a zone. */
  readonly date: string;
  readonly command: string;
  readonly isQuick: boolean;
  readonly rounds: number;
  readonly durationSec: number;
  readonly machine: Machine;
  /** Those that ran. */
  readonly systems: readonly SystemFacts[];
  readonly missing: readonly MissingSystem[];
  readonly failures: readonly Failure[];
  readonly metrics: readonly Metric[];
  readonly figures: readonly Figure[];
  readonly ratios: readonly Ratio[];
  readonly expectations: readonly Expectation[];
}

/** One metric of one system, over the rounds. */
export interface Figure {
  readonly metric: string;
  readonly system: SystemName;
  /** Not there where nothing arrived in any round. */
  readonly value?: Spread;
  readonly rounds: readonly RoundValue[];
  /** What was missing in any of the rounds: a figure with flaws does not stand for a whole run. */
  readonly flaws: readonly string[];
  readonly remarks: readonly string[];
  /** Medians of the rounds; of measures that keep the machine busy. */
  readonly cores?: Cores;
}

interface RoundValue {
  readonly round: number;
  readonly value: number;
}

/** Spillway beside one peer, round by round: above 1 is better for Spillway, whichever way the metric goes. */
export interface Ratio {
  readonly metric: string;
  readonly peer: SystemName;
  readonly ratio: Spread;
  readonly isFlawed: boolean;
}

export interface Expectation {
  readonly id: string;
  readonly text: string;
  /** Least that is wanted of `got`, or the most where `isMost`. */
  readonly wanted: number;
  readonly isMost: boolean;
  /** The median of the rounds' ratios, as in the table. */
  readonly got: number | undefined;
  readonly verdict: "met" | "missed" | "not comparable" | "not measured";
  /** What it was computed from, in words. */
  readonly detail: string;
  /** Why it is not met, where that is not by the figures alone. */
  readonly reason?: string;
}
