/**
 * Operators' work on the shards' buffers, as the Worker does it: finds the shards, asks their objects, and sums
 * up. What a shard does with it is its own affair (durable-objects/analytics).
 */
import type {
  ExportScope,
  LetterPage,
  OperatorRefusal,
  PurgeAnswer,
  RedriveAnswer,
  ResetAnswer,
  ResetReport,
} from "../protocol/buffer-call.ts";
import type { SpillwayError } from "../protocol/errors.ts";
import type { LakeSettings } from "../protocol/lake-settings.ts";
import { shardName } from "../protocol/shard-choice.ts";
import type { Result } from "../protocol/stream-call.ts";
import { within } from "../protocol/timing.ts";
import { exportText, streamOf, type ExportedShard } from "./buffer-export.ts";
import type { Lake } from "./lake.ts";
import type {
  LetterAdmin,
  LetterList,
  LetterPosition,
  ListedShardLetter,
  PurgeReport,
  RedriveReport,
} from "./letter-admin.ts";
import { replay, type ReplayReport } from "./replay/replay.ts";
import { selectShards } from "./shard-selection.ts";

const RETRY_AFTER_SEC = 5;
/** A page is read at once; what takes longer is not coming. */
const PAGE_TIMEOUT_MS = 30_000;
/** Beyond, a page of letters ends; a shard gives about 1 MB at a time. */
const LETTERS_MAX_CHARS = 1024 * 1024;

type Shards = Env["EVENT_BUFFER_DO"];

type BodyReading =
  | { readonly ok: true; readonly body: Uint8Array }
  | { readonly ok: false; readonly error: SpillwayError };

/** A shard's life, and a part of what one of its resets wrote. */
const EXPORT_KEY = /^exports\/(\d{1,4})-[0-9a-f]{8}\/[\w.:-]{1,100}\.ndjson$/;

export class LakeAdmin implements LetterAdmin {
  private readonly shards: Shards;
  private readonly settings: LakeSettings;
  private readonly lake: Lake;

  constructor(env: Pick<Env, "EVENT_BUFFER_DO">, settings: LakeSettings, lake: Lake) {
    this.shards = env.EVENT_BUFFER_DO;
    this.settings = settings;
    this.lake = lake;
  }

  async select(given: string | number | undefined): Promise<Result<readonly number[]>> {
    return selectShards(given, this.lake, this.settings.shards);
  }

  /** Text of everything that is buffered now. */
  async export(given: string | undefined, nowMs: number): Promise<Result<ReadableStream<Uint8Array>>> {
    const selected = await this.select(given);
    if (!selected.ok) return selected;
    const shards: ExportedShard[] = [];
    for (const index of selected.value) {
      const scope = await this.ask<ExportScope | undefined>(index, async (shard) =>
        within(shard.exportScope(), "the shard", PAGE_TIMEOUT_MS),
      );
      if (!scope.ok) return scope;
      if (scope.value !== undefined) shards.push({ index, ...scope.value });
    }
    const text = exportText(shards, new Date(nowMs).toISOString(), async (index, call) => {
      const page = await within(this.shard(index).exportPage(call), "the shard", PAGE_TIMEOUT_MS);
      if (page === undefined) throw new Error("the shard is another one now");
      return page;
    });
    return { ok: true, value: streamOf(text) };
  }

  async replay(body: Uint8Array): Promise<Result<ReplayReport>> {
    return replay(body, {
      shardCount: this.settings.shards,
      appendToShard: (call) => this.lake.appendToShard(call),
      findShards: () => this.lake.findShards(),
    });
  }

  /** What a reset has written to the bucket. */
  async readExport(key: string): Promise<BodyReading> {
    const index = EXPORT_KEY.exec(key)?.[1];
    if (index === undefined) {
      return { ok: false, error: { code: "invalid_request", field: "export", detail: "a key that a reset has named" } };
    }
    const asked = await this.ask<Uint8Array | undefined>(Number(index), async (shard) => shard.readExport(key));
    if (!asked.ok) return asked;
    return asked.value === undefined ? { ok: false, error: { code: "not_found" } } : { ok: true, body: asked.value };
  }

