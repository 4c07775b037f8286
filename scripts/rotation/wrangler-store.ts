/**
 * Secrets of a deployed service, at Cloudflare, through wrangler. They can be set there and listed by name, and never
 * read back: the one in use has to be given.
 *
 * `wrangler secret bulk` takes them on stdin, never as an argument, and sets and deletes in one change, which
 * Cloudflare deploys at once.
 */
import { spawn, type ChildProcessWithoutNullStreams } from "node:child_process";

import { CommandFailure, EXIT, failure } from "../cli/exit-codes.ts";
import type { SecretChanges } from "./plan.ts";
import type { SecretStore, StoredSecrets } from "./secret-store.ts";

export interface WranglerOptions {
  readonly folder: string;
  /** Of wrangler.jsonc. */
  readonly environment: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The secret that signs now; only needed to begin. */
  readonly currentSecret: () => string | undefined;
  readonly signal: AbortSignal;
  /** How long one call of wrangler may take. */
  readonly timeoutMs: number;
}

const SHOWN_LINES = 6;
/** Between asking a process to end and ending it. */
const KILL_AFTER_MS = 2_000;

export class WranglerStore implements SecretStore {
  readonly place: string;
  readonly adviceIfUnseen: string;
  private readonly options: WranglerOptions;

  constructor(options: WranglerOptions) {
    this.options = options;
    const { environment } = options;
    this.place = `Cloudflare, environment ${environment}`;
    this.adviceIfUnseen = `Is that the URL of ${environment}? npx wrangler deployments status --env ${environment} shows what is deployed. Run this again.`;
  }

  async read(): Promise<StoredSecrets> {
    const listed = parseNames(await this.wrangler(["secret", "list", "--format", "json"], ""));
    if (listed === undefined) throw failure("wrangler secret list answers with something else than a list of names.");
    return { signing: this.options.currentSecret(), names: new Set(listed) };
  }

  async apply(changes: SecretChanges): Promise<void> {
    await this.wrangler(["secret", "bulk"], JSON.stringify(changes));
  }

  /** A change is a deployment: nothing to ask for. */
  remind(): void {}

  private async wrangler(args: readonly string[], input: string): Promise<string> {
    const { folder, environment, env } = this.options;
    const child = spawn("wrangler", [...args, "--env", environment], {
      cwd: folder,
      env: { ...env, WRANGLER_SEND_METRICS: "false" },
      stdio: "pipe",
    });
    let [stdout, all] = ["", ""];
    child.stdout.on("data", (chunk: Buffer) => void ([stdout, all] = [stdout + String(chunk), all + String(chunk)]));
    child.stderr.on("data", (chunk: Buffer) => void (all += String(chunk)));
    // It may end without reading; its exit code tells.
    child.stdin.on("error", () => undefined);
    child.stdin.end(input);
    const code = await endOf(child, this.options);
    if (code === 0) return stdout;
    // Whoever prints it hides the secrets, should they be quoted here.
    const said = all.trim().split("\n").slice(-SHOWN_LINES).join("\n");
    throw failure(`wrangler ${args.slice(0, 2).join(" ")} failed with ${code ?? "a signal"}:\n${said}`);
  }
}

/** @throws where it does not start, or does not end by itself */
async function endOf(
  child: ChildProcessWithoutNullStreams,
  { signal, timeoutMs }: Pick<WranglerOptions, "signal" | "timeoutMs">,
): Promise<number | null> {
  const limit = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
  let killing: NodeJS.Timeout | undefined;
  const stop = () => {
    child.kill("SIGTERM");
    killing = setTimeout(() => {
      child.kill("SIGKILL");
      // What it has started may hold them open.
      for (const stream of [child.stdout, child.stderr]) stream.destroy();
    }, KILL_AFTER_MS);
  };
  if (limit.aborted) stop();
  else limit.addEventListener("abort", stop, { once: true });
  try {
    const code = await new Promise<number | null>((done, fail) => {
      child.once("error", (error: NodeJS.ErrnoException) => {
        fail(failure(`wrangler did not start: ${error.code ?? error.name}. Run npm ci first.`));
      });
      child.once("close", done);
    });
    if (signal.aborted) throw new CommandFailure(EXIT.interrupted, "Interrupted; run the same command again.");
    if (limit.aborted) throw failure(`wrangler took longer than ${timeoutMs / 1000} s. Run the same command again.`);
    return code;
  } finally {
    limit.removeEventListener("abort", stop);
    clearTimeout(killing);
  }
}

function parseNames(text: string): readonly string[] | undefined {
  try {
    // A warning may stand before it.
    const list: unknown = JSON.parse(text.slice(Math.max(0, text.search(/^\[/m))));
    if (!Array.isArray(list)) return undefined;
    return list.flatMap((entry: { name?: unknown }) => (typeof entry.name === "string" ? [entry.name] : []));
  } catch {
    return undefined;
  }
}
