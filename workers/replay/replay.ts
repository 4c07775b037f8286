/**
 * Sends exported events to their shards again, a window at a time, and sums up what became of them.
 *
 * 1. All lines of a shard's life go to one shard, which knows by their places what has become of each event.
 * 2. A replay that ends early may be sent again as it is: what was taken is a duplicate then.
 */
import type { SpillwayError } from "../../protocol/errors.ts";
import type { AppendAnswer, EventPlace } from "../../protocol/lake-call.ts";
import { dayOf, type LakeEvent } from "../../protocol/lake-event.ts";
import { INGEST_MAX_DAYS } from "../../protocol/ingest-limits.ts";
import { shardOf } from "../../protocol/shard-choice.ts";
import type { Result } from "../../protocol/stream-call.ts";
import { OWN_SOURCE_PREFIX } from "../../protocol/telemetry-event.ts";
import type { ShardPort } from "../ingest/ingest.ts";
import { chooseShard } from "../ingest/shard-choice.ts";
import { checkSections, readExportBody } from "./export-body.ts";
import { shardIndexOf } from "./exported-line.ts";

export interface ReplayReport {
  /** Lines that should hold an event. */
  readonly events: number;
  readonly accepted: number;
  /** Known already, by their place, or by `source` and `id`. */
  readonly duplicates: number;
  /** The first of the lines that were not taken. */
  readonly rejected: readonly { readonly line: number; readonly detail: string }[];
  readonly rejected_lines: number;
}

const REJECTED_LISTED = 100;
const WINDOW_MAX_EVENTS = 2000;
const WINDOW_MAX_CHARS = 2 * 1024 * 1024;
const RETRY_AFTER_SEC = 2;

export interface ReplayPort extends ShardPort {
  /** The configured shards, and whichever ever took an event; `error` where there may be more. */
  readonly findShards: () => Promise<{ readonly indexes: readonly number[]; readonly error: string | null }>;
}

interface Placed {
  readonly event: LakeEvent;
  readonly place: EventPlace | undefined;
  readonly shardIndex: number;
}

export async function replay(body: Uint8Array, port: ReplayPort): Promise<Result<ReplayReport>> {
  const broken = checkSections(body);
  if (broken !== undefined) return { ok: false, error: broken };
  const rejected: { line: number; detail: string }[] = [];
  let rejectedLines = 0;
  const delivery = new Delivery(port);
  const routing = new Routing(port);
  let window: Placed[] = [];
  let chars = 0;
  for (const reading of readExportBody(body)) {
    if (!reading.ok) {
      rejectedLines++;
      if (rejected.length < REJECTED_LISTED) rejected.push({ line: reading.line, detail: reading.detail });
      continue;
    }
    const { event, place } = reading;
    const shardIndex = place === undefined ? shardWithoutPlace(event, port.shardCount) : await routing.shardOf(place);
    if (typeof shardIndex !== "number") return { ok: false, error: shardIndex };
    window.push({ event, place, shardIndex });
    chars += (reading.event.data?.length ?? 0) + (reading.event.extensions?.length ?? 0);
    if (window.length < WINDOW_MAX_EVENTS && chars < WINDOW_MAX_CHARS) continue;
    const error = await delivery.send(window);
    if (error !== undefined) return { ok: false, error };
    window = [];
    chars = 0;
  }
  const error = await delivery.send(window);
  if (error !== undefined) return { ok: false, error };
  const { accepted, duplicates } = delivery;
  const events = accepted + duplicates + rejectedLines;
  return { ok: true, value: { events, accepted, duplicates, rejected, rejected_lines: rejectedLines } };
}

/** Where each life's lines go: to the shard that has its index, as long as there is one. */
class Routing {
  private readonly port: ReplayPort;
  private readonly byLife = new Map<string, number>();
  private known: ReadonlySet<number> | undefined;

  constructor(port: ReplayPort) {
    this.port = port;
  }

  /** @returns its index, or why it cannot be told: elsewhere its events might be taken twice */
  async shardOf({ life }: EventPlace): Promise<number | SpillwayError> {
    const found = this.byLife.get(life);
    if (found !== undefined) return found;
    const index = shardIndexOf(life);
    const isKnown = await this.isKnown(index);
    if (typeof isKnown !== "boolean") return isKnown;
    const chosen = isKnown ? index : shardOf([life], this.port.shardCount);
    this.byLife.set(life, chosen);
    return chosen;
  }

  private async isKnown(index: number): Promise<boolean | SpillwayError> {
    if (index < this.port.shardCount) return true;
    if (this.known === undefined) {
      const { indexes, error } = await this.port.findShards();
      if (error !== null) return { code: "storage_unavailable", retryAfterSec: RETRY_AFTER_SEC, reason: error };
      this.known = new Set(indexes);
    }
    return this.known.has(index);
  }
}

/** A line that was made by hand: where ingest would send it, and the service's own where streams tell of themselves. */
function shardWithoutPlace(event: LakeEvent, shardCount: number): number {
  if (!event.source.startsWith(OWN_SOURCE_PREFIX)) return chooseShard(event, shardCount);
  return shardOf([event.requestId ?? event.id], shardCount);
}

class Delivery {
  accepted = 0;
  duplicates = 0;
  private readonly port: ShardPort;

  constructor(port: ShardPort) {
    this.port = port;
  }

  /** To all shards at once. @returns why not all were taken */
  async send(window: readonly Placed[]): Promise<SpillwayError | undefined> {
    const byShard = Map.groupBy(window, ({ shardIndex }) => shardIndex);
    const answers = await Promise.all([...byShard].map(([shardIndex, placed]) => this.sendTo(shardIndex, placed)));
    if (answers.includes("unreachable")) return { code: "storage_unavailable", retryAfterSec: RETRY_AFTER_SEC };
    const waits = answers.map((answer) => (answer === "unreachable" || answer.ok ? 0 : answer.retryAfterSec));
    const retryAfterSec = Math.max(0, ...waits);
    if (retryAfterSec === 0) return undefined;
    const { accepted, duplicates } = this;
    return { code: "buffer_full", retryAfterSec, accepted, duplicates, rejected: [] };
  }

  private async sendTo(shardIndex: number, placed: readonly Placed[]): Promise<AppendAnswer | "unreachable"> {
    let last: AppendAnswer = { ok: true, accepted: 0, duplicates: [] };
    for (const run of splitByDays(placed)) {
      const events = run.map(({ event }) => event);
      const places = run.map(({ place }) => place);
      try {
        last = await this.port.appendToShard({ shardIndex, events, places, isRiding: false, isReplayed: true });
      } catch {
        // Whatever broke: the events may or may not have been taken, and sending them again is safe.
        return "unreachable";
      }
      if (!last.ok) return last;
      this.accepted += last.accepted;
      this.duplicates += last.duplicates.length;
    }
    return last;
  }
}

/** Runs of no more days than one request may bring: a shard counts on that. */
function splitByDays(placed: readonly Placed[]): Placed[][] {
  const runs: Placed[][] = [];
  let days = new Set<number>();
  for (const one of placed) {
    const day = dayOf(one.event.timeUs);
    const isFull = !days.has(day) && days.size >= INGEST_MAX_DAYS;
    if (isFull || runs.length === 0) {
      runs.push([]);
      days = new Set();
    }
    days.add(day);
    runs.at(-1)?.push(one);
  }
  return runs;
}
