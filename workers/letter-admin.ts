/**
 * What operators do with dead letters, as the routes ask it: of shards, whoever finds and asks them.
 */
import type { ListedLetter } from "../protocol/buffer-call.ts";
import type { Result } from "../protocol/stream-call.ts";

export interface ListedShardLetter extends ListedLetter {
  readonly shard_index: number;
  /** Name of the shard's life. */
  readonly shard: string;
}

export interface LetterList {
  readonly letters: readonly ListedShardLetter[];
  /** To be passed as `after`; `null` on the last page. */
  readonly next: string | null;
  readonly total: number;
}

export interface LetterPosition {
  readonly shardIndex: number;
  readonly letterId: number;
}

export interface RedriveReport {
  readonly redriven: number;
  readonly remaining: number;
  /** Letters that no event can be made of: they stay. */
  readonly unreadable: number;
  /** Names of shards that have no room for more, and of those that could not do it. */
  readonly full: readonly string[];
  readonly failed: readonly string[];
}

export interface PurgeReport {
  readonly purged: number;
  readonly written_to: readonly string[];
}

export interface LetterAdmin {
  /** @param given all shards where nothing is given */
  select(given: string | number | undefined): Promise<Result<readonly number[]>>;
  listLetters(given: string | undefined, limit: number, after: LetterPosition | undefined): Promise<Result<LetterList>>;
  redrive(indexes: readonly number[], ids: readonly number[] | undefined): Promise<RedriveReport>;
  purge(
    index: number,
    call: { readonly ids: readonly number[] | undefined; readonly confirm: string | undefined },
  ): Promise<Result<PurgeReport>>;
}
