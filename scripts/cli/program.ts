/**
 * The program: reads the command line, runs the command, tells how it ended. Everything of the process is
 * given to it.
 */
import { AdminApi } from "./admin-api.ts";
import { readCommandLine, type Invocation } from "./arguments.ts";
import type { Command, Host } from "./command.ts";
import { readCredentials } from "./credentials.ts";
import { CommandFailure, EXIT, type ExitCode } from "./exit-codes.ts";
import { commandHelp, programHelp } from "./help.ts";
import { printableValue } from "./printable.ts";
import { Terminal, type TerminalOptions } from "./terminal.ts";

export interface ProgramOptions {
  readonly commands: readonly Command[];
  readonly host: Host;
  readonly streams: Pick<TerminalOptions, "stdout" | "stderr" | "stdin">;
  readonly signal: AbortSignal;
}

export async function runProgram(args: readonly string[], options: ProgramOptions): Promise<ExitCode> {
  const isJson = args.includes("--json");
  let terminal = openTerminal(options, { isJson, tellsProgress: undefined });
  try {
    const reading = readCommandLine(args, options.commands);
    if (reading.kind === "help") {
      const { command } = reading;
      options.streams.stdout.write(command === undefined ? programHelp(options.commands) : commandHelp(command));
      return EXIT.ok;
    }
    terminal = openTerminal(options, { isJson, tellsProgress: progressOf(reading.invocation) });
    return await runCommand(reading.invocation, options, terminal);
  } catch (error) {
    return tellFailure(options.signal.aborted ? interrupted(error) : error, terminal);
  } finally {
    terminal.endProgress();
  }
}

function runCommand(
  { command, values, operands }: Invocation,
  { host, signal }: ProgramOptions,
  terminal: Terminal,
): Promise<ExitCode> {
  const api = async () => new AdminApi(await readCredentials(values, host, terminal), host, signal);
  return command.run({ values, operands, terminal, api, host, signal });
}

function progressOf({ values }: Invocation): boolean | undefined {
  if (values.flag("no-progress")) return false;
  return values.flag("progress") ? true : undefined;
}

function openTerminal(
  { streams, host, signal }: ProgramOptions,
  { isJson, tellsProgress }: { readonly isJson: boolean; readonly tellsProgress: boolean | undefined },
): Terminal {
  // https://no-color.org: any value but an empty one.
  const hasColour = streams.stdout.isTTY === true && !host.env["NO_COLOR"];
  return new Terminal({ ...streams, hasColour, isJson, tellsProgress, signal });
}

function interrupted(error: unknown): unknown {
  return error instanceof CommandFailure ? error : new CommandFailure(EXIT.interrupted, "Interrupted.");
}

function tellFailure(error: unknown, terminal: Terminal): ExitCode {
  if (!(error instanceof CommandFailure)) {
    // Our own fault. The message of a foreign error may quote anything: its kind and place will do.
    const { name = "unknown", stack = "" } = error instanceof Error ? error : {};
    terminal.note(
      `Internal error: ${name}\n${stack
        .split("\n")
        .filter((line) => /^\s+at /.test(line))
        .join("\n")}`,
    );
    return EXIT.failed;
  }
  const { exitCode, message, problem } = error;
  if (terminal.isJson) {
    const { members = {}, ...shown } = problem ?? {};
    terminal.note(JSON.stringify({ error: { message, exit_code: exitCode, ...shown, ...members } }));
  } else {
    // Of a problem it is the service's words, and on one line.
    terminal.note(problem === undefined ? message : printableValue(message));
    if (problem !== undefined) {
      terminal.note(printableValue(`(${problem.code}, request ${problem.request_id || "unknown"})`));
    }
  }
  return exitCode;
}
