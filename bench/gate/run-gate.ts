/**
 * One run of the gate: load, looks at the service, and the judge over both, until the time is over or a rule is
 * broken. Judges nothing itself.
 */
import { setTimeout as wait } from "node:timers/promises";

import { createRandom } from "../../test/fixtures/process-random.ts";
import type { StreamScript } from "./dialect.ts";
import type { Host } from "./host.ts";
import { judgeTotals, judgeWindow, type Failure } from "./judge.ts";
import type { Limits } from "./limits.ts";
import { startLoad, type Load } from "./load.ts";
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
}

export interface GateRun {
  readonly samples: readonly Sample[];
  readonly endMs: number;
  readonly failures: readonly Failure[];
}

const LOOKS_PER_SEC = 2;
const LOOK_MS = 1000 / LOOKS_PER_SEC;
const SAY_EVERY_SEC = 5;

export async function runGate(plan: GatePlan, parts: GateParts): Promise<GateRun> {
  const beganMs = performance.now();
  const log = new SampleLog(() => performance.now() - beganMs);
  let resumes = 0;
  const { chooseScript } = parts;
  const load = startLoad(plan, {
    log,
    nextResume: () => resumes++,
    random: createRandom(plan.seed),
    connection: parts.host.connection,
    ...(chooseScript === undefined ? {} : { chooseScript }),
  });
  try {
    const failures = await watch(plan, parts, { log, load });
    const endMs = log.nowMs();
    const { samples } = log;
    if (failures.length > 0) return { samples, endMs, failures };
    return { samples, endMs, failures: judgeTotals(samples, endMs, plan.limits, plan.cutShare > 0) };
  } finally {
    load.stop();
    await load.over;
  }
}

/** Looks twice a second and judges each second, until the last stream is over. @returns what broke a window's rule */
async function watch(
  { limits }: GatePlan,
  { host, say, onSecond }: GateParts,
  { log, load }: { readonly log: SampleLog; readonly load: Load },
): Promise<Failure[]> {
  let isOver = false;
  void load.over.then(() => (isOver = true));
  for (let look = 1; ; look++) {
    await Promise.race([wait(Math.max(0, look * LOOK_MS - log.nowMs())), load.over]);
    host.look(log);
    log.add((atMs) => ({ kind: "live", atMs, streams: load.live.size }));
    if (isOver) return judgeWindow(log.samples, log.nowMs() / 1000, limits);
    if (look % LOOKS_PER_SEC !== 0) continue;
    const second = look / LOOKS_PER_SEC;
    onSecond?.(second);
    for (const reader of load.live) reader.checkSilence(limits.resumeMs);
    const failures = judgeWindow(log.samples, second, limits);
    if (failures.length > 0) return failures;
    if (second % SAY_EVERY_SEC === 0) say(`${load.live.size} streams live, nothing amiss`);
  }
}
