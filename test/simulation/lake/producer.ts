/**
 * Producers: they append events, and append the same ones again until they are told that these are safe.
 * Some go on even after that.
 */
import type { AppendAnswer, EventPlace } from "../../../protocol/lake-call.ts";
import type { LakeEvent } from "../../../protocol/lake-event.ts";
import { shardOf } from "../../../protocol/shard-choice.ts";
import { shardIndexOf } from "../../../workers/replay/exported-line.ts";
import type { Random } from "../random.ts";
import { eventsOfExport, type ExportedEvent } from "./exported-events.ts";
import { APPEND_MAX_EVENTS, type LakeWorld } from "./lake-world.ts";
import { quiet, type Caller } from "./network.ts";

const MICROS_PER_MS = 1000;
const DAY_MS = 86_400_000;
/** Requests that producers remember to repeat. */
const REMEMBERED = 20;

interface Request {
  readonly events: readonly LakeEvent[];
  /** What its shard is chosen by. */
  readonly key: string;
  /** Fixed where the events belong to the other deployment. */
  readonly index: number | undefined;
  lastIndex: number | undefined;
  /** Of an export: where each event was. */
  readonly places?: readonly (EventPlace | undefined)[];
}

export class Producer {
  /** Shards that take new events: the setting, which may change. */
  shards: number;
  /** Sent, or to be sent again; not acknowledged. */
  private waiting: Request[] = [];
  private inFlight = 0;
  private acknowledged: Request[] = [];
  private made = 0;
  private readonly world: LakeWorld;
  private readonly random: Random;
  private readonly caller: Caller;

  constructor(world: LakeWorld, random: Random) {
    this.world = world;
    this.random = random;
    this.shards = world.settings.shards;
    this.caller = {
      name: "producer",
      isAlive: true,
      run: async (work) => {
        work();
        await quiet();
      },
      send: (call) => world.network.push(call),
    };
  }

  get isWaiting(): boolean {
    return this.waiting.length > 0 || this.inFlight > 0;
  }

  get isInFlight(): boolean {
    return this.inFlight > 0;
  }

  appendNew(): string {
    const { random, world } = this;
    const isForeign = world.foreign !== undefined && random.chance(0.2);
    const events = Array.from({ length: random.magnitude(1, APPEND_MAX_EVENTS) }, () => this.makeEvent());
    const repeated = events[0];
    if (repeated !== undefined && random.chance(0.1)) {
      events.push(repeated);
      world.coverage.note("duplicate within an append");
    }
    const index = isForeign ? [...(world.foreign?.shards.keys() ?? [])][0] : undefined;
    return this.send({ events, key: `stream ${random.int(1, 5)}`, index, lastIndex: undefined });
  }

  /** Sends something again, acknowledged or not. */
  repeat(): string | undefined {
    const { random, world } = this;
    if (this.waiting.length > 0 && random.chance(0.8)) {
      const request = random.pick(this.waiting);
      this.waiting = this.waiting.filter((other) => other !== request);
      world.coverage.note("append repeated");
      return this.send(request);
    }
    if (this.acknowledged.length === 0) return undefined;
    const request = random.pick(this.acknowledged);
    // To the shard that has it: another one cannot know.
    if (request.lastIndex !== this.indexOf(request)) return undefined;
    world.coverage.note("acknowledged append repeated");
    return this.send({ ...request });
  }

  /** Sends what a reset has dropped to its shard again, soon and until it is taken. */
  replay(index: number, exported: readonly ExportedEvent[]): void {
    if (exported.length === 0) return;
    this.world.coverage.note("export replayed");
    this.waiting.push(replayOf(index, exported));
  }

  /** Some lines of any export there is, however old. */
  replayAny(): string | undefined {
    const { random, world } = this;
    const keys = world.bucket.keys("exports/");
    if (keys.length === 0) return undefined;
    const key = random.pick(keys);
    const exported = eventsOfExport(world.bucket, key);
    const from = random.int(0, exported.length);
    const some = random.chance(0.5) ? exported : exported.slice(from, random.int(from, exported.length));
    if (some.length === 0) return undefined;
    world.coverage.note("any export replayed");
    return this.send(replayOf(shardIndexOf(key.split("/")[1] ?? ""), some));
  }

  private indexOf({ index, key }: Request): number {
    return index ?? shardOf([key], this.shards);
  }

  private send(request: Request): string {
    const { world } = this;
    const index = this.indexOf(request);
    if (request.lastIndex !== undefined && request.lastIndex !== index)
      world.coverage.note("append moved to another shard");
    request.lastIndex = index;
    const { events, places } = request;
    const replayed = places === undefined ? {} : { isReplayed: true as const, places };
    this.inFlight++;
    const onFailure = () => {
      this.inFlight--;
      this.waiting.push(request);
    };
    world.network
      .ask<AppendAnswer>(this.caller, "append", (reply) =>
        world
          .shard(index)
          .serve(reply, "append", (shard) => shard.append({ shardIndex: index, events, isRiding: false, ...replayed })),
      )
      .then(
        (answer) => (answer.ok ? this.settle(request, answer.duplicates.length) : this.refuse(onFailure)),
        onFailure,
      )
      .catch((error: unknown) => {
        this.failure ??= error;
      });
    return `append ${events.length} to shard ${index}`;
  }

  /** What an acknowledgement broke. */
  failure: unknown;

  private refuse(onFailure: () => void): void {
    this.world.coverage.note("append refused: buffer_full");
    onFailure();
  }

  private settle(request: Request, duplicates: number): void {
    this.inFlight--;
    if (duplicates > 0) this.world.coverage.note("duplicates recognised", duplicates);
    this.world.model.acknowledge(request.lastIndex ?? 0, request.events);
    this.acknowledged.push(request);
    if (this.acknowledged.length > REMEMBERED) this.acknowledged.shift();
  }

  private makeEvent(): LakeEvent {
    const { random, world } = this;
    const timeMs = world.network.elapsedMs - (random.chance(0.05) ? random.int(0, 2 * DAY_MS) : 0);
    const isPoison = random.chance(0.02);
    return {
      id: `e${++this.made}`,
      source: random.pick(["/orders", "/rooms/1"]),
      type: random.pick(["created", "deleted", "Ünïcode ✓"]),
      subject: random.chance(0.3) ? `subject ${random.int(1, 9)}` : undefined,
      // No column takes half a microsecond: nothing that ingest lets through, but what storage may hold.
      timeUs: timeMs * MICROS_PER_MS + (isPoison ? 0.5 : 0),
      requestId: random.chance(0.5) ? `r${random.int(1, 9)}` : undefined,
      tenant: random.pick(["acme", "globex"]),
      data: random.chance(0.9)
        ? JSON.stringify({ n: this.made, text: "x".repeat(random.magnitude(1, 400)) })
        : undefined,
      extensions: random.chance(0.1) ? '{"traceparent":"00-1"}' : undefined,
    };
  }
}

function replayOf(index: number, exported: readonly ExportedEvent[]): Request {
  const events = exported.map(({ event }) => event);
  return { events, key: "", index, lastIndex: index, places: exported.map(({ place }) => place) };
}
