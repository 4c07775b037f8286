/**
 * `export`: what the shards hold, as a file whose checksum was compared.
 */
import { createWriteStream, existsSync } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { finished } from "node:stream/promises";
import type { Writable } from "node:stream";
import { createGzip } from "node:zlib";

import type { AdminApi } from "../admin-api.ts";
import type { Command, CommandContext } from "../command.ts";
import { ExportCheck, linesOf } from "../export-lines.ts";
import { EXIT, failure, usageFailure } from "../exit-codes.ts";
import { SHARD_OPTION, shardOf } from "../shard-option.ts";
import type { Terminal } from "../terminal.ts";
import { bytes, count } from "../units.ts";

export const EXPORT: Command = {
  name: "export",
  summary: "copy what the shards hold into a file; changes nothing",
  options: {
    shard: SHARD_OPTION,
    out: { type: "string", value: "FILE", help: "where to; compressed where it ends in .gz; else stdout" },
    force: { type: "boolean", help: "replace the file where there is one" },
  },
  notes: [
    "Count and checksum are compared, and the file gets its name only when it is whole: one that",
    "broke off leaves nothing behind, and the same command may simply be run again. On stdout the",
    "exit code alone tells.",
  ].join("\n"),
  examples: [
    "scripts/spillway export --shard 0 --out shard-0.ndjson",
    "scripts/spillway export --out all.ndjson.gz --progress",
    "scripts/spillway export | jq -c 'select(.event) | .event.type' | sort | uniq -c",
  ],
  async run(context) {
    const { values, terminal } = context;
    const out = values.text("out");
    if (out !== undefined && existsSync(out) && !values.flag("force")) {
      throw usageFailure(`${out} is there already; --force replaces it.`);
    }
    const api = await context.api();
    const check = new ExportCheck();
    const query = { shard: shardOf(values) };
    const written = await (out === undefined ? toStdout : toFile)({ api, check, query, out: out ?? "", context });
    const { events } = check;
    const unreadable =
      check.unreadable === 0 ? "" : ` ${count(check.unreadable)} rows could not be read; they are in it as text.`;
    if (out === undefined) terminal.note(`Exported ${count(events)} events; checksum holds.${unreadable}`);
    else {
      const report = { file: out, events, unreadable_rows: check.unreadable, bytes: written, is_verified: true };
      terminal.result(
        report,
        () => `Exported ${count(events)} events, ${bytes(written)}, into ${out}; checksum holds.${unreadable}`,
      );
    }
    return EXIT.ok;
  },
};

interface Task {
  readonly api: AdminApi;
  readonly check: ExportCheck;
  readonly query: Readonly<Record<string, number | undefined>>;
  readonly out: string;
  readonly context: CommandContext;
}

async function toStdout(task: Task): Promise<number> {
  return copy(task, (line) => task.context.terminal.jsonLine(line));
}

/** @returns bytes before compression */
async function toFile(task: Task): Promise<number> {
  // Of this run alone: another one may write the same file.
  const partial = `${task.out}.${process.pid}.partial`;
  const file = createWriteStream(partial, { mode: 0o600, flush: true });
  const sink: Writable = task.out.endsWith(".gz") ? createGzip() : file;
  if (sink !== file) sink.pipe(file);
  const isDone = finished(file);
  // Waited for below; where something else fails first, nobody asks any more.
  isDone.catch(() => undefined);
  try {
    const size = await copy(task, (line) => write(sink, line, isDone));
    sink.end();
    await isDone;
    await rename(partial, task.out);
    return size;
  } catch (error) {
    sink.destroy();
    file.destroy();
    // Closed first: a file that is still being opened would come back. Writes that are dropped are an error of its own.
    if (!file.closed) await new Promise<void>((done) => file.once("close", () => done()));
    await rm(partial, { force: true });
    const { code } = error as NodeJS.ErrnoException;
    if (code?.startsWith("E")) throw failure(`${task.out} cannot be written: ${code}.`);
    throw error;
  }
}

async function write(sink: Writable, line: Buffer, isDone: Promise<void>): Promise<void> {
  if (sink.write(line)) return;
  await Promise.race([new Promise<void>((done) => sink.once("drain", () => done())), isDone]);
}

async function copy({ api, check, query, context }: Task, put: (line: Buffer) => Promise<void>): Promise<number> {
  const { terminal } = context;
  const response = await api.call("buffer/export", { query, isLong: true });
  if (response.body === null) throw failure("The export is empty.");
  let size = 0;
  for await (const line of linesOf(received(response.body, api, check))) {
    const read = check.take(line);
    size += line.length;
    await put(line);
    if (read.kind === "event" || read.kind === "header") tell(check, size, terminal);
  }
  terminal.endProgress();
  const fault = check.fault();
  if (fault !== undefined) throw brokenExport(fault);
  return size;
}

async function* received(body: ReadableStream<Uint8Array>, api: AdminApi, check: ExportCheck) {
  try {
    for await (const chunk of body) yield chunk;
  } catch (error) {
    const broken = api.brokenOff(error);
    if (broken.exitCode === EXIT.interrupted) throw broken;
    throw brokenExport(`the connection broke after ${check.events} of ${check.announced ?? "unknown"} events`);
  }
}

function brokenExport(fault: string) {
  return failure(`The export is not whole: ${fault}. No file was made; run the same command again.`);
}

function tell({ events, announced }: ExportCheck, size: number, terminal: Terminal): void {
  if (events % 1000 !== 0) return;
  terminal.progress(`${count(events)} of ${count(announced)} events, ${bytes(size)}`);
}
