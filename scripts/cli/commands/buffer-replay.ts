/**
 * `replay`: sends an export back, once its checksum has been compared.
 */
import { createReadStream, existsSync } from "node:fs";
import { pipeline } from "node:stream";
import { createGunzip } from "node:zlib";

import type { AdminApi, CallOptions } from "../admin-api.ts";
import { refusal } from "../admin-api.ts";
import type { Command, CommandContext } from "../command.ts";
import { ChunkGathering, ExportCheck, linesOf, type Chunk } from "../export-lines.ts";
import { CommandFailure, EXIT, failure, usageFailure, type ExitCode } from "../exit-codes.ts";
import { printableValue } from "../printable.ts";
import { count } from "../units.ts";

/** The service takes 10 MiB. */
const CHUNK_MAX_BYTES = 8 * 1024 * 1024;
const MOST_ATTEMPTS = 60;
const RETRY_WITHOUT_WORD_MS = 5_000;
const RETRY_MAX_MS = 60_000;
const SHOWN_REJECTIONS = 10;

interface Rejection {
  /** In the file, from 1. */
  readonly line: number;
  readonly detail: string;
}

interface ReplayAnswer {
  readonly events: number;
  readonly accepted: number;
  readonly duplicates: number;
  /** The first of them. */
  readonly rejected: readonly { readonly line: number; readonly detail: string }[];
  readonly rejected_lines: number;
}

interface Totals {
  events: number;
  accepted: number;
  duplicates: number;
  rejected: Rejection[];
  rejected_lines: number;
}

export const REPLAY: Command = {
  name: "replay",
  summary: "send an export's events back; what is there already counts as duplicate",
  operands: "[FILE]",
  maxOperands: 1,
  options: {
    "without-checksum": { type: "boolean", help: "also lines without an export's end, such as picked ones" },
    export: {
      type: "string",
      value: "KEY",
      help: "instead of a file, what a reset has written; as it named it; may be repeated",
      isRepeatable: true,
    },
    "from-line": {
      type: "string",
      value: "N",
      help: "go on from this line of the file: a replay that broke off names it",
    },
  },
  notes: [
    "First the whole file is read and its checksum compared; only then is anything sent. Where the",
    "service is full or unavailable it is asked again after the time it names. May be repeated; where one",
    "broke off, --from-line spares what was sent. What a reset has written to the bucket the service",
    "itself reads: --export. Exit code 5: some events were rejected, or not all were sent.",
  ].join("\n"),
  examples: [
    "scripts/spillway replay shard-0.ndjson",
    "scripts/spillway replay all.ndjson.gz --progress --json",
    "scripts/spillway replay --export exports/0-3fa9c1d2/2026-11-21T10-00-00.000Z-1.ndjson",
  ],
  async run(context) {
    const [file] = context.operands;
    const keys = context.values.list("export");
    if (keys.length > 0) {
      if (file !== undefined) throw usageFailure("Give a file or --export, not both.");
      return replayExports(keys, context);
    }
    if (file === undefined) throw usageFailure("Name the file, or what a reset has written with --export.");
    if (!existsSync(file)) throw usageFailure(`There is no file ${file}.`);
    const expected = await verify(file, context);
    const totals: Totals = { events: 0, accepted: 0, duplicates: 0, rejected: [], rejected_lines: 0 };
    const sending: Sending = {
      context,
      totals,
      expected,
      nextLine: context.values.wholeNumber("from-line", 1, 1e12) ?? 1,
    };
    try {
      await sendAll(file, sending);
    } catch (error) {
      if (error instanceof CommandFailure && totals.events > 0) throw afterSome(error, sending);
      throw error;
    }
    const { terminal } = context;
    terminal.endProgress();
    terminal.result(totals, () => totalsText(totals));
    return totals.rejected_lines === 0 ? EXIT.ok : EXIT.partial;
  },
};

/** Parts in the bucket, each of which the service reads and checks. */
async function replayExports(keys: readonly string[], context: CommandContext): Promise<ExitCode> {
  const { terminal } = context;
  const api = await context.api();
  const totals: Totals = { events: 0, accepted: 0, duplicates: 0, rejected: [], rejected_lines: 0 };
  for (const [at, key] of keys.entries()) {
    terminal.progress(`${key}: ${at + 1} of ${keys.length}`);
    try {
      const answer = await sendUntilTaken(api, { query: { export: key } }, context);
      totals.events += answer.events;
      add(
        totals,
        answer,
        answer.rejected.map(({ line, detail }) => ({ line, detail: `${key}: ${detail}` })),
      );
    } catch (error) {
      if (!(error instanceof CommandFailure) || at === 0) throw error;
      const exitCode = error.exitCode === EXIT.interrupted ? EXIT.interrupted : EXIT.partial;
      throw new CommandFailure(exitCode, `${error.message} Before ${key} all were sent.`, error.problem);
    }
  }
  terminal.endProgress();
  terminal.result(totals, () => totalsText(totals));
  return totals.rejected_lines === 0 ? EXIT.ok : EXIT.partial;
}

function add(totals: Totals, answer: ReplayAnswer, rejected: readonly Rejection[]): void {
  totals.accepted += answer.accepted;
  totals.duplicates += answer.duplicates;
  totals.rejected_lines += answer.rejected_lines;
  totals.rejected.push(...rejected);
}

