/**
 * The timer and the alarm of a simulated object, and what must have been done when they are over.
 */
import type { Connection } from "./connection.ts";
import { checkSwept } from "./removal-rules.ts";
import type { SimObject } from "./sim-object.ts";
import { fail } from "./violation.ts";

/** A turn of a snapshot may go by with looking alone; not one after the other. */
const FRUITLESS_MAX_TURNS = 8;
const fruitlessTurns = new WeakMap<Connection, number>();

export function tick(object: SimObject): void {
  const { model, storage, relief } = object;
  const waiting = waitingForTurn(object);
  object.turn(() => object.running.tick(object.nowMs));
  if (object.session === undefined) return;
  for (const [connection, queued] of waiting) {
    const isFruitless = connection.isOpen && connection.reader?.isPaused === true && connection.queuedNow === queued;
    const turns = isFruitless ? (fruitlessTurns.get(connection) ?? 0) + 1 : 0;
    fruitlessTurns.set(connection, turns);
    if (turns > FRUITLESS_MAX_TURNS) fail("liveness", `${turns} turns of its own have brought a reader nothing`);
  }
  const { heartbeatMs } = object.blueprint.settings;
  for (const connection of object.attached) {
    const isDue = object.nowMs - connection.lastSentAtMs >= heartbeatMs;
    const isFree = connection.roomBytes() > 0 && !connection.isMidFrame && connection.reader?.isPaused !== true;
    if (isDue && isFree) fail("liveness", "a reader got no heartbeat");
  }
  for (const reader of object.running.delivery.readersDueForToken(object.nowMs)) {
    // As the wiring does: signing takes a turn, and until then the reader is not due again.
    reader.tokenRefreshAtMs = undefined;
    for (const connection of object.attached) if (connection.reader === reader) object.awaitingToken.add(connection);
  }
  const nextAtMs = object.running.nextTickAtMs();
  if (nextAtMs !== undefined && nextAtMs <= object.nowMs && !object.running.hasWorkLeft)
    fail("liveness", "a timer would go off again at once");
  // What relief writes is what was written before.
  if (
    storage.counts.writes > 0 &&
    relief.turn.replacements === 0 &&
    storage.counts.writeFailures === 0 &&
    !model.isDurable
  ) {
    fail("durability", "a commit left something unwritten");
  }
}

/** The alarm goes off, whether or not anything is in memory. */
export function fireAlarm(object: SimObject): void {
  if (object.session === undefined && !object.restore()) return;
  const { model, blueprint } = object;
  const { stateTtlMs, snapshotTtlMs } = blueprint.settings;
  const isExpireDue = model.endedAtMs !== undefined && object.nowMs >= model.endedAtMs + snapshotTtlMs;
  const isAbandonDue =
    !model.isFinished && object.attached.length === 0 && object.nowMs >= object.lastActiveAtMs + stateTtlMs;
  const sweepAtMs = object.running.deadlines().sweep;
  const turn = object.turn(() => {
    object.noteAlarm();
    const verdict = object.running.wake(object.nowMs);
    if (verdict === "abandoned") {
      model.state = "expired";
      model.endedAtMs = object.nowMs;
    }
    if (verdict !== "expired") object.arm();
    return verdict;
  });
  if (turn === undefined) return;
  const verdict = turn.value;
  const expected = isExpireDue ? "expired" : isAbandonDue ? "abandoned" : "alive";
  if (verdict !== expected) fail("B7", `woken at ${object.nowMs} the stream is ${verdict}, it should be ${expected}`);
  object.context.coverage.note(`wake: ${expected}`);
  if (expected !== "expired" && sweepAtMs !== undefined && sweepAtMs <= object.nowMs) {
    checkSwept(object, object.sweptAtMs);
    object.sweptAtMs = object.nowMs;
  }
  if (expected === "abandoned") object.hasPendingEnd = true;
  if (expected === "expired") object.erase();
}

/** Readers that are to be fed on in a turn of their own, and the bytes that lie there for each. */
function waitingForTurn({ attached }: SimObject): Map<Connection, number> {
  const waiting = attached.filter(({ reader }) => reader?.isPaused === true && reader.hasRoom);
  return new Map(waiting.map((connection) => [connection, connection.queuedNow]));
}
