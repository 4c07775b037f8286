/**
 * What wrangler can tell of an account: whether anybody is logged in, which secrets a Worker has, which
 * buckets there are. It only looks.
 */
import { spawnSync } from "node:child_process";
import { stripVTControlCharacters } from "node:util";

export interface WranglerAnswer {
  /** `null` where wrangler could not be run or took too long. */
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs one wrangler command to its end. The only way out of here. */
export type RunWrangler = (args: readonly string[]) => WranglerAnswer;

/** What was found; or why nothing could be. */
export type Looked<T> =
  | { readonly isKnown: true; readonly value: T }
  | { readonly isKnown: false; readonly why: string };

const CALL_TIMEOUT_MS = 60_000;

/** wrangler as it stands on the path: under `npm run`, the project's own. */
export function wranglerIn(root: string): RunWrangler {
  return (args) => {
    const { status, stdout, stderr } = spawnSync("wrangler", args, {
      cwd: root,
      encoding: "utf8",
      timeout: CALL_TIMEOUT_MS,
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, WRANGLER_SEND_METRICS: "false", NO_COLOR: "1" },
    });
    return { status, stdout: stdout ?? "", stderr: stderr ?? "" };
  };
}

/** Nobody is logged in, or wrangler cannot say. */
export function isLoggedIn(run: RunWrangler): boolean {
  return run(["whoami", "--json"]).status === 0;
}

/** Names of the secrets that are set. A Worker that was never deployed has none. */
export function listSecrets(run: RunWrangler, environment: string): Looked<readonly string[]> {
  const answer = run(["secret", "list", "--format", "json", "--env", environment]);
  if (answer.status === 0) return parseSecretList(answer.stdout);
  if (/^.*Worker ".*" .*not found/m.test(answer.stdout + answer.stderr)) return { isKnown: true, value: [] };
  return { isKnown: false, why: `wrangler secret list failed (${firstError(answer)})` };
}

/** Names of the account's buckets. */
export function listBuckets(run: RunWrangler): Looked<readonly string[]> {
  const answer = run(["r2", "bucket", "list"]);
  if (answer.status !== 0) return { isKnown: false, why: `wrangler r2 bucket list failed (${firstError(answer)})` };
  return { isKnown: true, value: [...answer.stdout.matchAll(/^name:\s+(\S+)\s*$/gm)].map(([, name = ""]) => name) };
}

/** Other lines, such as a notice of a newer version, may stand around the list. */
function parseSecretList(stdout: string): Looked<readonly string[]> {
  const text = stdout.slice(stdout.indexOf("["), stdout.lastIndexOf("]") + 1);
  try {
    const entries: unknown = JSON.parse(text);
    if (Array.isArray(entries)) return { isKnown: true, value: entries.map((entry) => String(Object(entry).name)) };
  } catch {
    // Said below: it is no list, whatever it is.
  }
  return { isKnown: false, why: "wrangler secret list did not answer with a list" };
}

/** wrangler's own sentence, without its frame; never more than a line. */
function firstError({ status, stdout, stderr }: WranglerAnswer): string {
  if (status === null) return "it could not be run, or took too long";
  const lines = `${stderr}\n${stdout}`.split("\n").map((line) => stripVTControlCharacters(line).trim());
  const line = lines.find((text) => text.includes("ERROR"))?.replace(/^.*\[?ERROR\]?\s*/, "");
  return (line ?? `exit code ${status}`).slice(0, 200);
}
