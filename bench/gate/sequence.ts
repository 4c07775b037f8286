/**
 * Whether what one reader received is the whole stream: numbers from 1 without a hole or a repetition, under
 * ids that only grow, and the word that it is complete. Pure.
 */

export type SequenceFault =
  | { readonly kind: "lost"; readonly expected: number; readonly found: number }
  | { readonly kind: "repeated"; readonly expected: number; readonly found: number }
  | { readonly kind: "garbled"; readonly expected: number }
  | { readonly kind: "id_out_of_order"; readonly before: string; readonly found: string }
  /** By the service's own word: said, and still not the whole stream. */
  | { readonly kind: "gap_told"; readonly missing: number }
  | { readonly kind: "ended_early"; readonly events: number; readonly received: number }
  | { readonly kind: "not_complete"; readonly status: string };

const EVENT_ID = /^(\d{1,10})-(\d{1,15})$/;

export class Sequence {
  /** Numbers received, each once. */
  received = 0;
  private readonly events: number;
  private lastId = "0-0";

  /** @param events how many the source sends */
  constructor(events: number) {
    this.events = events;
  }

  /** @param number the source's own; `undefined` where the data is not what the source sends */
  take(number: number | undefined, id: string): SequenceFault | undefined {
    const expected = this.received + 1;
    if (number === undefined) return { kind: "garbled", expected };
    if (number > expected) return { kind: "lost", expected, found: number };
    if (number < expected) return { kind: "repeated", expected, found: number };
    const before = this.lastId;
    if (!isLater(id, before)) return { kind: "id_out_of_order", before, found: id };
    this.lastId = id;
    this.received = expected;
    return undefined;
  }

  /** @param status of the terminal event */
  end(status: string): SequenceFault | undefined {
    if (status !== "complete") return { kind: "not_complete", status };
    if (this.received === this.events) return undefined;
    return { kind: "ended_early", events: this.events, received: this.received };
  }
}

function isLater(id: string, than: string): boolean {
  const [, epoch, seq] = EVENT_ID.exec(id) ?? [];
  const [, epochBefore, seqBefore] = EVENT_ID.exec(than) ?? [];
  if (epoch === undefined) return false;
  return Number(epoch) > Number(epochBefore) || (epoch === epochBefore && Number(seq) > Number(seqBefore));
}

export function faultText(fault: SequenceFault): string {
  switch (fault.kind) {
    case "lost":
      return `event ${fault.found} where ${fault.expected} was due: lost without a word`;
    case "repeated":
      return `event ${fault.found} a second time, ${fault.expected} was due`;
    case "garbled":
      return `event ${fault.expected} is not what the source sent`;
    case "id_out_of_order":
      return `id ${fault.found} after ${fault.before}`;
    case "gap_told":
      return `a gap of ${fault.missing} events`;
    case "ended_early":
      return `ended complete with ${fault.received} of ${fault.events} events`;
    case "not_complete":
      return `ended with status ${fault.status}`;
    default:
      return fault satisfies never;
  }
}
