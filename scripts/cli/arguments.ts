/**
 * The command line, read: which command, which options, and what was meant where one is unknown. No I/O.
 */
import { parseArgs } from "node:util";

import type { Command, OptionSpecs } from "./command.ts";
import { usageFailure } from "./exit-codes.ts";
import { shieldDashedIds } from "../dashed-ids.ts";

/** Options of every command. */
export const COMMON_OPTIONS: OptionSpecs = {
  json: { type: "boolean", help: "print JSON" },
  progress: { type: "boolean", help: "tell progress on stderr, also where that is no terminal" },
  "no-progress": { type: "boolean", help: "tell no progress" },
  help: { type: "boolean", help: "print this help" },
};

/** Options of the commands that call the service. */
export const SERVICE_OPTIONS: OptionSpecs = {
  url: { type: "string", value: "URL", help: "the service; else SPILLWAY_URL, else http://127.0.0.1:8787" },
  "token-file": {
    type: "string",
    value: "FILE",
    help: "admin token in a file, - for stdin; else SPILLWAY_ADMIN_TOKEN",
  },
  token: { type: "string", value: "TOKEN", help: "admin token; other users of the machine see it: rather use a file" },
  "allow-http": { type: "boolean", help: "send the token unencrypted to another machine" },
};

export interface Invocation {
  readonly command: Command;
  readonly values: OptionValues;
  readonly operands: readonly string[];
}

export type Reading =
  | { readonly kind: "run"; readonly invocation: Invocation }
  /** Without a command: the help of the program. */
  | { readonly kind: "help"; readonly command: Command | undefined };

/** @throws a usage failure */
export function readCommandLine(args: readonly string[], commands: readonly Command[]): Reading {
  const at = firstWordAt(args);
  const words = [args[at] ?? "", args[at + 1] ?? ""];
  if (words[0] === "") return helpOrUsage(args);
  if (words[0] === "help") return { kind: "help", command: namedInHelp(args.slice(at + 1), commands) };
  const command = findCommand(words, commands);
  if (command === undefined) throw unknownCommand(words, commands);
  const length = command.name.split(" ").length;
  const rest = [...args.slice(0, at), ...args.slice(at + length)];
  const { values, operands } = parseOptions(rest, optionsOf(command));
  if (values.flag("help")) return { kind: "help", command };
  const most = command.maxOperands ?? 0;
  if (operands.length > most) {
    throw usageFailure(`spillway ${command.name} does not take "${operands[most] ?? ""}".`);
  }
  return { kind: "run", invocation: { command, values, operands } };
}

export function optionsOf(command: Command): OptionSpecs {
  const service = command.callsService === false ? {} : SERVICE_OPTIONS;
  return { ...command.options, ...service, ...COMMON_OPTIONS };
}

function helpOrUsage(args: readonly string[]): Reading {
  if (args.length === 0 || args.includes("--help") || args.includes("-h")) return { kind: "help", command: undefined };
  throw usageFailure("Name a command; spillway --help lists them.");
}

/** Where the command begins: common options may come before it. */
function firstWordAt(args: readonly string[]): number {
  const known: OptionSpecs = { ...SERVICE_OPTIONS, ...COMMON_OPTIONS };
  let at = 0;
  for (let arg = args[at]; arg !== undefined && arg.startsWith("-"); arg = args[at]) {
    at += known[arg.slice(2)]?.type === "string" ? 2 : 1;
  }
  return at;
}

function namedInHelp(words: readonly string[], commands: readonly Command[]): Command | undefined {
  if (words[0] === undefined || words[0].startsWith("-")) return undefined;
  const command = findCommand([words[0], words[1] ?? ""], commands);
  if (command === undefined) throw unknownCommand(words, commands);
  return command;
}

/** The longer name wins: `alerts test` before `alerts`. */
function findCommand(words: readonly string[], commands: readonly Command[]): Command | undefined {
  const [first = "", second = ""] = words;
  return commands.find(({ name }) => name === `${first} ${second}`) ?? commands.find(({ name }) => name === first);
}

