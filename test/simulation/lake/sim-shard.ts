/**
 * A shard's object in simulation: the shard itself, its calls going over the simulated network, and what it
 * takes told to the model.
 */
import { Alarms } from "../../../durable-objects/alarms.ts";
import { EventShard } from "../../../durable-objects/analytics/event-shard.ts";
import { IcebergSink } from "../../../durable-objects/analytics/iceberg-sink.ts";
import type { ShardBuffer } from "../../../durable-objects/analytics/shard-buffer.ts";
import { ShardStore } from "../../../durable-objects/analytics/shard-store.ts";
import type { ObjectStore } from "../../../durable-objects/iceberg/object-store.ts";
import type { KnownShard } from "../../../durable-objects/iceberg/table-store.ts";
import type { AppendAnswer, AppendCall, EventPlace, StageAnswer, StageCall } from "../../../protocol/lake-call.ts";
import type { LakeEvent } from "../../../protocol/lake-event.ts";
import type { LakeSettings } from "../../../protocol/lake-settings.ts";
import type { LakeTelemetry } from "../../../protocol/telemetry.ts";
import type { Life } from "./sim-process.ts";

/** The table object as a shard reaches it. */
export interface TablePort {
  location(): Promise<string>;
  stage(call: StageCall): Promise<StageAnswer>;
  withdraw(batch: Omit<StageCall, "files">): Promise<StageAnswer>;
  register(shard: KnownShard): Promise<void>;
}

/** What a shard has taken: told once it is durable. */
export interface Take {
  readonly index: number;
  readonly shard: string;
  readonly firstSeq: number;
  readonly events: readonly LakeEvent[];
  readonly isRiding: boolean;
  readonly isReplayed: boolean;
  /** Of each event, where an export had it. */
  readonly places: readonly (EventPlace | undefined)[];
  readonly takenAtMs: number;
}

/** What a reset has let go: told once that is durable. */
export interface Drop {
  readonly index: number;
  readonly shard: string;
  readonly fromSeq: number;
  readonly uptoSeq: number;
}

export interface ShardEnv {
  readonly index: number;
  readonly settings: LakeSettings;
  readonly objects: ObjectStore;
  readonly table: TablePort;
  readonly clock: () => number;
  readonly random: () => number;
  readonly randomUuid: () => string;
  readonly sleep: (ms: number) => Promise<void>;
  readonly onTake: (take: Take) => void;
  /** Events that an acknowledged replay brought, taken or not: told after what was taken. */
  readonly onReplay: (events: readonly LakeEvent[]) => void;
  readonly onDrop: (drop: Drop) => void;
  readonly onTelemetry: (event: LakeTelemetry) => void;
}

export class ShardObject extends EventShard {
  private readonly life: Life;
  private readonly env: ShardEnv;

  constructor(life: Life, env: ShardEnv) {
    const store = new ShardStore(life.storage.port);
    const drop = store.drop.bind(store);
    store.drop = (range) => {
      drop(range);
      const { fromSeq, uptoSeq, record } = range;
      life.afterCommit(() => env.onDrop({ index: env.index, shard: record.name, fromSeq, uptoSeq }));
    };
    let tableLocation: string | undefined;
    super({
      store,
      settings: env.settings,
      sink: new IcebergSink({
        objects: env.objects,
        tableLocation: async () => {
          tableLocation ??= await env.table.location();
          return tableLocation;
        },
        stage: (call) => env.table.stage(call),
        withdraw: (batch) => env.table.withdraw(batch),
      }),
      objects: env.objects,
      alarms: new Alarms(life),
      register: (shard) => env.table.register(shard),
      clock: env.clock,
      random: env.random,
      randomUuid: env.randomUuid,
      sleep: env.sleep,
      waitUntil: (work) => void work.catch(() => undefined),
      log: env.onTelemetry,
      blockedBy: undefined,
    });
    this.life = life;
    this.env = env;
  }

  protected override take(buffer: ShardBuffer, call: Omit<AppendCall, "shardIndex">): AppendAnswer {
    const takenAtMs = this.env.clock();
    const firstSeq = buffer.lastSeq + 1;
    const answer = super.take(buffer, call);
    if (!answer.ok) return answer;
    const again = new Set(answer.duplicates);
    const isFresh = (_: unknown, at: number) => !again.has(at);
    if (answer.accepted > 0) {
      this.tellTake(buffer, {
        firstSeq,
        events: call.events.filter(isFresh),
        takenAtMs,
        isRiding: call.isRiding,
        isReplayed: call.isReplayed === true,
        places: call.places?.filter(isFresh) ?? [],
      });
    }
    if (call.places !== undefined) this.life.afterCommit(() => this.env.onReplay(call.events));
    return answer;
  }

  protected override takeOwn(buffer: ShardBuffer, events: readonly LakeEvent[]): void {
    const takenAtMs = this.env.clock();
    const firstSeq = buffer.lastSeq + 1;
    super.takeOwn(buffer, events);
    if (buffer.lastSeq >= firstSeq) {
      this.tellTake(buffer, { firstSeq, events, takenAtMs, isRiding: true, isReplayed: false, places: [] });
    }
  }

  private tellTake(buffer: ShardBuffer, take: Omit<Take, "index" | "shard">): void {
    const { index, onTake } = this.env;
    const shard = buffer.record.name;
    this.life.afterCommit(() => onTake({ index, shard, ...take }));
  }
}
