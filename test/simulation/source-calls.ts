/**
 * What a stream's source does to it: it opens, sends events, and comes to an end.
 */
import type { StreamBuffer } from "../../durable-objects/stream/stream-buffer.ts";
import type { EndReason } from "../../protocol/control-events.ts";
import type { SimObject } from "./sim-object.ts";
import { fail } from "./violation.ts";
import type { DrawnEvent } from "./workload.ts";

type Outcome = "completed" | "failed" | "cancelled";

export function openSource(object: SimObject): void {
  object.turn(() => {
    object.model.state = "streaming";
    object.lastActiveAtMs = object.nowMs;
    object.running.openSource(object.nowMs);
  });
}

export function appendEvents(object: SimObject, batch: readonly DrawnEvent[]): void {
  const { model, storage, relief } = object;
  const wasDegraded = object.running.isDegraded;
  const readers = object.attached.length;
  // What relief has left to do only it can say; that it does not put it off is checked elsewhere.
  const { buffer } = object.running as unknown as { buffer: StreamBuffer };
  model.append(batch, Reflect.get(buffer, "mayRelieve") === true);
  object.lastActiveAtMs = object.nowMs;
  const events = batch.map(({ source }) => source);
  relief.isAppending = true;
  const turn = object.turn(() => object.running.append(events, object.nowMs));
  relief.isAppending = false;
  if (turn === undefined) return;
  const { counts } = storage;
  const reads = counts.payloadReads - relief.turn.reads;
  if (readers === 0 && reads > 0) fail("B5", `taking in events read ${reads} payloads`);
  const isHealthy = !wasDegraded && !object.running.isDegraded && counts.writeFailures === 0;
  const isUrgent = batch.some(({ priority }) => priority === 3);
  if (isHealthy && isUrgent && !model.isDurable) fail("durability", "a critical event was not written at once");
}

/** A reconnection time that comes after the last event. */
export function noteTrailingRetry(object: SimObject, retryMs: number): void {
  object.model.trailingRetry = String(retryMs);
  object.running.delivery.noteTrailingRetry(retryMs);
}

export function finishStream(object: SimObject, outcome: Outcome, reason: EndReason | undefined): void {
  const { model } = object;
  object.hasPendingEnd = true;
  const turn = object.turn(() => {
    model.state = outcome;
    model.endedAtMs = object.nowMs;
    object.running.finish(outcome, reason, object.nowMs);
  });
  if (turn === undefined) return;
  object.context.coverage.note(`finish: ${outcome}`);
  const isHealthy = object.storage.counts.writeFailures === 0;
  if (isHealthy && !model.isDurable) fail("B8", "tail and outcome were not written together");
}

export function announceEnd(object: SimObject): void {
  object.hasPendingEnd = false;
  object.turn(() => {
    object.model.isEndAnnounced = true;
    object.running.announceEnd(object.nowMs);
    object.arm();
  });
}