  async reset(index: number, confirm: string | undefined): Promise<Result<ResetReport>> {
    const asked = await this.ask<ResetAnswer | undefined>(index, async (shard) => shard.reset(confirm));
    if (!asked.ok) return asked;
    const answer = asked.value;
    if (answer === undefined) return UNUSED;
    if (!answer.ok) return refused(answer);
    const { ok: _, ...report } = answer;
    return { ok: true, value: report };
  }

  async listLetters(
    given: string | undefined,
    limit: number,
    after: LetterPosition | undefined,
  ): Promise<Result<LetterList>> {
    const selected = await this.select(given);
    if (!selected.ok) return selected;
    const letters: ListedShardLetter[] = [];
    let chars = 0;
    let total = 0;
    let isCut = false;
    for (const index of selected.value) {
      const isBefore = after !== undefined && index < after.shardIndex;
      const wanted: number = isBefore || isCut || chars >= LETTERS_MAX_CHARS ? 0 : limit - letters.length;
      const afterId = index === after?.shardIndex ? after.letterId : 0;
      const asked: Result<LetterPage | undefined> = await this.ask<LetterPage | undefined>(index, async (shard) =>
        within(shard.deadLetters(afterId, wanted), "the shard", PAGE_TIMEOUT_MS),
      );
      if (!asked.ok) return asked;
      const page = asked.value;
      if (page === undefined) continue;
      total += page.total;
      if (isBefore) continue;
      isCut ||= page.hasMore;
      for (const letter of page.letters) {
        letters.push({ shard_index: index, shard: page.shard, ...letter });
        chars += (letter.event?.data?.length ?? 0) + (letter.text?.length ?? 0);
      }
    }
    const last = letters.at(-1);
    const next = isCut && last !== undefined ? `${last.shard_index}.${last.letter_id}` : null;
    return { ok: true, value: { letters, next, total } };
  }

  async redrive(indexes: readonly number[], ids: readonly number[] | undefined): Promise<RedriveReport> {
    const report = { redriven: 0, remaining: 0, unreadable: 0, full: [] as string[], failed: [] as string[] };
    for (const index of indexes) {
      const asked = await this.ask<RedriveAnswer | undefined>(index, async (shard) => shard.redrive(ids));
      const answer = asked.ok ? asked.value : { ok: false as const };
      if (answer === undefined) continue;
      if (!answer.ok) {
        report.failed.push(shardName(index));
        continue;
      }
      report.redriven += answer.redriven;
      report.remaining += answer.remaining;
      report.unreadable += answer.unreadable;
      if (answer.is_full) report.full.push(shardName(index));
    }
    return report;
  }

  async purge(
    index: number,
    call: { readonly ids: readonly number[] | undefined; readonly confirm: string | undefined },
  ): Promise<Result<PurgeReport>> {
    const asked = await this.ask<PurgeAnswer | undefined>(index, async (shard) => shard.purge(call));
    if (!asked.ok) return asked;
    const answer = asked.value;
    if (answer === undefined) return UNUSED;
    if (!answer.ok) return refused(answer);
    return { ok: true, value: { purged: answer.purged, written_to: answer.written_to } };
  }

  private async ask<T>(
    index: number,
    call: (shard: ReturnType<Shards["getByName"]>) => Promise<T>,
  ): Promise<Result<T>> {
    try {
      return { ok: true, value: await call(this.shard(index)) };
    } catch (error) {
      const name = error instanceof Error ? error.name : typeof error;
      console.log(JSON.stringify({ event: "InternalError", shard: shardName(index), name }));
      return unavailable(`${shardName(index)} cannot be reached`);
    }
  }

  private shard(index: number) {
    return this.shards.getByName(shardName(index));
  }
}

/** A shard that never took an event has no life to be named in a confirmation, and nothing to lose. */
const UNUSED = unavailable("the shard has never taken an event");

function refused(answer: OperatorRefusal): { readonly ok: false; readonly error: SpillwayError } {
  if (answer.code === "unavailable") return unavailable(answer.reason);
  return { ok: false, error: { code: "confirmation_needed", expected: answer.expected } };
}

function unavailable(reason: string): { readonly ok: false; readonly error: SpillwayError } {
  return { ok: false, error: { code: "storage_unavailable", retryAfterSec: RETRY_AFTER_SEC, reason } };
}
