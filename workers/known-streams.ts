/**
 * What the shards know of streams from the telemetry they were told. What is there of a stream now, its own
 * object says: stream-objects.ts.
 */
import type { KnownStream, ShardRollup, TimelineEntry } from "../protocol/rollup.ts";
import { shardName, shardOf } from "../protocol/shard-choice.ts";
import { within } from "../protocol/timing.ts";

const TIMEOUT_MS = 5000;
/** A shard's rollup may be some 300 KB, and there may be 256 of them: so many are held at a time. */
const SHARDS_AT_ONCE = 16;

/** A shard, as it is asked here. */
interface AskedShard {
  rollup(): Promise<ShardRollup | undefined>;
  timeline(requestId: string): Promise<readonly TimelineEntry[]>;
  knownStream(requestId: string): Promise<KnownStream | undefined>;
}

type Shortlist = (streams: readonly KnownStream[]) => KnownStream[];

interface KnownStreamsDeps {
  /** How many shards telemetry is spread over. */
  readonly shards: number;
  readonly shard: (index: number) => AskedShard;
  /** Every shard there is. */
  readonly findShards: () => Promise<{ readonly indexes: readonly number[] }>;
}

/** What is known of one stream. */
export interface StreamHistory {
  readonly known: KnownStream | undefined;
  /** Oldest first. */
  readonly timeline: readonly TimelineEntry[];
  /** Shards that could not be asked. */
  readonly missing: readonly string[];
}

export class KnownStreams {
  private readonly deps: KnownStreamsDeps;

  constructor(deps: KnownStreamsDeps) {
    this.deps = deps;
  }

  /**
   * Streams that shards still tell of, once each, as they were heard of last.
   *
   * @param shortlist what is wanted of one shard's streams: no more is kept of them
   */
  async all(shortlist: Shortlist): Promise<{ streams: KnownStream[]; missing: string[] }> {
    const { indexes } = await this.deps.findShards();
    const answers: ShardAnswer<KnownStream[]>[] = [];
    for (let at = 0; at < indexes.length; at += SHARDS_AT_ONCE) {
      const turn = indexes.slice(at, at + SHARDS_AT_ONCE);
      answers.push(...(await Promise.all(turn.map((index) => this.askFor(index, shortlist)))));
    }
    return { streams: latestOfEach(answers.flatMap(({ value }) => value ?? [])), missing: missingOf(answers) };
  }

  private askFor(index: number, shortlist: Shortlist): Promise<ShardAnswer<KnownStream[]>> {
    return this.ask(index, async (shard) => {
      const rollup = await shard.rollup();
      return rollup === undefined ? [] : shortlist([...rollup.activeStreams, ...rollup.endedStreams]);
    });
  }

  /**
   * @param objectId by which the stream itself chooses the shard it tells; what the Worker tells of it, it
   *   tells by its request id
   */
  async history(requestId: string, objectId: string): Promise<StreamHistory> {
    const indexes = new Set([shardOf([objectId], this.deps.shards), shardOf([requestId], this.deps.shards)]);
    const answers = await Promise.all(
      [...indexes].map((index) =>
        this.ask(index, async (shard) => {
          const [known, timeline] = await Promise.all([shard.knownStream(requestId), shard.timeline(requestId)]);
          return { known, timeline };
        }),
      ),
    );
    const known = answers.flatMap(({ value }) => value?.known ?? []);
    const timeline = answers.flatMap(({ value }) => value?.timeline ?? []);
    return {
      known: latestOfEach(known)[0],
      timeline: timeline.toSorted((left, right) => left.atMs - right.atMs),
      missing: missingOf(answers),
    };
  }

  private async ask<T>(index: number, question: (shard: AskedShard) => Promise<T>): Promise<ShardAnswer<T>> {
    try {
      const asked = async () => question(this.deps.shard(index));
      return { index, isMissing: false, value: await within(asked(), "the shard", TIMEOUT_MS) };
    } catch {
      // Out of reach, or too slow: what the others know is shown, and this one named.
      return { index, isMissing: true, value: undefined };
    }
  }
}

interface ShardAnswer<T> {
  readonly index: number;
  readonly isMissing: boolean;
  readonly value: T | undefined;
}

function missingOf(answers: readonly ShardAnswer<unknown>[]): string[] {
  return answers.filter(({ isMissing }) => isMissing).map(({ index }) => shardName(index));
}

/** After a change of the number of shards, two may know of one. */
function latestOfEach(streams: readonly KnownStream[]): KnownStream[] {
  const byId = new Map<string, KnownStream>();
  for (const stream of streams) {
    const other = byId.get(stream.requestId);
    if (other === undefined || other.lastHeardAtMs < stream.lastHeardAtMs) byId.set(stream.requestId, stream);
  }
  return [...byId.values()];
}