function unknownCommand(words: readonly string[], commands: readonly Command[]) {
  const [first = "", second = ""] = words;
  const group = commands.filter(({ name }) => name.startsWith(`${first} `)).map(({ name }) => name);
  if (group.length > 0) {
    const near = second === "" ? undefined : nearest(`${first} ${second}`, group);
    const hint = near === undefined ? `It has: ${group.join(", ")}.` : `Did you mean "${near}"?`;
    return usageFailure(`"${first}" needs another word. ${hint}`);
  }
  const near = nearest(first, [...new Set(commands.flatMap(({ name }) => [name, name.split(" ")[0] ?? ""]))]);
  const hint = near === undefined ? "spillway --help lists them." : `Did you mean "${near}"?`;
  return usageFailure(`There is no command "${first}". ${hint}`);
}

function parseOptions(
  args: readonly string[],
  specs: OptionSpecs,
): { values: OptionValues; operands: readonly string[] } {
  const options = Object.fromEntries(
    Object.entries(specs).map(([name, { type, isRepeatable = false }]) => [name, { type, multiple: isRepeatable }]),
  );
  const withValue = Object.keys(specs).filter((name) => specs[name]?.type === "string");
  try {
    const parsed = parseArgs({
      args: shieldDashedIds(args, withValue),
      options: { ...options, help: { type: "boolean", short: "h" } },
      allowPositionals: true,
    });
    return { values: new OptionValues(parsed.values), operands: parsed.positionals };
  } catch (error) {
    throw usageFailure(explain(error, Object.keys(specs)));
  }
}

function explain(error: unknown, names: readonly string[]): string {
  if (!(error instanceof Error)) return String(error);
  const unknown = /^Unknown option '(-[^']*)'/.exec(error.message)?.[1];
  if (unknown === undefined) return error.message.split(". ")[0] ?? error.message;
  const near = nearest(unknown.replace(/^-+/, ""), names);
  return `There is no option ${unknown}.${near === undefined ? "" : ` Did you mean --${near}?`}`;
}

/** What was given, by name; a value that makes no sense is a usage failure. */
export class OptionValues {
  private readonly given: Readonly<Record<string, unknown>>;

  constructor(given: Readonly<Record<string, unknown>>) {
    this.given = given;
  }

  flag(name: string): boolean {
    return this.given[name] === true;
  }

  text(name: string): string | undefined {
    const value = this.given[name];
    if (value === "") throw usageFailure(`--${name} needs a value.`);
    return typeof value === "string" ? value : undefined;
  }

  needed(name: string): string {
    const value = this.text(name);
    if (value === undefined) throw usageFailure(`--${name} is needed.`);
    return value;
  }

  list(name: string): readonly string[] {
    const value = this.given[name];
    return Array.isArray(value) ? value.map(String) : [];
  }

  wholeNumber(name: string, least: number, most: number): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= least && value <= most)) {
      throw usageFailure(`--${name} takes a whole number from ${least} to ${most}.`);
    }
    return value;
  }

  choice<Choice extends string>(name: string, choices: readonly Choice[]): Choice | undefined {
    const text = this.text(name);
    const found = choices.find((choice) => choice === text);
    if (text !== undefined && found === undefined) throw usageFailure(`--${name} takes ${choices.join(", ")}.`);
    return found;
  }
}

/** The candidate that a typing mistake away from `word`, if one is near enough to be meant. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  const [best] = candidates
    .map((candidate) => ({ candidate, distance: editDistance(word, candidate) }))
    .toSorted((left, right) => left.distance - right.distance);
  const limit = Math.max(1, Math.floor(word.length / 2.5));
  return best !== undefined && best.distance <= limit ? best.candidate : undefined;
}

/** Levenshtein's distance. */
function editDistance(left: string, right: string): number {
  let row = Array.from({ length: right.length + 1 }, (_, at) => at);
  for (const [leftAt, letter] of left.split("").entries()) {
    const next = [leftAt + 1];
    for (let at = 0; at < right.length; at++) {
      const change = (row[at] ?? 0) + (letter === right[at] ? 0 : 1);
      next.push(Math.min(change, (row[at + 1] ?? 0) + 1, (next[at] ?? 0) + 1));
    }
    row = next;
  }
  return row[right.length] ?? 0;
}
