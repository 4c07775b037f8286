/**
 * `streams list|show|cancel`: single streams.
 */
import type { StreamSummary } from "../../../protocol/stream-summary.ts";
import type { StreamStatus } from "../../../protocol/stream-call.ts";
import type { Command, CommandContext } from "../command.ts";
import { EXIT, usageFailure } from "../exit-codes.ts";
import { printableField, printableValue } from "../printable.ts";
import { bytes, count, duration, fields, list, names, table, text } from "../units.ts";

/** As docs/admin-api.md bounds it. */
const LIMIT_MAX = 100;
const STATES = ["recent", "hot", "stuck"] as const;

interface StreamList {
  readonly state: string;
  readonly at: string;
  readonly streams: readonly StreamSummary[];
  /** Shards that did not answer. */
  readonly missing_shards: readonly string[];
}

/** Its members are shown as they come: what an object tells about itself grows with it. */
interface Inspection {
  readonly status: StreamStatus | null;
  readonly tenant?: string;
  readonly readers?: readonly ReaderEntry[];
  readonly timeline?: readonly { readonly at: string; readonly event: string }[];
  readonly [member: string]: unknown;
}

interface ReaderEntry {
  readonly mode: string;
  readonly position: string;
  readonly age_ms: number;
  readonly sent_bytes: number;
  readonly waiting_ms: number;
}

const LIST: Command = {
  name: "streams list",
  summary: "recent, busy or stuck streams",
  options: {
    state: { type: "string", value: "STATE", help: "recent (where not given), hot or stuck" },
    limit: { type: "string", value: "N", help: `at most so many, up to ${LIMIT_MAX}; 50 where not given` },
  },
  notes: [
    "A * marks streams whose object was asked just now; the others are shown as their telemetry tells.",
    "Exit code 5: some shard did not answer, and its streams are missing.",
  ].join("\n"),
  examples: ["scripts/spillway streams list --state stuck", "scripts/spillway streams list --state hot --limit 10"],
  async run({ api, values, terminal }) {
    const state = values.choice("state", STATES) ?? "recent";
    const limit = values.wholeNumber("limit", 1, LIMIT_MAX);
    const found = await (await api()).json<StreamList>("streams", { query: { state, limit } });
    terminal.result(found, () => listText(found, state));
    return found.missing_shards.length === 0 ? EXIT.ok : EXIT.partial;
  },
};

function listText({ streams, missing_shards: missing }: StreamList, state: string): string {
  const shown = streams.length === 0 ? `No ${state} streams.` : summaryTable(streams);
  if (missing.length === 0) return shown;
  return `${shown}\n\nNot all: ${names(missing)} did not answer, and their streams are not in the list.`;
}

function summaryTable(streams: readonly StreamSummary[]): string {
  return table(streams, [
    { title: "request id", cell: ({ request_id: id, is_verified: isVerified }) => `${id}${isVerified ? " *" : ""}` },
    { title: "route", cell: ({ route }) => route },
    { title: "tenant", cell: ({ tenant }) => tenant },
    { title: "state", cell: ({ state, reason }) => (reason === null ? state : `${state} (${reason})`) },
    { title: "readers", cell: ({ readers }) => count(readers), isNumber: true },
    { title: "events", cell: ({ events }) => count(events), isNumber: true },
    { title: "trimmed", cell: ({ trimmed_events: trimmed }) => count(trimmed), isNumber: true },
    { title: "resumes", cell: ({ resumes }) => count(resumes), isNumber: true },
    { title: "lasted", cell: ({ duration_ms: ms }) => duration(ms), isNumber: true },
    { title: "silent", cell: ({ silent_ms: ms }) => duration(ms), isNumber: true },
    { title: "retained", cell: ({ retained_bytes: size }) => bytes(size), isNumber: true },
  ]);
}

const SHOW: Command = {
  name: "streams show",
  summary: "one stream: state, readers, storage, timeline",
  operands: "REQUEST_ID",
  maxOperands: 1,
  options: {},
  examples: ["scripts/spillway streams show 3uSfSvttIfO6Pb-nGa3sX4mOVgU"],
  async run(context) {
    const id = requestIdOf(context);
    const found = await (await context.api()).json<Inspection>(`streams/${encodeURIComponent(id)}`);
    context.terminal.result(found, () => inspectionText(found, (title) => context.terminal.bold(title)));
    return EXIT.ok;
  },
};

function inspectionText(inspection: Inspection, bold: (title: string) => string): string {
  const { status, readers = [], timeline = [], ...others } = inspection;
  const parts = [];
  if (status === null) parts.push("Its object has nothing of it any more; this is what telemetry tells.");
  else parts.push(`${bold("Stream")}\n${members(status)}`);
  if (readers.length > 0) {
    const shown = table(readers, [
      { title: "reader", cell: ({ mode }) => mode },
      { title: "position", cell: ({ position }) => position },
      { title: "connected", cell: ({ age_ms: ms }) => duration(ms), isNumber: true },
      { title: "sent", cell: ({ sent_bytes: size }) => bytes(size), isNumber: true },
      { title: "waiting", cell: ({ waiting_ms: ms }) => duration(ms), isNumber: true },
    ]);
    parts.push(`${bold("Readers")}\n${shown}`);
  }
  for (const [name, value] of Object.entries(others)) {
    if (typeof value === "object" && value !== null) parts.push(`${bold(printableValue(name))}\n${members(value)}`);
    else if (value !== undefined) parts.push(printableValue(`${name}  ${text(value)}`));
  }
  if (timeline.length > 0) {
    const lines = timeline.map(({ at, event, ...rest }) =>
      `${printableField(at)}  ${printableField(event)}  ${fields(rest).join(" ")}`.trimEnd(),
    );
    parts.push(`${bold("Timeline")}\n${lines.join("\n")}`);
  }
  return parts.join("\n\n");
}

function members(value: object): string {
  const entries = Object.entries(value).map(([name, member]) => [name, text(member)] as const);
  return entries.length === 0 ? text(null) : list(entries);
}

const CANCEL: Command = {
  name: "streams cancel",
  summary: "stop a stream: its source is let go, its readers are told",
  operands: "REQUEST_ID",
  maxOperands: 1,
  options: {},
  examples: ["scripts/spillway streams cancel 3uSfSvttIfO6Pb-nGa3sX4mOVgU"],
  async run(context) {
    const id = requestIdOf(context);
    const service = await context.api();
    const status = await service.json<StreamStatus>(`streams/${encodeURIComponent(id)}`, { method: "DELETE" });
    context.terminal.result(status, () => `Stream ${id} is ${status.state}, ${count(status.events)} events.`);
    return EXIT.ok;
  },
};

function requestIdOf({ operands }: CommandContext): string {
  const [id] = operands;
  if (id === undefined || id === "") throw usageFailure("Name the stream by its request id.");
  return id;
}

export const STREAMS: readonly Command[] = [LIST, SHOW, CANCEL];