/** @returns how many events it holds */
async function verify(file: string, { values, terminal }: CommandContext): Promise<number> {
  const check = new ExportCheck();
  for await (const line of readLines(file)) {
    check.take(line);
    if (check.lines % 1000 === 0) terminal.progress(`checking ${file}: ${count(check.events)} events`);
  }
  terminal.endProgress();
  const isExcused = values.flag("without-checksum") && !check.hasEnd;
  const fault = isExcused ? undefined : check.fault();
  if (fault !== undefined) throw failure(`${file} is not sent: ${fault}.`);
  return check.events + check.unreadable;
}

async function* readLines(file: string): AsyncGenerator<Buffer> {
  const raw = createReadStream(file);
  // The reader below is told of a failure; it needs no second telling.
  const source = file.endsWith(".gz") ? pipeline(raw, createGunzip(), () => undefined) : raw;
  try {
    yield* linesOf(source);
  } catch (error) {
    if (error instanceof CommandFailure) throw error;
    throw failure(`${file} cannot be read: ${(error as NodeJS.ErrnoException).code ?? "unknown"}.`);
  }
}

interface Sending {
  readonly context: CommandContext;
  readonly totals: Totals;
  readonly expected: number;
  /** Of the file, from 1: all before it is sent. */
  nextLine: number;
}

async function sendAll(file: string, sending: Sending): Promise<void> {
  const api = await sending.context.api();
  const gathering = new ChunkGathering(CHUNK_MAX_BYTES);
  // Read once more, by the same rules, rather than kept: it may be larger than memory.
  const check = new ExportCheck();
  const fromLine = sending.nextLine;
  for await (const line of readLines(file)) {
    const { kind } = check.take(line);
    if (check.lines < fromLine) continue;
    // Rows that could not be read are sent as well: they come back as rejected.
    if (kind !== "event" && kind !== "unreadable") continue;
    const full = gathering.add(line, check.lines);
    if (full !== undefined) await send(api, full, sending);
  }
  const last = gathering.flush();
  if (last !== undefined) await send(api, last, sending);
}

async function send(api: AdminApi, chunk: Chunk, sending: Sending): Promise<void> {
  const { context, totals, expected } = sending;
  sending.nextLine = chunk.fileLines[0] ?? sending.nextLine;
  const answer = await sendUntilTaken(api, { body: chunk.body }, context);
  sending.nextLine = (chunk.fileLines.at(-1) ?? 0) + 1;
  totals.events += chunk.fileLines.length;
  const inFile = answer.rejected.map(({ line, detail }) => ({ line: chunk.fileLines[line - 1] ?? line, detail }));
  add(totals, answer, inFile);
  context.terminal.progress(`${count(totals.events)} of ${count(expected)} events sent`);
}

/** 429 and 503 are no answer: the service says when to come again. What it took before is then a duplicate. */
async function sendUntilTaken(api: AdminApi, call: CallOptions, context: CommandContext): Promise<ReplayAnswer> {
  for (let attempt = 1; ; attempt++) {
    const response = await api.send("buffer/replay", { ...call, method: "POST" });
    if (response.ok) return (await api.body(response)) as ReplayAnswer;
    const isPassing = response.status === 429 || response.status === 503;
    const waitMs = retryAfterMs(response.headers.get("retry-after"));
    const refused = await refusal(response);
    if (!isPassing || attempt === MOST_ATTEMPTS) throw refused;
    const why = refused.problem?.code ?? "unavailable";
    // Once also where no progress is told: it may take long.
    if (attempt === 1)
      context.terminal.note(`${why}: the service takes no more now, and is asked again until it does.`);
    context.terminal.progress(`${why}: waiting ${Math.ceil(waitMs / 1000)} s`);
    await context.host.wait(waitMs, context.signal);
  }
}

/** RFC 9110, 10.2.3; seconds alone: the service sends no dates. */
function retryAfterMs(header: string | null): number {
  const seconds = header !== null && /^\d{1,9}$/.test(header) ? Number(header) : undefined;
  return seconds === undefined ? RETRY_WITHOUT_WORD_MS : Math.min(seconds * 1000, RETRY_MAX_MS);
}

function afterSome(error: CommandFailure, { totals, expected, nextLine }: Sending): CommandFailure {
  const place = `${count(totals.events)} of ${count(expected)} events were sent before; run it again, or go on with --from-line ${nextLine}.`;
  const exitCode = error.exitCode === EXIT.interrupted ? EXIT.interrupted : EXIT.partial;
  return new CommandFailure(exitCode, `${error.message} ${place}`, error.problem);
}

function totalsText({ events, accepted, duplicates, rejected, rejected_lines: refused }: Totals): string {
  const lines = [
    `${count(events)} events sent: ${count(accepted)} accepted, ${count(duplicates)} duplicates, ${count(refused)} rejected.`,
    ...rejected.slice(0, SHOWN_REJECTIONS).map(({ line, detail }) => printableValue(`  line ${line}: ${detail}`)),
  ];
  const more = refused - Math.min(rejected.length, SHOWN_REJECTIONS);
  if (more > 0) lines.push(`  and ${count(more)} more`);
  return lines.join("\n");
}
