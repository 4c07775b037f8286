/**
 * How a stream is asked for, and which number an event of it has: of the benchmark's source, and of the
 * built-in demo source of a service that runs elsewhere. Pure.
 */
import { EVENT_MARK, scriptQuery } from "../lib/source-script.ts";

/** What one stream is made of. */
export interface StreamScript {
  readonly events: number;
  /** Events a second. */
  readonly rate: number;
  /** Size of each event's data. */
  readonly bytes: number;
  /** In each event's data, where the source can: an event of another stream under the right number is none of it. */
  readonly mark?: string;
}

export interface Dialect {
  /** Names of the source's events. */
  readonly eventNames: readonly string[];
  startQuery(script: StreamScript): string;
  /** @returns `undefined` where the data is not what the source sends */
  numberOf(name: string, data: string, script: StreamScript): number | undefined;
}

const MARKED = new RegExp(`^${EVENT_MARK}(\\d+) \\d+ (?:([^ x]+) )?x*$`);
/** Fast sources write several events at a time, as a network would hand them on. */
const CHUNKS_PER_SEC = 100;

export const benchDialect: Dialect = {
  eventNames: ["message"],
  startQuery: (script) =>
    scriptQuery({ ...script, batch: Math.max(1, Math.round(script.rate / CHUNKS_PER_SEC)), isHeld: false }),
  numberOf(_, data, { bytes, mark }) {
    const [, number, found] = MARKED.exec(data) ?? [];
    return number === undefined || found !== mark || data.length !== bytes ? undefined : Number(number);
  },
};

export const demoDialect: Dialect = {
  eventNames: ["token", "done"],
  startQuery: ({ events, rate, bytes }) =>
    new URLSearchParams({ events: String(events), rate: String(rate), bytes: String(bytes) }).toString(),
  numberOf(name, data) {
    const parsed = parseObject(data);
    const number = name === "done" ? parsed?.["events"] : parsed?.["n"];
    return typeof number === "number" ? number : undefined;
  },
};

function parseObject(data: string): Record<string, unknown> | undefined {
  try {
    const parsed: unknown = JSON.parse(data);
    return typeof parsed === "object" && parsed !== null ? { ...parsed } : undefined;
  } catch {
    // Not what the source sends.
    return undefined;
  }
}
