/**
 * What was expected beforehand, judged by the ratios of the run, round by round, as its table has them: met, missed,
 * not comparable, or not measured. Pure.
 */
import { figure } from "../../lib/markdown.ts";
import type { Spread } from "../../lib/statistics.ts";
import { METRICS } from "../measures/samples.ts";
import type { SystemFacts, SystemName } from "../system.ts";
import { timesText } from "./figures.ts";
import type { Expectation, Figure, PeersReport, Ratio } from "./shape.ts";

/** Servers on Durable Objects, other than the bare one. */
const OBJECT_SERVERS: readonly SystemName[] = ["orpc-publisher"];
/** Of the best of them, on another machine: what is compared with where none runs here, and beside it where one does. */
const RECORDED = [
  { metric: "append-1", what: "append rate, 1 stream", value: 1500 },
  { metric: "fan-out-200", what: "fan-out to 200 readers", value: 6300 },
] as const;
const FIVE_TIMES = 5;
const OURS: SystemName = "spillway";
const NO_APPENDING =
  "Spillway has no append API yet: its rate is of a source that it reads, with no answer to an event, the other's of " +
  "one request and answer an event";

type Measured = Pick<PeersReport, "figures" | "ratios"> & {
  readonly systems: readonly Pick<SystemFacts, "name" | "producing" | "durability">[];
};

/** One of two that are compared. */
interface Side {
  readonly what: string;
  readonly isMeasured: boolean;
  readonly value: Spread | undefined;
  readonly flaws: readonly string[];
  readonly producing: SystemFacts["producing"] | undefined;
  readonly durability?: string;
}

interface Comparing {
  readonly id: string;
  readonly text: string;
  readonly wanted: number;
  /** Where less is better: Spillway's over the other's is to be this at most. */
  readonly isMost?: boolean;
  readonly metric: string;
  readonly other: SystemName | { readonly recorded: number };
}

export function judge({ figures, ratios, systems }: Measured): Expectation[] {
  return expectedOf(figures).map((comparing) => {
    const { metric, other } = comparing;
    const side = (name: SystemName) =>
      sideOf(
        name,
        figures.find((candidate) => candidate.system === name && candidate.metric === metric),
        systems.find((facts) => facts.name === name),
      );
    const ours = side(OURS);
    if (typeof other !== "string") {
      const times = ours.value === undefined ? undefined : dividedBy(ours.value, other.recorded);
      return judgeOne(comparing, ours, recordedSide(other.recorded), times);
    }
    const found = ratios.find((ratio) => ratio.metric === metric && ratio.peer === other);
    return judgeOne(comparing, ours, side(other), found === undefined ? undefined : timesOf(comparing, found));
  });
}

function expectedOf(figures: readonly Figure[]): Comparing[] {
  const fanOut = [50, 200].map((readers): Comparing => ({
    id: `redis-fan-out-${readers}`,
    text: `fan-out to ${readers} readers ≥ 1 × a hand-written Redis XREAD server`,
    wanted: 1,
    metric: `fan-out-${readers}`,
    other: "redis-streams",
  }));
  const replays = [256, 1000].map((events): Comparing => ({
    id: `bare-replay-${events}`,
    text: `p50 time to the first of ${events} replayed events ≤ 2 × a bare object's answer`,
    wanted: 2,
    isMost: true,
    metric: `replay-${events}-first`,
    other: "bare-do",
  }));
  const running = OBJECT_SERVERS.filter((name) => figures.some(({ system }) => system === name));
  const servers = RECORDED.flatMap(({ metric, what, value }) => {
    const text = `${what} ≥ 5 × other Durable Object servers`;
    const common = { wanted: FIVE_TIMES, metric };
    return [
      ...running.map((name): Comparing => ({
        ...common,
        id: `${name}-${metric}`,
        text: `${text} (${name})`,
        other: name,
      })),
      {
        ...common,
        id: `recorded-${metric}`,
        text: `${text} (recorded on another machine)`,
        other: { recorded: value },
      },
    ];
  });
  return [...fanOut, ...replays, ...servers];
}

function sideOf(what: SystemName, found: Figure | undefined, facts: Measured["systems"][number] | undefined): Side {
  return {
    what,
    isMeasured: found !== undefined,
    value: found?.value,
    flaws: found?.flaws ?? [],
    producing: facts?.producing,
    ...(facts === undefined ? {} : { durability: facts.durability }),
  };
}

/** The recorded servers were appended to; whether all arrived is not known of them. */
function recordedSide(value: number): Side {
  const only = { median: value, min: value, max: value };
  return { what: "recorded on another machine", isMeasured: true, value: only, flaws: [], producing: "append" };
}

function judgeOne(comparing: Comparing, ours: Side, other: Side, times: Spread | undefined): Expectation {
  const { id, text, wanted, isMost = false, metric } = comparing;
  const common = { id, text, wanted, isMost, got: undefined, detail: `${told(ours)}, ${told(other)}` };
  if (!ours.isMeasured || !other.isMeasured) return { ...common, verdict: "not measured" };
  if (isOfAppends(metric) && ours.producing !== other.producing) {
    const each = [ours, other].map((side) => toldApart(side)).join("; ");
    return { ...common, verdict: "not comparable", detail: each, reason: NO_APPENDING };
  }
  const got = times?.median;
  const judged = {
    ...common,
    got,
    detail: times === undefined ? common.detail : `${common.detail}: ${timesText(times)}`,
  };
  // What Spillway did not deliver whole, it did not deliver.
  if (ours.flaws.length > 0) return { ...judged, verdict: "missed", reason: notWhole(ours) };
  if (other.flaws.length > 0) return { ...judged, verdict: "not comparable", reason: notWhole(other) };
  if (got === undefined) return { ...judged, verdict: "not measured", reason: "no round has both" };
  return { ...judged, verdict: (isMost ? got <= wanted : got >= wanted) ? "met" : "missed" };
}

/** Spillway's over the other's. A ratio says how much better it is, which for times is the other way round. */
function timesOf({ isMost = false }: Comparing, { ratio }: Ratio): Spread {
  return isMost ? { median: 1 / ratio.median, min: 1 / ratio.max, max: 1 / ratio.min } : ratio;
}

function dividedBy({ median, min, max }: Spread, by: number): Spread {
  return { median: median / by, min: min / by, max: max / by };
}

function isOfAppends(metric: string): boolean {
  return METRICS.find(({ id }) => id === metric)?.measure === "append";
}

function told({ what, value }: Side): string {
  return `${what} ${figure(value?.median)}`;
}

function toldApart({ what, value, producing, durability }: Side): string {
  const way = producing === "source" ? "read from a source" : "answered one by one";
  return `${what} ${figure(value?.median)} events/s ${way}${durability === undefined ? "" : ` (${durability})`}`;
}

function notWhole({ what, flaws }: Side): string {
  return `${what} was not whole: ${flaws.join("; ")}`;
}
