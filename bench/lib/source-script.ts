/**
 * What one stream of the benchmark's source is made of. Travels as the query of the start call,
 * which Spillway and the bare pass-through both hand on to the source.
 *
 * An event's data is `~<number> <sent at, µs> ` and padding: a receiver finds events by looking for
 * one byte, checks that none is missing, and knows how long each was on its way.
 */

export interface SourceScript {
  readonly events: number;
  /** Size of each event's data. */
  readonly bytes: number;
  /** Events a second; 0 is as fast as they are taken. */
  readonly rate: number;
  /** Events in each HTTP chunk. */
  readonly batch: number;
  /** Whether the source waits for a word after its response head. */
  readonly isHeld: boolean;
}

/** First byte of every event's data, and of nothing else on the wire. */
export const EVENT_MARK = "~";

export function scriptQuery(script: SourceScript): string {
  return new URLSearchParams(Object.entries(script).map(([name, value]) => [name, String(value)])).toString();
}

export function readScript(query: URLSearchParams): SourceScript {
  const number = (name: keyof SourceScript) => Number(query.get(name));
  return {
    events: number("events"),
    bytes: number("bytes"),
    rate: number("rate"),
    batch: number("batch"),
    isHeld: query.get("isHeld") === "true",
  };
}

export function sourceFrame(number: number, sentAtUs: number, bytes: number): string {
  return `data: ${`${EVENT_MARK}${number} ${sentAtUs} `.padEnd(bytes, "x")}\n\n`;
}

/** A clock that all processes of one machine share: the time since boot, in µs. */
export function nowUs(): number {
  return Number(process.hrtime.bigint() / 1000n);
}
