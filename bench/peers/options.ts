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
  npm run bench:peers -- --require all             ends with 1 where one of them is missing or failed,
  npm run bench:peers -- --require nchan,bare-do   or one of these

Progress goes to stderr, the table to stdout; table, JSON and a page with charts into the folder.
What the systems need is installed into .peers at the first run.

Exit code: 0 measured; 1 Spillway was to be measured and could not, or nothing could, or a system that --require
names is missing or failed; 2 the command line is wrong.
A peer that fails is reported, and the others go on.`;

export interface PeersOptions {
  readonly systems: readonly SystemName[];
  readonly measures: readonly MeasureName[];
  /** Of these systems: those without which the run has failed. */
  readonly required: readonly SystemName[];
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
      require: { type: "string", multiple: true },
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
  const systems = chosen("--only", SYSTEM_NAMES, values.only);
  return {
    systems,
    required: requiredOf(systems, values.require),
    measures: chosen("--measures", MEASURE_NAMES, values.measures),
    out: values.out,
    plan: { ...plan, rounds, memoryRounds: Math.min(rounds, plan.memoryRounds) },
  };
}

/** @param given `all`, or lists of names; none, without any */
function requiredOf(systems: readonly SystemName[], given: readonly string[] = []): readonly SystemName[] {
  if (given.length === 0) return [];
  if (given.length === 1 && given[0] === "all") return systems;
  const names = chosen("--require", SYSTEM_NAMES, given);
  const leftOut = names.find((name) => !systems.includes(name));
  if (leftOut !== undefined) throw new Error(`--require takes of what is measured: --only leaves out ${leftOut}`);
  return names;
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
