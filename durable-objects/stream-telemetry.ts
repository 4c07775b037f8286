/**
 * A stream's telemetry on its way to the log and, batched, to the shard of its stream.
 */
import { readLakeSettings } from "../protocol/lake-settings.ts";
import { shardOf } from "../protocol/shard-choice.ts";
import { createLogSink, type TelemetrySink } from "../protocol/telemetry.ts";
import { fanOut } from "../protocol/telemetry-outlet.ts";
import { within } from "../protocol/timing.ts";
import { createShardOutlet } from "./shard-outlet.ts";

const HAND_OFF_TIMEOUT_MS = 30_000;
/** Longer nobody waits who has asked for it; the outlet goes on by itself. */
const DRAIN_TIMEOUT_MS = 10_000;

const logSink = createLogSink((line) => console.log(line));

export interface StreamTelemetryPort {
  readonly sink: TelemetrySink;
  /** Hands over at once what waits. @returns how many events the shard has taken meanwhile */
  readonly drain: () => Promise<number>;
}

export function streamTelemetry(ctx: DurableObjectState, env: Env): StreamTelemetryPort {
  // The Worker admits no request while these have faults.
  const { shards } = readLakeSettings({ ...env }, []);
  // All of one stream's telemetry in one shard: one call a batch.
  const shardIndex = shardOf([ctx.id.toString()], shards);
  const outlet = createShardOutlet(ctx, env, {
    shardIndex,
    isRiding: false,
    timeoutMs: HAND_OFF_TIMEOUT_MS,
    log: logSink,
  });
  return {
    sink: fanOut(logSink, outlet.sink),
    async drain() {
      const before = outlet.deliveredEvents;
      // Too slow or refused: what has not gone is tried again, and told where it fails for good.
      await within(outlet.drain(), "the shard", DRAIN_TIMEOUT_MS).catch(() => undefined);
      return outlet.deliveredEvents - before;
    },
  };
}
