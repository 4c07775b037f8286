/**
 * The run itself: turn by turn a fresh instance, warmed up, measured, stopped. What fails is noted, and the
 * others go on.
 */
import { measureAppend } from "./measures/append.ts";
import { measureFanOut, measureLive, measureStreams } from "./measures/deliveries.ts";
import { measureMemory, measureReplay, measureStored } from "./measures/holdings.ts";
import type { Plan } from "./measures/plan.ts";
import type { MeasureName, Sample } from "./measures/samples.ts";
import type { Memo, Scene } from "./measures/scene.ts";
import { warmUp } from "./measures/warm-up.ts";
import { withLimit, type Session } from "./session.ts";
import type { RunningSystem, StartSystem, SystemFacts, SystemHome, SystemName } from "./system.ts";
import { possible, secondsLeft, turnsOf, type Turn } from "./turns.ts";

const MEASURES: Readonly<Record<MeasureName, (scene: Scene, plan: Plan) => Promise<Sample[]>>> = {
  append: measureAppend,
  live: measureLive,
  replay: measureReplay,
  "fan-out": measureFanOut,
  streams: measureStreams,
  memory: measureMemory,
  stored: measureStored,
};

const MEASURE_LIMIT_MS = 150_000;
const SPARE_READERS = 10;
/** After so many failures of a kind, a system is not asked again. */
const MOST_FAILURES = 2;

export interface Comparison {
  readonly systems: ReadonlyMap<SystemName, StartSystem>;
  readonly measures: readonly MeasureName[];
  readonly plan: Plan;
}

export interface TakenSample extends Sample {
  readonly system: SystemName;
  readonly round: number;
}

export interface Failure {
  readonly system: SystemName;
  /** `start`, where it did not come that far. */
  readonly measure: MeasureName | "start";
  readonly round: number;
  readonly detail: string;
}

export interface Outcome {
  readonly facts: readonly SystemFacts[];
  readonly samples: readonly TakenSample[];
  readonly failures: readonly Failure[];
}

export class ComparisonRun {
  private readonly facts = new Map<SystemName, SystemFacts>();
  private readonly samples: TakenSample[] = [];
  private readonly failures: Failure[] = [];
  private readonly memos = new Map<SystemName, Memo>();
  private streams = 0;

  private readonly comparison: Comparison;
  private readonly session: Session;
  private readonly note: (line: string) => void;

  constructor(comparison: Comparison, session: Session, note: (line: string) => void) {
    this.comparison = comparison;
    this.session = session;
    this.note = note;
  }

  async run(): Promise<Outcome> {
    const { systems, measures, plan } = this.comparison;
    const turns = turnsOf([...systems.keys()], measures, plan);
    const beganMs = performance.now();
    for (const [done, turn] of turns.entries()) {
      const left = secondsLeft(done, turns.length, (performance.now() - beganMs) / 1000);
      const about = left === undefined ? "" : `, about ${Math.ceil(left / 60)} min left`;
      const where = `round ${turn.round + 1} of ${plan.rounds}, ${turn.system} (${done + 1} of ${turns.length}${about})`;
      await this.take(turn, where);
    }
    const facts = [...systems.keys()].flatMap((name) => this.facts.get(name) ?? []);
    return { facts, samples: this.samples, failures: this.failures };
  }

  /** Measures as far as the instance holds; after a failure the rest on a fresh one. */
  private async take(turn: Turn, where: string): Promise<void> {
    let left = turn.measures;
    while (left.length > 0) left = await this.takeSome({ ...turn, measures: left }, where);
  }

  /** @returns what is still to be measured, on another instance */
  private async takeSome(turn: Turn, where: string): Promise<readonly MeasureName[]> {
    const start = this.comparison.systems.get(turn.system);
    if (start === undefined || this.hasGivenUp(turn.system, "start")) return [];
    const left = new Set(turn.measures.filter((name) => !this.hasGivenUp(turn.system, name)));
    let begun: { readonly system: RunningSystem; readonly home: SystemHome } | undefined;
    let current: Failure["measure"] = "start";
    try {
      begun = await this.begin(start);
      this.facts.set(turn.system, begun.system.facts);
      const scene = await this.sceneOf(begun.system);
      const measures = possible([...left], begun.system.facts);
      if (measures.some((name) => name !== "memory")) await warmUp(scene);
      for (const name of measures) {
        current = name;
        this.note(`${where}: ${name}`);
        await this.measure(scene, turn, name);
        left.delete(name);
      }
      left.clear();
    } catch (error) {
      const detail = (error instanceof Error ? error.message : String(error)).trim();
      this.failures.push({ system: turn.system, measure: current, round: turn.round, detail });
      this.note(`${where}: ${current} FAILED: ${detail}`);
      this.session.dropLoad();
      if (current === "start") left.clear();
      else left.delete(current);
    }
    if (begun !== undefined) await this.end(begun, where);
    return [...left];
  }

  private async begin(start: StartSystem): Promise<{ system: RunningSystem; home: SystemHome }> {
    const { plan } = this.comparison;
    const maxReaders = Math.max(...plan.fanOut.readers) + SPARE_READERS;
    const { sourceOrigin } = await this.session.load();
    const home = { folder: this.session.folderForOne(), sourceOrigin, maxReaders, maxEvents: plan.maxEvents };
    return { home, system: await this.session.start(start, home) };
  }

  private async sceneOf(system: RunningSystem): Promise<Scene> {
    const memo = this.memos.get(system.facts.name) ?? { ratePerSec: Number.NaN, fanOutRates: new Map() };
    this.memos.set(system.facts.name, memo);
    return { system, memo, load: await this.session.load(), nextName: () => `s${++this.streams}` };
  }

  private async measure(scene: Scene, { system, round }: Turn, name: MeasureName): Promise<void> {
    const work = MEASURES[name](scene, this.comparison.plan);
    const samples = await withLimit(MEASURE_LIMIT_MS, work, `${name} did not end`);
    this.samples.push(...samples.map((sample) => ({ ...sample, system, round })));
  }

  private async end(begun: { system: RunningSystem; home: SystemHome }, where: string): Promise<void> {
    try {
      await this.session.stop(begun.system, begun.home);
    } catch (error) {
      // Its processes were killed: the others are not disturbed.
      this.note(`${where}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  private hasGivenUp(system: SystemName, measure: Failure["measure"]): boolean {
    const failed = this.failures.filter((failure) => failure.system === system && failure.measure === measure);
    return failed.length >= MOST_FAILURES;
  }
}
