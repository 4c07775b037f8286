/**
 * Holds what a reader was sent against what its source sent: an independent reducer, which knows nothing
 * of segments, folds or storage.
 *
 * Every event of the source is `{"t": text, …}`; an event may stand for a run of them with their texts
 * joined (a fold), and what is missing must have been named by a gap before what follows it.
 */
import { createParser } from "eventsource-parser";

interface ToldGap {
  readonly from: number;
  readonly to: number;
  readonly reason: string;
}

export interface Told {
  /** Seqs of which the reader has the text. */
  readonly received: readonly number[];
  readonly gaps: readonly ToldGap[];
  /** Names of control events, in order; `snapshot` among them. */
  readonly notices: readonly string[];
  readonly end: Record<string, unknown> | undefined;
  readonly tokens: number;
}

/** Text of each source event, by seq - 1. */
type SourceTexts = readonly string[];

class Reduction {
  readonly received: number[] = [];
  readonly gaps: ToldGap[] = [];
  readonly notices: string[] = [];
  end: Record<string, unknown> | undefined;
  tokens = 0;
  private nextSeq: number;
  private readonly texts: SourceTexts;

  constructor(texts: SourceTexts, afterSeq: number) {
    this.texts = texts;
    this.nextSeq = afterSeq + 1;
  }

  take(name: string | undefined, data: string, id: string | undefined): void {
    if (this.end !== undefined) throw new Error(`${name} after the end`);
    const value = objectOf(JSON.parse(data));
    switch (name) {
      case "resume":
        this.tokens++;
        break;
      case "degraded":
        break;
      case "gap":
        this.passGap(value, id);
        break;
      case "snapshot":
        this.takeSnapshot(value);
        break;
      case "rewind":
        this.goBack(value);
        break;
      case "end":
        this.end = value;
        break;
      case undefined:
      default:
        return this.takeText(seqOf(id), String(value["t"]));
    }
    this.notices.push(name);
  }

  private takeText(seq: number, text: string): void {
    const run = this.texts.slice(this.nextSeq - 1, seq);
    const isNext = seq >= this.nextSeq && seq <= this.texts.length;
    if (!isNext || run.join("") !== text) {
      throw new Error(`after ${this.nextSeq - 1} came ${seq}: ${text.slice(0, 60)}, not ${run.join("").slice(0, 60)}`);
    }
    for (; this.nextSeq <= seq; this.nextSeq++) this.received.push(this.nextSeq);
  }

  private goBack({ client, durable }: Record<string, unknown>): void {
    if (seqOf(client) !== this.nextSeq - 1)
      throw new Error(`a rewind from ${String(client)} after ${this.nextSeq - 1}`);
    this.nextSeq = seqOf(durable) + 1;
  }

  private passGap(gap: Record<string, unknown>, id: string | undefined): void {
    const [from, to] = [seqOf(gap["from"]), seqOf(gap["to"])];
    const isHonest = from === this.nextSeq && to >= from && gap["dropped"] === to - from + 1;
    if (!isHonest || (id !== undefined && seqOf(id) !== to)) {
      throw new Error(`a gap after ${this.nextSeq - 1} says ${JSON.stringify(gap)} under id ${id}`);
    }
    this.gaps.push({ from, to, reason: String(gap["reason"]) });
    this.nextSeq = to + 1;
  }

  private takeSnapshot({ events, through }: Record<string, unknown>): void {
    if (!Array.isArray(events)) throw new Error("a snapshot without events");
    for (const entry of events.map(objectOf)) {
      if (entry["gap"] !== undefined) this.passGap(objectOf(entry["gap"]), undefined);
      else this.takeText(seqOf(entry["id"]), String(objectOf(JSON.parse(String(entry["data"])))["t"]));
    }
    if (seqOf(through) !== this.nextSeq - 1) throw new Error(`a snapshot through ${String(through)}`);
  }
}

/** @throws where the reader was told anything but the truth */
export function readTold(wire: string, texts: SourceTexts, afterSeq = 0): Told {
  const reduction = new Reduction(texts, afterSeq);
  const parser = createParser({
    onEvent: ({ event, data, id }) => reduction.take(event, data, id),
    onError: (error) => {
      throw error;
    },
  });
  parser.feed(wire);
  return reduction;
}

function seqOf(id: unknown): number {
  const seq = /^\d+-(\d+)$/.exec(String(id))?.[1];
  if (seq === undefined) throw new Error(`not an event id: ${String(id)}`);
  return Number(seq);
}

function objectOf(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? { ...value } : {};
}
