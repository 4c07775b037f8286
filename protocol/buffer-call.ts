/**
 * What the Worker and a shard say to each other where operators work on its buffer: RPC with plain results.
 */
import type { ExportedEvent } from "./buffer-export.ts";

/** What there is to export of one shard at one moment. */
export interface ExportScope {
  readonly shard: string;
  readonly events: number;
  readonly uptoSeq: number;
}

export interface ExportPageCall {
  /** Events after this one, up to the scope's last. */
  readonly afterSeq: number;
  readonly uptoSeq: number;
}

export interface ExportPage {
  readonly lines: readonly string[];
  /** How many of the lines are damaged rows; they come last. */
  readonly unreadableRows: number;
  /** Where the next page begins; `undefined` on the last one. */
  readonly nextAfterSeq: number | undefined;
}

/** What keeps operators' work from being done; nothing has been changed then. */
export type OperatorRefusal =
  | { readonly ok: false; readonly code: "confirmation_needed"; readonly expected: string }
  /** Storage, bucket or table object: `reason` holds neither payload nor secret. */
  | { readonly ok: false; readonly code: "unavailable"; readonly reason: string };

export interface ResetReport {
  readonly shard: string;
  /** Dropped, and written to `exports` before. */
  readonly events: number;
  readonly bytes: number;
  /** Keys in the bucket. */
  readonly exports: readonly string[];
  /** Of a batch that was on its way into the table: finished instead of dropped. */
  readonly delivered_events: number;
  /** Still buffered: of a batch that may have been delivered, and what has come meanwhile. */
  readonly kept_events: number;
}

export type ResetAnswer = ({ readonly ok: true } & ResetReport) | OperatorRefusal;

export interface ListedLetter {
  readonly letter_id: number;
  readonly reason: string;
  readonly attempts: number;
  readonly at: string;
  /** `null` of what cannot be read as an event: then `text` is what there is. */
  readonly event: ExportedEvent | null;
  readonly text: string | null;
}

export interface LetterPage {
  readonly shard: string;
  readonly letters: readonly ListedLetter[];
  /** Whether there are more after these. */
  readonly hasMore: boolean;
  /** All of the shard's. */
  readonly total: number;
}

export type RedriveAnswer =
  | {
      readonly ok: true;
      readonly redriven: number;
      readonly remaining: number;
      /** Of those asked for: letters that no event can be made of. They stay. */
      readonly unreadable: number;
      /** Whether letters stay because the buffer has no room for their events. */
      readonly is_full: boolean;
    }
  | OperatorRefusal;

export type PurgeAnswer =
  | { readonly ok: true; readonly purged: number; readonly written_to: readonly string[] }
  | OperatorRefusal;

export interface PurgeCall {
  readonly ids: readonly number[] | undefined;
  readonly confirm: string | undefined;
}
