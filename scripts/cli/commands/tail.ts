/**
 * `tail`: what the service tells about itself, as it happens. From a deployed one that is its log; a
 * local one has its log on the terminal of `npm start`, so that its monitor is looked at instead.
 */
import { spawn } from "node:child_process";
import { StringDecoder } from "node:string_decoder";

import type { Command, CommandContext } from "../command.ts";
import { isLoopback, readUrl } from "../credentials.ts";
import { CommandFailure, EXIT, failure, usageFailure, type ExitCode } from "../exit-codes.ts";
import { OverviewChanges, type Overview } from "../overview-changes.ts";
import { fits, JsonObjects, recordsOf, recordText, type RecordFilter, type TelemetryRecord } from "../tail-events.ts";

const DEFAULT_INTERVAL_SEC = 2;

export const TAIL: Command = {
  name: "tail",
  summary: "follow what the service tells: events, or its monitor",
  operands: "[-]",
  maxOperands: 1,
  options: {
    event: { type: "string", value: "NAME", help: "this event alone; may be repeated", isRepeatable: true },
    route: { type: "string", value: "ROUTE", help: "this route alone; may be repeated", isRepeatable: true },
    "request-id": { type: "string", value: "ID", help: "this stream alone; may be repeated", isRepeatable: true },
    local: { type: "boolean", help: "follow the monitor, whatever the URL" },
    env: { type: "string", value: "NAME", help: "the deployed environment, for wrangler tail" },
    "interval-sec": { type: "string", value: "N", help: `how often the monitor is asked; ${DEFAULT_INTERVAL_SEC}` },
    once: { type: "boolean", help: "look at the monitor once, and end" },
  },
  notes: [
    "Three sources:",
    "  deployed   runs wrangler tail --format json, which needs the account; events as they are logged",
    "  -          reads such a tail, or the service's own log lines, from stdin",
    "  local      asks the monitor of a service at a loopback URL every few seconds, and tells flushes,",
    "             commits, alerts, operators' actions and changed figures. No single streams: their",
    "             events are in the log of npm start, and 'npm start | scripts/spillway tail -' has them.",
    "Ends with Ctrl-C.",
  ].join("\n"),
  examples: [
    "scripts/spillway tail --env production --event SseResumeFailed",
    "npx wrangler tail --format json | scripts/spillway tail - --route demo --json",
    "scripts/spillway tail --local --url http://127.0.0.1:8787",
  ],
  async run(context) {
    const { values, operands, host } = context;
    if (operands[0] !== undefined && operands[0] !== "-")
      throw usageFailure(`tail takes - or nothing, not "${operands[0]}".`);
    if (operands[0] === "-") return followText(host.stdin, context);
    const isLocal =
      values.flag("local") ||
      values.flag("once") ||
      (values.text("env") === undefined && isLoopback(readUrl(values, host)));
    return isLocal ? followMonitor(context) : followDeployed(context);
  },
};

async function followText(source: NodeJS.ReadableStream, context: CommandContext): Promise<ExitCode> {
  const objects = new JsonObjects();
  const decoder = new StringDecoder("utf8");
  const stop = () => (source as { destroy?: () => void }).destroy?.();
  context.signal.addEventListener("abort", stop, { once: true });
  try {
    for await (const chunk of source) {
      for (const document of objects.take(decoder.write(Buffer.from(chunk)))) tell(recordsOf(document), context);
    }
  } catch (error) {
    // What ended it is Ctrl-C, which is how a tail ends.
    if (!context.signal.aborted) throw error;
  } finally {
    context.signal.removeEventListener("abort", stop);
  }
  return EXIT.ok;
}

async function followDeployed(context: CommandContext): Promise<ExitCode> {
  const { values, host, signal } = context;
  const env = values.text("env");
  const args = ["tail", "--format", "json", ...(env === undefined ? [] : ["--env", env])];
  const child = spawn("wrangler", args, { cwd: host.folder, env: host.env, stdio: ["ignore", "pipe", "inherit"] });
  const ended = new Promise<ExitCode>((done, fail) => {
    child.once("error", (error: NodeJS.ErrnoException) => {
      fail(failure(`wrangler did not start: ${error.code ?? error.name}. Run npm ci first.`));
    });
    child.once("exit", (code) => done(code === 0 || signal.aborted ? EXIT.ok : EXIT.failed));
  });
  const stop = () => void child.kill("SIGINT");
  signal.addEventListener("abort", stop, { once: true });
  const [, code] = await Promise.all([followText(child.stdout, context), ended]);
  return code;
}

async function followMonitor(context: CommandContext): Promise<ExitCode> {
  const { values, host, signal } = context;
  const intervalMs = (values.wholeNumber("interval-sec", 1, 3600) ?? DEFAULT_INTERVAL_SEC) * 1000;
  const api = await context.api();
  const changes = new OverviewChanges();
  let isHeard: boolean | undefined;
  while (!signal.aborted) {
    try {
      tell(changes.take(await api.json<Overview>("overview")), context);
      if (isHeard === false) context.terminal.note("The service answers again.");
      isHeard = true;
    } catch (error) {
      // It is deployed anew, say. Who was never heard may not be there at all.
      if (isHeard === undefined || !isPassing(error)) throw error;
      if (isHeard) context.terminal.note(`${error.message} It is asked again.`);
      isHeard = false;
    }
    if (values.flag("once")) break;
    try {
      await host.wait(intervalMs, signal);
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }
  return EXIT.ok;
}

function isPassing(error: unknown): error is CommandFailure {
  return error instanceof CommandFailure && (error.exitCode === EXIT.unreachable || error.exitCode === EXIT.failed);
}

function tell(records: readonly TelemetryRecord[], { values, terminal }: CommandContext): void {
  const filter: RecordFilter = {
    events: values.list("event"),
    routes: values.list("route"),
    requestIds: values.list("request-id"),
  };
  for (const record of records) {
    if (fits(record, filter)) terminal.result(record, () => recordText(record));
  }
}
