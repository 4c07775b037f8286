/**
 * What one step of a simulated stream may be, and how often each comes in a seed.
 */
import type { Random } from "./random.ts";

export type Step =
  | "append"
  | "burst"
  | "overtake"
  | "attach"
  | "take"
  | "pace"
  | "leave"
  | "leaveAll"
  | "probe"
  | "wait"
  | "longWait"
  | "setBack"
  | "fault"
  | "crash"
  | "finish"
  | "activity";

/** Each seed is fond of other things, so that rare sequences are common in some of them. */
export function drawWeights(random: Random): Record<Step, number> {
  const fond = (weight: number) => (random.chance(0.25) ? 0 : weight * random.magnitude(1, 8));
  return {
    append: 20 + fond(10),
    burst: fond(3),
    overtake: fond(0.4),
    attach: 6 + fond(4),
    take: fond(8),
    pace: fond(2),
    leave: fond(3),
    leaveAll: fond(0.5),
    probe: 1 + fond(1),
    wait: 4 + fond(4),
    longWait: fond(0.5),
    setBack: fond(0.5),
    fault: fond(0.7),
    crash: fond(0.4),
    finish: fond(0.5),
    activity: fond(0.5),
  };
}
