/**
 * The command line of `npm run bench:peers`.
 */
import { parseArgs } from "node:util";

import { FULL, QUICK, type Plan } from "./measures/plan.ts";
import { MEASURE_NAMES, type MeasureName } from "./measures/samples.ts";
import { SYSTEM_NAMES, type SystemName } from "./system.ts";

const MOST_ROUNDS = 50;

const HELP = `Measures Spillway beside what a user would pick instead, by turns, on this machine.

  npm run bench:peers                              all of it, about fifteen minutes
  npm run bench:peers -- --quick                   one short round, to see that all of it works
  npm run bench:peers -- --only spillway,nchan     some systems:
                                                   ${SYSTEM_NAMES.slice(0, 4).join(", ")},
                                                   ${SYSTEM_NAMES.slice(4).join(", ")}
  npm run bench:peers -- --measures fan-out,live   some measures:
                                                   ${MEASURE_NAMES.join(", ")}
  npm run bench:peers -- --rounds 7                instead of ${FULL.rounds}: medians of more
  npm run bench:peers -- --out FOLDER              where the results go (bench/results)

Progress goes to stderr, the table to stdout; table, JSON and a page with charts into the folder.
What the systems need is installed into .peers at the first run.

Exit code: 0 measured; 1 Spillway itself could not be measured, or nothing could; 2 the command line is wrong.
A peer that fails is reported, and the others go on.`;

export interface PeersOptions {
  readonly systems: readonly SystemName[];
  readonly measures: readonly MeasureName[];
  readonly out: string;
  readonly plan: Plan;
}

/**
 * @returns the text to print instead, where there is nothing to measure
 * @throws an error that names the option at fault
 */
export function readPeersOptions(
  args: readonly string[],
  defaultOut: string,
): PeersOptions | { readonly help: string } {
  const { values } = parseArgs({
    args: [...args],
    options: {
      quick: { type: "boolean", default: false },
      rounds: { type: "string" },
      only: { type: "string", multiple: true },
      measures: { type: "string", multiple: true },
      out: { type: "string", default: defaultOut },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) return { help: HELP };
  if (values.out === "") throw new Error("--out takes a folder");
  const plan = values.quick ? QUICK : FULL;
  const rounds = values.rounds === undefined ? plan.rounds : Number(values.rounds);
  if (!Number.isInteger(rounds) || rounds < 1 || rounds > MOST_ROUNDS) {
    throw new Error(`--rounds takes a number from 1 to ${MOST_ROUNDS}`);
  }
  return {
    systems: chosen("--only", SYSTEM_NAMES, values.only),
    measures: chosen("--measures", MEASURE_NAMES, values.measures),
    out: values.out,
    plan: { ...plan, rounds, memoryRounds: Math.min(rounds, plan.memoryRounds) },
  };
}

/** @param given lists of names with commas between them; all, without any */
function chosen<T extends string>(
  option: string,
  all: readonly T[],
  given: readonly string[] | undefined,
): readonly T[] {
  if (given === undefined) return all;
  const names = given.flatMap((list) => list.split(",")).map((name) => name.trim());
  const unknown = names.find((name) => !all.some((candidate) => candidate === name));
  if (unknown !== undefined) throw new Error(`${option} takes of ${all.join(", ")}, not "${unknown}"`);
  return all.filter((name) => names.includes(name));
}
