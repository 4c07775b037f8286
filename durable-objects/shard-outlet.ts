/**
 * An object's telemetry on its way to a shard, in batches: gives {@link TelemetryOutlet} what the platform has.
 */
import { shardName } from "../protocol/shard-choice.ts";
import type { TelemetrySink } from "../protocol/telemetry.ts";
import { TelemetryOutlet } from "../protocol/telemetry-outlet.ts";
import { sleep, within } from "../protocol/timing.ts";

export interface ShardOutletOptions {
  readonly shardIndex: number;
  /** Whether it waits for a flush that something else causes: see AppendCall. */
  readonly isRiding: boolean;
  /** How long a shard may take that it is handed telemetry. */
  readonly timeoutMs: number;
  /** Told of what was dropped. */
  readonly log: TelemetrySink;
}

export function createShardOutlet(
  ctx: Pick<DurableObjectState, "waitUntil">,
  env: Pick<Env, "EVENT_BUFFER_DO">,
  { shardIndex, isRiding, timeoutMs, log }: ShardOutletOptions,
): TelemetryOutlet {
  return new TelemetryOutlet({
    send: async (events) => {
      const shard = env.EVENT_BUFFER_DO.getByName(shardName(shardIndex));
      const append = async () => (await shard.append({ shardIndex, events, isRiding })).ok;
      // One that hangs must not hold up all that follows: the same events a second time are duplicates.
      return within(append(), "the shard", timeoutMs);
    },
    waitUntil: (work) => ctx.waitUntil(work),
    sleep,
    clock: Date.now,
    randomId: () => crypto.randomUUID(),
    onDropped: log,
  });
}
