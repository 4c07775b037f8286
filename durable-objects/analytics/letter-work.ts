/**
 * What operators do with dead letters: look, send back into the buffer, let go. One step at a time is in
 * memory, however many letters there are.
 *
 * - D1 a letter leaves together with its event's return, or after it lies in the bucket; never else.
 */
import type {
  LetterPage,
  ListedLetter,
  OperatorRefusal,
  PurgeAnswer,
  PurgeCall,
  RedriveAnswer,
} from "../../protocol/buffer-call.ts";
import type { ObjectStore } from "../iceberg/object-store.ts";
import type { DeadLetter } from "./dead-letter-store.ts";
import { encodeLetters } from "./dead-letters.ts";
import { putNew, stampOf } from "./export-parts.ts";
import { listedLetter, readLetterRow } from "./letter-event.ts";
import type { ShardBuffer } from "./shard-buffer.ts";
import type { ShardFlush } from "./shard-flush.ts";
import type { ReturnedLetter, ShardStore } from "./shard-store.ts";

export interface LetterDeps {
  readonly buffer: ShardBuffer;
  readonly store: ShardStore;
  readonly flush: ShardFlush;
  readonly objects: ObjectStore;
  readonly clock: () => number;
}

const PAGE_MAX_CHARS = 1024 * 1024;
/** Letters of one transaction: fewer than the days that one append may have. */
const STEP_MAX_LETTERS = 50;
/** In UTF-16 units, of which UTF-8 makes up to three bytes. */
const PART_MAX_CHARS = 2 * 1024 * 1024;

export class LetterWork {
  private readonly deps: LetterDeps;

  constructor(deps: LetterDeps) {
    this.deps = deps;
  }

  list(afterLetterId: number, limit: number): LetterPage {
    const { buffer } = this.deps;
    const letters: ListedLetter[] = [];
    let chars = 0;
    let hasMore = false;
    for (const letter of this.letters({ afterLetterId })) {
      hasMore = letters.length >= limit || (letters.length > 0 && chars + letter.event.length > PAGE_MAX_CHARS);
      if (hasMore) break;
      chars += letter.event.length;
      letters.push(listedLetter(letter));
    }
    return { shard: buffer.record.name, letters, hasMore, total: buffer.deadLetterCount };
  }

  /** @throws where storage fails; what has been sent back by then has left the letters, too */
  async redrive(ids: readonly number[] | undefined): Promise<RedriveAnswer> {
    // In a turn of its own: a flush that writes letters to the bucket must find them as it has counted them.
    return this.deps.flush.exclusively(async () => this.redriveAll(ids));
  }

  private redriveAll(ids: readonly number[] | undefined): RedriveAnswer {
    const { buffer, clock } = this.deps;
    let redriven = 0;
    let unreadable = 0;
    let step: ReturnedLetter[] = [];
    let chars = 0;
    let isFull = false;
    const takeStep = () => {
      isFull = step.length > 0 && !buffer.takeBack(step, clock());
      if (!isFull) redriven += step.length;
      step = [];
      chars = 0;
    };
    for (const { letterId, event: text } of this.letters({ ids })) {
      const row = readLetterRow(text);
      if (row === undefined) {
        unreadable++;
        continue;
      }
      if (step.length >= STEP_MAX_LETTERS || chars + text.length > PAGE_MAX_CHARS) takeStep();
      if (isFull) break;
      step.push({ letterId, event: row, seq: row.seq });
      chars += text.length;
    }
    if (!isFull) takeStep();
    return { ok: true, redriven, remaining: buffer.deadLetterCount, unreadable, is_full: isFull };
  }

  /** @throws where bucket or storage fail; nothing is let go then */
  async purge({ ids, confirm }: PurgeCall): Promise<PurgeAnswer> {
    const refusal = this.refusalOf(ids, confirm);
    if (refusal !== undefined) return refusal;
    return this.deps.flush.exclusively(async () => this.refusalOf(ids, confirm) ?? this.purgeAll(ids));
  }

  private refusalOf(ids: readonly number[] | undefined, confirm: string | undefined): OperatorRefusal | undefined {
    const { buffer, store } = this.deps;
    const count = ids === undefined ? buffer.deadLetterCount : ids.filter((id) => store.letters.has(id)).length;
    const expected = `${buffer.record.name} ${count}`;
    return confirm === expected ? undefined : { ok: false, code: "confirmation_needed", expected };
  }

  private async purgeAll(ids: readonly number[] | undefined): Promise<PurgeAnswer> {
    const { buffer, objects, clock } = this.deps;
    const stamp = stampOf(clock());
    const written: string[] = [];
    const purged: number[] = [];
    let part: DeadLetter[] = [];
    let chars = 0;
    const writePart = async () => {
      if (part.length === 0) return;
      const key = `dead-letters/${buffer.record.name}/purged-${stamp}-${written.length + 1}.ndjson`;
      await putNew(objects, key, encodeLetters(part));
      written.push(key);
      part = [];
      chars = 0;
    };
    for (const letter of this.letters({ ids })) {
      if (chars + letter.event.length > PART_MAX_CHARS) await writePart();
      part.push(letter);
      chars += letter.event.length;
      purged.push(letter.letterId);
    }
    await writePart();
    // D1
    buffer.dropLetters(purged);
    return { ok: true, purged: purged.length, written_to: written };
  }

  /** One by one, oldest first: a letter may be as large as a row. */
  private *letters({ afterLetterId = 0, ids }: { afterLetterId?: number; ids?: readonly number[] | undefined }) {
    const { letters } = this.deps.store;
    if (ids !== undefined) {
      for (const id of [...new Set(ids)].toSorted((left, right) => left - right)) {
        const [letter] = letters.list(1, id - 1);
        if (letter?.letterId === id) yield letter;
      }
      return;
    }
    for (let after = afterLetterId; ;) {
      const [letter] = letters.list(1, after);
      if (letter === undefined) return;
      after = letter.letterId;
      yield letter;
    }
  }
}
