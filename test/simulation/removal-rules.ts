/**
 * Whether a reader may be removed for the reason that telemetry gives, and whether those are gone
 * that had to be.
 */
import type { ReaderRemovalReason } from "../../protocol/telemetry.ts";
import type { Connection } from "./connection.ts";
import type { SimObject } from "./sim-object.ts";
import { fail } from "./violation.ts";

export function checkRemoval(reason: ReaderRemovalReason, connection: Connection, object: SimObject): void {
  const { settings } = object.blueprint;
  // What the code measured by a clock that was set back may be off by that much.
  const nowMs = object.nowMs + object.context.clock.setBackMs;
  switch (reason) {
    case "stalled":
      if (connection.queuedNow === 0) fail("B6", "a reader that has taken everything was cut as stalled");
      if (nowMs - connection.lastProgressAtMs < settings.readerStallMs) {
        fail("B6", `cut as stalled ${nowMs - connection.lastProgressAtMs} ms after the reader's last progress`);
      }
      return;
    case "max_age":
      if (nowMs - connection.attachedAtMs < settings.readerMaxAgeMs) fail("protocol", "sent away before its age");
      return;
    case "evicted": {
      const [oldest] = object.attached;
      if (oldest !== connection) fail("protocol", "evicted a reader that is not the oldest");
      if (settings.readerLimitPolicy !== "evict-oldest") fail("protocol", "evicted against the policy");
      if (object.attached.length < settings.maxReaders) fail("protocol", "evicted with places left");
      return;
    }
    case "disconnected":
    case "fell_behind":
    case "stream_expired":
  }
}

/**
 * Readers were just swept: nobody is left who is too old, or who has taken nothing since an earlier
 * sweep that long ago. (Stillness is measured from a sweep, the only time it is looked for.)
 */
export function checkSwept(object: SimObject, earlierSweepAtMs: number): void {
  const { readerStallMs, readerMaxAgeMs } = object.blueprint.settings;
  const { setBackMs } = object.context.clock;
  const nowMs = object.nowMs - setBackMs;
  for (const connection of object.connections) {
    const isStill = connection.queuedNow > 0 && connection.lastProgressAtMs < earlierSweepAtMs - setBackMs;
    if (isStill && nowMs - earlierSweepAtMs >= readerStallMs) fail("B6", "a reader that takes nothing is still there");
    const ageMs = nowMs - connection.attachedAtMs;
    if (connection.isOpen && ageMs >= readerMaxAgeMs) fail("liveness", `a reader is ${ageMs} ms old`);
  }
}
