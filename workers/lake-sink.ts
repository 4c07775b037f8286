/**
 * Telemetry of the Worker itself on its way to the lake. One record at a time: a request's work cannot
 * wait for another request's, and a Worker tells little.
 */
import { waitUntil } from "cloudflare:workers";

import { shardOf } from "../protocol/shard-choice.ts";
import { limitPerKind, type TelemetrySink } from "../protocol/telemetry.ts";
import { toLakeEvent } from "../protocol/telemetry-event.ts";
import type { Lake } from "./lake.ts";

/** @param log is told of what could not be handed over */
export function createLakeSink(lake: Lake, shards: number, log: TelemetrySink): TelemetrySink {
  return limitPerKind((record, suppressed) => {
    const told = suppressed === 0 ? record : Object.assign({ suppressed }, record);
    const event = toLakeEvent(told, crypto.randomUUID());
    const shardIndex = shardOf([event.requestId ?? event.id], shards);
    const send = async () => {
      // Riding along: requests that nobody vouches for are told as well, and must not cause flushes and commits.
      const answer = await lake.appendToShard({ shardIndex, events: [event], isRiding: true });
      if (!answer.ok) throw new Error(answer.code);
    };
    const giveUp = () => log({ event: "TelemetryDropped", events: 1, reason: "not_delivered", time: record.time });
    // The same event a second time is a duplicate, should the first answer have been lost.
    waitUntil(send().catch(send).catch(giveUp));
  });
}
