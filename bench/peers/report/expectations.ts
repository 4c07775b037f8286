/**
 * What was expected beforehand, judged by the figures of the run: met, missed, or not measured. Pure.
 */
import { figure } from "../../lib/markdown.ts";
import type { SystemName } from "../system.ts";
import type { Expectation, Figure } from "./shape.ts";

/** Servers on Durable Objects, other than the bare one. */
const OBJECT_SERVERS: readonly SystemName[] = ["orpc-publisher"];
/** Of the best of them, on another machine: what is compared with where none runs here, and beside it where one does. */
const RECORDED = [
  { metric: "append-1", what: "append rate, 1 stream", value: 1500 },
  { metric: "fan-out-200", what: "fan-out to 200 readers", value: 6300 },
] as const;
const FIVE_TIMES = 5;

interface Side {
  readonly what: string;
  readonly value: number | undefined;
  readonly isWhole: boolean;
}

interface Comparing {
  readonly id: string;
  readonly text: string;
  readonly wanted: number;
  /** Where less is better: Spillway's over the other's is to be this at most. */
  readonly isMost?: boolean;
  readonly metric: string;
  readonly other: Side;
}

export function judge(figures: readonly Figure[]): Expectation[] {
  const of = (system: SystemName, metric: string): Side => {
    const found = figures.find((figure) => figure.system === system && figure.metric === metric);
    const isWhole = found === undefined || found.flaws.length === 0;
    return { what: isWhole ? system : `${system} (not whole)`, value: found?.value?.median, isWhole };
  };
  const fanOut = [50, 200].map((readers): Comparing => ({
    id: `redis-fan-out-${readers}`,
    text: `fan-out to ${readers} readers ≥ 1 × a hand-written Redis XREAD server`,
    wanted: 1,
    metric: `fan-out-${readers}`,
    other: of("redis-streams", `fan-out-${readers}`),
  }));
  const replays = [256, 1000].map((events): Comparing => ({
    id: `bare-replay-${events}`,
    text: `p50 time to the first of ${events} replayed events ≤ 2 × a bare object's answer`,
    wanted: 2,
    isMost: true,
    metric: `replay-${events}-first`,
    other: of("bare-do", `replay-${events}-first`),
  }));
  const running = OBJECT_SERVERS.filter((name) => figures.some(({ system }) => system === name));
  const servers = RECORDED.flatMap(({ metric, what, value }): Comparing[] => {
    const recorded = { what: "recorded on another machine", value, isWhole: true };
    const others = [
      ...running.map((name): { id: string; other: Side } => ({ id: name, other: of(name, metric) })),
      { id: "recorded", other: recorded },
    ];
    return others.map(({ id, other }) => ({
      id: `${id}-${metric}`,
      text: `${what} ≥ 5 × other Durable Object servers (${other.what})`,
      wanted: FIVE_TIMES,
      metric,
      other,
    }));
  });
  return [...fanOut, ...replays, ...servers].map((comparing) => judgeOne(comparing, of("spillway", comparing.metric)));
}

function judgeOne({ id, text, wanted, isMost = false, other }: Comparing, ours: Side): Expectation {
  const sides = `${ours.what} ${figure(ours.value)}, ${other.what} ${figure(other.value)}`;
  const common = { id, text, wanted, isMost, detail: sides };
  const isMeasured = ours.value !== undefined && other.value !== undefined;
  const got = isMeasured && Number.isFinite(ours.value / other.value) ? ours.value / other.value : undefined;
  if (got === undefined) return { ...common, got, verdict: "not measured" };
  const isReached = isMost ? got <= wanted : got >= wanted;
  // What Spillway did not deliver whole, it did not deliver.
  const isMet = isReached && ours.isWhole;
  return { ...common, got, verdict: isMet ? "met" : "missed" };
}
