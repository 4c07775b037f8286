/**
 * What a command is: its words on the command line, its help, and what it does.
 */
import type { AdminApi } from "./admin-api.ts";
import type { OptionValues } from "./arguments.ts";
import type { ExitCode } from "./exit-codes.ts";
import type { Terminal } from "./terminal.ts";

export interface OptionSpec {
  readonly type: "string" | "boolean";
  /** What stands for the value in the help: `N`, `FILE`. */
  readonly value?: string;
  readonly help: string;
  readonly isRepeatable?: boolean;
}

export type OptionSpecs = Readonly<Record<string, OptionSpec>>;

export interface Command {
  /** One word or two: `dead-letters list`. */
  readonly name: string;
  readonly summary: string;
  /** What it takes beside options: `FILE`, `[ID]`. */
  readonly operands?: string;
  /** Most words it takes beside options; 0 where not given. */
  readonly maxOperands?: number;
  /** What somebody must know who runs it. */
  readonly notes?: string;
  readonly options: OptionSpecs;
  readonly examples: readonly string[];
  /** False for what calls no service: then the options for it are not offered. */
  readonly callsService?: boolean;
  readonly run: (context: CommandContext) => Promise<ExitCode>;
}

export interface CommandContext {
  readonly values: OptionValues;
  readonly operands: readonly string[];
  readonly terminal: Terminal;
  /** Reads URL and token only where they are needed. */
  readonly api: () => Promise<AdminApi>;
  readonly host: Host;
  /** Aborted by SIGINT. */
  readonly signal: AbortSignal;
}

/** The process around a command, as far as it is needed. */
export interface Host {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Folder of `.dev.vars` and `wrangler.jsonc`. */
  readonly folder: string;
  readonly stdin: NodeJS.ReadableStream;
  readonly fetch: typeof fetch;
  /** How long a call may take, answer and all: one that only looks, and one that does something. */
  readonly timeouts: { readonly lookMs: number; readonly actionMs: number };
  readonly nowMs: () => number;
  readonly wait: (ms: number, signal: AbortSignal) => Promise<void>;
}
