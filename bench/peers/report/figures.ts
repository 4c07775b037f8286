/**
 * From samples to figures and ratios. Pure.
 */
import { figure, spread } from "../../lib/markdown.ts";
import { spreadOf, type Spread } from "../../lib/statistics.ts";
import type { TakenSample } from "../comparison.ts";
import { medianCores, METRICS, type Metric } from "../measures/samples.ts";
import type { SystemName } from "../system.ts";
import type { Figure, Ratio } from "./shape.ts";

const OURS: SystemName = "spillway";

/** In the order of the tables. */
export function figuresOf(samples: readonly TakenSample[], systems: readonly SystemName[]): Figure[] {
  return METRICS.flatMap(({ id }) =>
    systems.flatMap((system) => {
      const ours = samples.filter((sample) => sample.metric === id && sample.system === system);
      return ours.length === 0 ? [] : [figureOf(id, system, ours)];
    }),
  );
}

function figureOf(metric: string, system: SystemName, samples: readonly TakenSample[]): Figure {
  const cores = medianCores(samples.flatMap(({ cores }) => cores ?? []));
  const rounds = samples.flatMap(({ round, value }) => (Number.isFinite(value) ? [{ round, value }] : []));
  const missing = rounds.length < samples.length ? ["nothing arrived"] : [];
  return {
    metric,
    system,
    ...(rounds.length === 0 ? {} : { value: spreadOf(rounds.map(({ value }) => value)) }),
    rounds,
    flaws: [...new Set([...samples.flatMap(({ flaws }) => flaws), ...missing])],
    remarks: [...new Set(samples.flatMap(({ remark }) => remark ?? []))],
    ...(cores === undefined ? {} : { cores }),
  };
}

export function ratiosOf(figures: readonly Figure[]): Ratio[] {
  return figures
    .filter(({ system }) => system !== OURS)
    .flatMap((peer) => {
      const ours = figures.find(({ metric, system }) => metric === peer.metric && system === OURS);
      const metric = METRICS.find(({ id }) => id === peer.metric);
      if (ours === undefined || metric === undefined) return [];
      const ratios = pairsOf(ours, peer).map((pair) => ratioOf(metric, pair));
      if (ratios.length === 0) return [];
      const isFlawed = ours.flaws.length > 0 || peer.flaws.length > 0;
      return [{ metric: metric.id, peer: peer.system, ratio: spreadOf(ratios), isFlawed }];
    });
}

/** Of rounds that both have: what disturbed one of them most likely disturbed both. */
function pairsOf(ours: Figure, peer: Figure): { readonly our: number; readonly their: number }[] {
  return ours.rounds.flatMap(({ round, value }) => {
    const their = peer.rounds.find((candidate) => candidate.round === round);
    if (their === undefined) return [];
    // Memory that did not grow, or time too short to tell: no ratio can be made of that.
    return value > 0 && their.value > 0 ? [{ our: value, their: their.value }] : [];
  });
}

function ratioOf({ better }: Pick<Metric, "better">, { our, their }: { our: number; their: number }): number {
  return better === "more" ? our / their : their / our;
}

/** `×1.5 (1.2 to 3)`; of one round, that alone. */
export function timesText(times: Spread): string {
  return `×${times.min === times.max ? figure(times.median) : spread(times)}`;
}

/** Where Spillway is behind, the worst first; of flawed runs as well, which are marked where they are shown. */
export function slowestOf(ratios: readonly Ratio[], most: number): Ratio[] {
  return ratios
    .filter(({ ratio }) => ratio.median < 1)
    .toSorted((a, b) => a.ratio.median - b.ratio.median)
    .slice(0, most);
}
