/**
 * The steps of a fold as text, as short as they are dull: of many strings only those that an event touches are
 * named, and what repeats is counted.
 *
 *   "3,4,0*500"        one string: lengths, the last of them 500 times
 *   "1:7,0:3+1:2,_"    of several strings: index and length of each that is touched; none
 */
import { UNTOUCHED, type FoldSteps } from "./fold-source.ts";

type Step = FoldSteps[number];

const NOTHING = "_";

/** Steps, and how many strings each of them speaks of; 0 for bare numbers. */
export interface StepsText {
  readonly width: number;
  readonly text: string;
}

export function writeSteps(steps: FoldSteps): StepsText {
  const [first] = steps;
  const width = typeof first === "object" ? first.length : 0;
  const words: string[] = [];
  let last: string | undefined;
  let times = 0;
  const close = () => {
    if (last !== undefined) words.push(times > 1 ? `${last}*${times}` : last);
  };
  for (const step of steps) {
    const word = typeof step === "number" ? String(step) : sparse(step);
    if (word === last) {
      times++;
      continue;
    }
    close();
    last = word;
    times = 1;
  }
  close();
  return { width, text: words.join(",") };
}

/** Reads what {@link writeSteps} wrote. */
export function readSteps({ width, text }: StepsText): FoldSteps {
  return text.split(",").flatMap((word) => {
    const [what = "", times = "1"] = word.split("*");
    const step = width === 0 ? Number(what) : dense(what, width);
    return Array.from({ length: Number(times) }, (): Step => step);
  });
}

function sparse(step: readonly number[]): string {
  const touched = step.flatMap((length, at) => (length === UNTOUCHED ? [] : [`${at}:${length}`]));
  return touched.length === 0 ? NOTHING : touched.join("+");
}

function dense(word: string, width: number): number[] {
  const step = Array.from({ length: width }, () => UNTOUCHED);
  if (word === NOTHING) return step;
  for (const pair of word.split("+")) {
    const [at, length] = pair.split(":");
    step[Number(at)] = Number(length);
  }
  return step;
}
