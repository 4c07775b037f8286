/**
 * One run of the gate: load, looks at the service, and the judge over both, until the time is over or a rule is
 * broken. Judges nothing itself.
 */
import { setTimeout as wait } from "node:timers/promises";

import { createRandom } from "../../test/fixtures/process-random.ts";
import type { StreamScript } from "./dialect.ts";
import type { Host } from "./host.ts";
import { judgeTotals, judgeWindow, type Asked, type Failure } from "./judge.ts";
import type { Limits } from "./limits.ts";
import { RAMP_MS, startLoad, type Load } from "./load.ts";
import { SampleLog, type Sample } from "./samples.ts";

export interface GatePlan {
  readonly seconds: number;
  readonly streams: number;
  readonly cutShare: number;
  readonly rate: number;
  readonly seed: number;
  readonly limits: Limits;
}

export interface GateParts {
  readonly host: Host;
  readonly say: (line: string) => void;
  readonly chooseScript?: (atMs: number) => StreamScript | undefined;
  /** Told of each second, for whoever makes things go wrong. */
  readonly onSecond?: (second: number) => void;
  /** Ends the run where it is, with what there is. */
  readonly signal?: AbortSignal;
}

export interface GateRun {
  readonly samples: readonly Sample[];
  readonly endMs: number;
  readonly failures: readonly Failure[];
  /** Broken off: what was not found yet is not known. */
  readonly isInterrupted?: boolean;
}

const LOOKS_PER_SEC = 2;
const LOOK_MS = 1000 / LOOKS_PER_SEC;
const SAY_EVERY_SEC = 5;

export async function runGate(plan: GatePlan, parts: GateParts): Promise<GateRun> {
  const beganMs = performance.now();
  const log = new SampleLog(() => performance.now() - beganMs);
  let resumes = 0;
  let streams = 0;
  const { chooseScript, host, signal } = parts;
  const load = startLoad(plan, {
    log,
    nextResume: () => resumes++,
    random: createRandom(plan.seed),
    nextMark: () => `s${++streams}`,
    connection: host.connection,
    ...(chooseScript === undefined ? {} : { chooseScript }),
  });
  try {
    const failures = await watch(plan, parts, { log, load });
    const endMs = log.nowMs();
    const { samples } = log;
    if (failures.length > 0) return { samples, endMs, failures };
    if (signal?.aborted === true) return { samples, endMs, failures, isInterrupted: true };
    return { samples, endMs, failures: judgeTotals(samples, endMs, plan.limits, askedOf(plan, host)) };
  } finally {
    load.stop();
    await load.over;
  }
}

function askedOf({ seconds, streams, cutShare }: GatePlan, { measures }: Host): Asked {
  return {
    seconds,
    streams,
    isCutting: cutShare > 0,
    measuresMemory: measures.memory,
    measuresTrims: measures.trims,
  };
}

/** Looks twice a second and judges each second, until the last stream is over. @returns what broke a window's rule */
async function watch(
  { limits, seconds }: GatePlan,
  { host, say, onSecond, signal }: GateParts,
  { log, load }: { readonly log: SampleLog; readonly load: Load },
): Promise<Failure[]> {
  let isOver = false;
  void load.over.then(() => (isOver = true));
  signal?.addEventListener("abort", () => load.stop());
  for (let look = 1; ; look++) {
    await Promise.race([wait(Math.max(0, look * LOOK_MS - log.nowMs())), load.over]);
    host.look(log);
    if (signal?.aborted === true) return [];
    const isKept = log.nowMs() >= RAMP_MS && log.nowMs() < seconds * 1000;
    if (isKept) log.add((atMs) => ({ kind: "live", atMs, ...load.share() }));
    if (isOver) return judgeWindow(log.samples, log.nowMs() / 1000, limits, true);
    if (look % LOOKS_PER_SEC !== 0) continue;
    const second = look / LOOKS_PER_SEC;
    onSecond?.(second);
    for (const reader of load.live) reader.checkSilence(limits.silenceMs);
    const failures = judgeWindow(log.samples, second, limits);
    if (failures.length > 0) return failures;
    if (second % SAY_EVERY_SEC === 0) say(`${load.live.size} streams live, nothing amiss`);
  }
}
