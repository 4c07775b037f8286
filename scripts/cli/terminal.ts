/**
 * Where a command writes: results to stdout, all else to stderr, and no secret to either.
 */
import { createInterface } from "node:readline/promises";
import type { Writable } from "node:stream";

import { CommandFailure, EXIT, failure } from "./exit-codes.ts";

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
    this.write(this.options.stdout, `${JSON.stringify(value)}\n`);
  }

  line(text: string): void {
    this.write(this.options.stdout, `${printable(text)}\n`);
  }

  /** Bytes of a file, for a pipe. Resolves when more may come. */
  async raw(chunk: Uint8Array): Promise<void> {
    const { stdout } = this.options;
    if (!stdout.write(chunk)) await new Promise<void>((done) => stdout.once("drain", () => done()));
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

/**
 * What others have sent in, such as names of events, must not steer a terminal: control characters
 * but newline, tab and our own emphasis are shown as escapes.
 */
export function printable(text: string): string {
  // oxlint-disable-next-line no-control-regex
  return text.replace(/\u001B(?!\[(?:1|22)m)|[\u0000-\u0008\u000B-\u001A\u001C-\u001F\u007F-\u009F]/g, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}
