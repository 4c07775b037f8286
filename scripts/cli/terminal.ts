/**
 * Where a command writes: results to stdout, all else to stderr, and no secret to either.
 */
import { createInterface } from "node:readline/promises";
import type { Writable } from "node:stream";

import { CommandFailure, EXIT, failure } from "./exit-codes.ts";
import { escapeJson, printable, printableJson } from "./printable.ts";

export interface TerminalOptions {
  readonly stdout: Writable & { readonly isTTY?: boolean };
  readonly stderr: Writable & { readonly isTTY?: boolean };
  readonly stdin: NodeJS.ReadableStream & { readonly isTTY?: boolean };
  readonly hasColour: boolean;
  readonly isJson: boolean;
  /** `undefined`: where stderr is a terminal. */
  readonly tellsProgress: boolean | undefined;
  readonly signal: AbortSignal;
}

const PROGRESS_EVERY_MS = 200;
const HIDDEN = "[secret]";

/** Shorter ones would hide parts of ordinary words. */
const SECRET_MIN_CHARS = 6;

export class Terminal {
  readonly isJson: boolean;
  private readonly options: TerminalOptions;
  private readonly secrets = new Set<string>();
  private lastProgressMs = 0;
  private hasProgressLine = false;

  constructor(options: TerminalOptions) {
    this.options = options;
    this.isJson = options.isJson;
  }

  /** From now on this text is written nowhere. */
  hide(secret: string): void {
    if (secret.length >= SECRET_MIN_CHARS) this.secrets.add(secret);
  }

  /** The result: as it is with `--json`, else as people like to read it. */
  result(value: unknown, toText: () => string): void {
    if (this.isJson) this.json(value);
    else this.line(toText());
  }

  json(value: unknown): void {
    this.write(this.options.stdout, `${printableJson(value)}\n`);
  }

  line(text: string): void {
    this.write(this.options.stdout, `${printable(text)}\n`);
  }

  /** A line of JSON, byte for byte but on a terminal. Resolves when more may come. */
  async jsonLine(line: Uint8Array): Promise<void> {
    const { stdout } = this.options;
    const shown = stdout.isTTY === true ? escapeJson(Buffer.from(line).toString("utf8")) : line;
    if (!stdout.write(shown)) await new Promise<void>((done) => stdout.once("drain", () => done()));
  }

  note(text: string): void {
    this.endProgress();
    this.write(this.options.stderr, `${printable(text)}\n`);
  }

  bold(text: string): string {
    return this.options.hasColour ? `\u001B[1m${text}\u001B[22m` : text;
  }

  /** At most a few a second; on a terminal each overwrites the one before. */
  progress(text: string, nowMs = performance.now()): void {
    const isTty = this.options.stderr.isTTY === true;
    if (!(this.options.tellsProgress ?? isTty)) return;
    if (nowMs - this.lastProgressMs < (isTty ? PROGRESS_EVERY_MS : 0)) return;
    this.lastProgressMs = nowMs;
    this.hasProgressLine = isTty;
    this.write(this.options.stderr, isTty ? `\r\u001B[K${printable(text)}` : `${printable(text)}\n`);
  }

  endProgress(): void {
    if (this.hasProgressLine) this.options.stderr.write("\r\u001B[K");
    this.hasProgressLine = false;
  }

  get isInteractive(): boolean {
    return this.options.stdin.isTTY === true && this.options.stderr.isTTY === true;
  }

  /** @throws where nobody is there to answer */
  async ask(question: string): Promise<string> {
    if (!this.isInteractive) throw failure("Nobody is there to answer.");
    const { stdin: input, stderr: output, signal } = this.options;
    const lines = createInterface({ input, output });
    try {
      return (await lines.question(printable(question), { signal })).trim();
    } catch (error) {
      if (!signal.aborted) throw error;
      throw new CommandFailure(EXIT.interrupted, "Interrupted; nothing was changed.");
    } finally {
      lines.close();
    }
  }

  private write(stream: Writable, text: string): void {
    let shown = text;
    for (const secret of this.secrets) shown = shown.replaceAll(secret, HIDDEN);
    stream.write(shown);
  }
}
