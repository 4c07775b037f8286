/**
 * Runs a program that installs something. What it says is kept, and told where it fails.
 */
import { execFile } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const TIMEOUT_MS = 600_000;
const OUTPUT_MAX_BYTES = 64 * 1024 * 1024;
const OUTPUT_LINES = 6;
const WARNING = /^(npm warn|W:)/i;
const SUBCOMMAND = /^[a-z]+$/;
/** Where servers lie that the PATH of ordinary users leaves out. */
const MORE_FOLDERS = ["/usr/sbin", "/usr/local/sbin", "/usr/local/bin", "/opt/homebrew/bin"];

/** @returns its standard output. @throws with the first lines of what it said */
export async function runCommand(command: string, args: readonly string[], cwd: string): Promise<string> {
  try {
    const { stdout } = await run(command, args, { cwd, timeout: TIMEOUT_MS, maxBuffer: OUTPUT_MAX_BYTES });
    return stdout;
  } catch (error) {
    // Of a program that fails, Node's error carries the output.
    const { message, stderr = "" } = error as Error & { readonly stderr?: string };
    const lines = stderr.split("\n").filter((line) => line.trim() !== "" && !WARNING.test(line));
    const said = lines.length === 0 ? [message] : lines.slice(0, OUTPUT_LINES);
    throw new Error([`${command} ${args.find((arg) => SUBCOMMAND.test(arg)) ?? ""} failed:`, ...said].join("\n  "), {
      cause: error,
    });
  }
}

/** Full path of a program of this machine; `undefined` where it has none of that name. */
export function findProgram(name: string): string | undefined {
  const folders = [...(process.env["PATH"] ?? "").split(delimiter), ...MORE_FOLDERS].filter(Boolean);
  return folders.map((folder) => join(folder, name)).find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    // Not there, or not ours to run: the search goes on.
    return false;
  }
}
