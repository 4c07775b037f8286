/**
 * Help texts. docs/cli.md has the same, and a test compares the two. No I/O.
 */
import { COMMON_OPTIONS, SERVICE_OPTIONS } from "./arguments.ts";
import type { Command, OptionSpecs } from "./command.ts";

const INDENT = "  ";

export function programHelp(commands: readonly Command[]): string {
  const width = Math.max(...commands.map(({ name }) => name.length));
  return [
    "spillway: operate a Spillway service over its admin API",
    "",
    "Usage: scripts/spillway COMMAND [OPTION]…",
    "",
    "Commands:",
    ...commands.map(({ name, summary }) => `${INDENT}${name.padEnd(width)}  ${summary}`),
    "",
    "Options of every command:",
    ...optionLines(COMMON_OPTIONS),
    "",
    "Options of the commands that call the service:",
    ...optionLines(SERVICE_OPTIONS),
    "",
    "For a service on this machine the token is read from .dev.vars.",
    "",
    "Exit codes: 0 done, 1 failed, 2 wrong command line, 3 not authorised, 4 service unreachable,",
    "5 partly done, 130 interrupted.",
    "",
    "spillway COMMAND --help says more.",
    "",
  ].join("\n");
}

export function commandHelp(command: Command): string {
  const operands = command.operands === undefined ? "" : ` ${command.operands}`;
  const own = Object.keys(command.options).length > 0 ? ["", "Options:", ...optionLines(command.options)] : [];
  const notes = command.notes === undefined ? [] : ["", command.notes];
  const more = command.callsService === false ? "--json, --progress" : "--url, --token-file, --json, --progress";
  return [
    `spillway ${command.name}: ${command.summary}`,
    "",
    `Usage: scripts/spillway ${command.name}${operands} [OPTION]…`,
    ...notes,
    ...own,
    "",
    `Also: ${more} (spillway --help)`,
    "",
    "Examples:",
    ...command.examples.map((example) => `${INDENT}${example}`),
    "",
  ].join("\n");
}

function optionLines(options: OptionSpecs): string[] {
  const shown = Object.entries(options).map(([name, { value, help }]) => ({
    left: `--${name}${value === undefined ? "" : ` ${value}`}`,
    help,
  }));
  const width = Math.max(...shown.map(({ left }) => left.length));
  return shown.map(({ left, help }) => `${INDENT}${left.padEnd(width)}  ${help}`);
}
