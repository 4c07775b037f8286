/**
 * Keeps the dead-letter queue within its bound: the oldest are written to the bucket before they leave,
 * so that nothing that was acknowledged is ever lost.
 */
import type { ObjectStore } from "../iceberg/object-store.ts";
import type { ShardBuffer } from "./shard-buffer.ts";
import type { DeadLetter } from "./dead-letter-store.ts";
import type { ShardStore } from "./shard-store.ts";

/** Letters of one object: 50 of the largest are 100 MB, so fewer of those. */
const LETTERS_PER_OBJECT = 20;

export interface SpillDeps {
  readonly buffer: ShardBuffer;
  readonly store: ShardStore;
  readonly objects: ObjectStore;
  /** Letters the queue keeps. */
  readonly max: number;
}

/** @throws where the bucket fails; what has not been written stays in the queue */
export async function spillDeadLetters({ buffer, store, objects, max }: SpillDeps): Promise<void> {
  while (buffer.deadLetterCount > max) {
    const excess = buffer.deadLetterCount - max;
    const letters = store.letters.list(Math.min(excess, LETTERS_PER_OBJECT));
    const last = letters.at(-1);
    const [first] = letters;
    if (first === undefined || last === undefined) return;
    const key = `dead-letters/${buffer.record.name}/${first.letterId}-${last.letterId}.ndjson`;
    // Written before and interrupted since: the same letters are there already.
    const outcome = await objects.putIfAbsent(key, encodeLetters(letters));
    if (outcome === "throttled") throw new Error("the bucket asks for fewer writes");
    buffer.noteDeadLettersGone(last.letterId, letters.length);
  }
}

/** One line each, the event as the text that it is kept as. */
export function encodeLetters(letters: readonly DeadLetter[]): Uint8Array {
  const lines = letters.map(({ letterId, event, reason, attempts, atMs }) =>
    JSON.stringify({ letter_id: letterId, event, reason, attempts, at: new Date(atMs).toISOString() }),
  );
  return new TextEncoder().encode(`${lines.join("\n")}\n`);
}
