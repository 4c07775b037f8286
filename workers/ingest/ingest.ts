/**
 * Hands the events of a request to their shards, all at once, and makes one answer of theirs.
 *
 * 1. What is counted as accepted or duplicate has been acknowledged by a shard.
 * 2. A request that fails in part may be sent again as it is: what was taken is a duplicate then.
 */
import type { EventRejection, IngestCounts, SpillwayError } from "../../protocol/errors.ts";
import type { AppendAnswer, AppendCall } from "../../protocol/lake-call.ts";
import type { IndexedEvent } from "./cloud-events.ts";
import { groupByShard } from "./shard-choice.ts";

/** Pause asked for while a shard cannot be reached: its object is restarted within seconds. */
const RETRY_AFTER_SEC = 2;

export interface ShardPort {
  readonly shardCount: number;
  /** Rejects where the shard cannot be reached or broke before it answered; nothing is known then. */
  readonly appendToShard: (call: AppendCall) => Promise<AppendAnswer>;
}

export type IngestOutcome =
  | { readonly ok: true; readonly counts: IngestCounts }
  | { readonly ok: false; readonly error: SpillwayError };

/**
 * @returns counts if every shard took its events. Else, in this order: `storage_unavailable` if one could
 *   not be reached, `buffer_full` if one was full (with what the others took), `events_rejected` if
 *   there was no good event at all
 */
export async function ingest(
  events: readonly IndexedEvent[],
  rejected: readonly EventRejection[],
  port: ShardPort,
): Promise<IngestOutcome> {
  if (events.length === 0 && rejected.length > 0) return { ok: false, error: { code: "events_rejected", rejected } };
  const groups = [...groupByShard(events, port.shardCount)];
  const answers = await Promise.all(groups.map(([shardIndex, group]) => append(port, shardIndex, group)));
  let accepted = 0;
  let duplicates = 0;
  let retryAfterSec: number | undefined;
  let isReachable = true;
  for (const answer of answers) {
    if (answer === "unreachable") isReachable = false;
    else if (!answer.ok) retryAfterSec = Math.max(retryAfterSec ?? 0, answer.retryAfterSec);
    else {
      accepted += answer.accepted;
      duplicates += answer.duplicates.length;
    }
  }
  if (!isReachable) return { ok: false, error: { code: "storage_unavailable", retryAfterSec: RETRY_AFTER_SEC } };
  const counts = { accepted, duplicates, rejected };
  if (retryAfterSec === undefined) return { ok: true, counts };
  return { ok: false, error: { code: "buffer_full", retryAfterSec, ...counts } };
}

async function append(
  port: ShardPort,
  shardIndex: number,
  group: readonly IndexedEvent[],
): Promise<AppendAnswer | "unreachable"> {
  try {
    return await port.appendToShard({ shardIndex, events: group.map(({ event }) => event), isRiding: false });
  } catch {
    // Whatever broke: the events may or may not have been taken, and sending them again is safe.
    return "unreachable";
  }
}
