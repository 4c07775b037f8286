/**
 * Telemetry of the Worker itself on its way to the lake. One record at a time: a request's work cannot
 * wait for another request's, and a Worker tells little.
 */
import { waitUntil } from "cloudflare:workers";

import { shardOf } from "../protocol/shard-choice.ts";
import { limitPerKind, type TelemetrySink } from "../protocol/telemetry.ts";
import { toLakeEvent } from "../protocol/telemetry-event.ts";
import type { Lake } from "./lake.ts";

export function createLakeSink(lake: Lake, shards: number): TelemetrySink {
  // Limited, because requests that nobody vouches for are told as well.
  return limitPerKind((record) => {
    const event = toLakeEvent(record, crypto.randomUUID());
    const shardIndex = shardOf([event.requestId ?? event.id], shards);
    // One more try; then the log line is all there is of it.
    const send = () => lake.appendToShard({ shardIndex, events: [event], isRiding: false });
    waitUntil(
      send()
        .catch(send)
        .catch(() => undefined),
    );
  });
}
