/**
 * Sends exported events to their shards again, a window at a time, and sums up what became of them.
 *
 * 1. An event goes where it is known if it was taken before: where ingest would send it, and the service's own
 *    telemetry where it came from.
 * 2. A replay that ends early may be sent again as it is: what was taken is a duplicate then.
 */
import type { SpillwayError } from "../../protocol/errors.ts";
import type { AppendAnswer } from "../../protocol/lake-call.ts";
import { dayOf, type LakeEvent } from "../../protocol/lake-event.ts";
import { INGEST_MAX_DAYS } from "../../protocol/ingest-limits.ts";
import { shardOf } from "../../protocol/shard-choice.ts";
import type { Result } from "../../protocol/stream-call.ts";
import { OWN_SOURCE_PREFIX } from "../../protocol/telemetry-event.ts";
import type { ShardPort } from "../ingest/ingest.ts";
import { chooseShard } from "../ingest/shard-choice.ts";
import { checkSections, readExportBody } from "./export-body.ts";

export interface ReplayReport {
  /** Lines that should hold an event. */
  readonly events: number;
  readonly accepted: number;
  /** Known already, by `source` and `id`. */
  readonly duplicates: number;
  /** The first of the lines that were not taken. */
  readonly rejected: readonly { readonly line: number; readonly detail: string }[];
  readonly rejected_lines: number;
}

const REJECTED_LISTED = 100;
const WINDOW_MAX_EVENTS = 2000;
const WINDOW_MAX_CHARS = 2 * 1024 * 1024;
const RETRY_AFTER_SEC = 2;

interface Placed {
  readonly event: LakeEvent;
  readonly shardIndex: number;
}

export async function replay(body: Uint8Array, port: ShardPort): Promise<Result<ReplayReport>> {
  const broken = checkSections(body);
  if (broken !== undefined) return { ok: false, error: broken };
  const rejected: { line: number; detail: string }[] = [];
  let rejectedLines = 0;
  const delivery = new Delivery(port);
  let window: Placed[] = [];
  let chars = 0;
  for (const reading of readExportBody(body)) {
    if (!reading.ok) {
      rejectedLines++;
      if (rejected.length < REJECTED_LISTED) rejected.push({ line: reading.line, detail: reading.detail });
      continue;
    }
    window.push({ event: reading.event, shardIndex: shardOfReplayed(reading, port.shardCount) });
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

/** @param shardIndex of the shard that exported it; shards may have become fewer since */
export function shardOfReplayed(
  { event, shardIndex }: { readonly event: LakeEvent; readonly shardIndex: number | undefined },
  shardCount: number,
): number {
  if (!event.source.startsWith(OWN_SOURCE_PREFIX)) return chooseShard(event, shardCount);
  // Streams, the Worker and the lake each choose by a rule of their own: where it was is where it is known.
  if (shardIndex !== undefined && shardIndex < shardCount) return shardIndex;
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
    const answers = await Promise.all(
      [...byShard].map(([shardIndex, placed]) =>
        this.sendTo(
          shardIndex,
          placed.map(({ event }) => event),
        ),
      ),
    );
    if (answers.includes("unreachable")) return { code: "storage_unavailable", retryAfterSec: RETRY_AFTER_SEC };
    const waits = answers.map((answer) => (answer === "unreachable" || answer.ok ? 0 : answer.retryAfterSec));
    const retryAfterSec = Math.max(0, ...waits);
    if (retryAfterSec === 0) return undefined;
    const { accepted, duplicates } = this;
    return { code: "buffer_full", retryAfterSec, accepted, duplicates, rejected: [] };
  }

  private async sendTo(shardIndex: number, events: readonly LakeEvent[]): Promise<AppendAnswer | "unreachable"> {
    let last: AppendAnswer = { ok: true, accepted: 0, duplicates: [] };
    for (const run of splitByDays(events)) {
      try {
        last = await this.port.appendToShard({ shardIndex, events: run, isRiding: false, isReplayed: true });
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
function splitByDays(events: readonly LakeEvent[]): LakeEvent[][] {
  const runs: LakeEvent[][] = [];
  let days = new Set<number>();
  for (const event of events) {
    const day = dayOf(event.timeUs);
    const isFull = !days.has(day) && days.size >= INGEST_MAX_DAYS;
    if (isFull || runs.length === 0) {
      runs.push([]);
      days = new Set();
    }
    days.add(day);
    runs.at(-1)?.push(event);
  }
  return runs;
}
