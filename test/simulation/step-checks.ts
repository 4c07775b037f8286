/**
 * What must hold after every step, whatever the step was.
 */
import { HOT_TAIL_MAX_BYTES, KEEP_ALIVE_MS, SEGMENT_MAX_BYTES } from "../../protocol/limits.ts";
import { Connection } from "./connection.ts";
import type { SimObject } from "./sim-object.ts";
import { SimStorage } from "./sim-storage.ts";
import { fail } from "./violation.ts";

export function checkStep(object: SimObject): void {
  checkConnections(object);
  if (object.session === undefined) return;
  checkStatus(object);
  checkMemory(object);
  checkProgress(object);
  checkSchedule(object);
}

/** B3, and that the stream's word about itself is true. */
function checkStatus(object: SimObject): void {
  const { model, running, blueprint } = object;
  const { settings } = blueprint;
  const status = running.status();
  if (status.retained_events > settings.bufferMaxEvents) fail("B3", `${status.retained_events} events are retained`);
  if (status.retained_bytes > settings.bufferMaxBytes) fail("B3", `${status.retained_bytes} bytes are retained`);
  const [first] = model.retained.events.values();
  const found = {
    retained: status.retained_events,
    bytes: status.retained_bytes,
    first: status.first_id,
    last: status.last_id,
    events: status.events,
    trimmed: status.trimmed_events,
    state: status.state,
    readers: status.readers,
    epoch: status.epoch,
    folded: status.folded_events,
    trimmedPayloads: status.trimmed_payloads,
    compressed: status.compressed_segments,
    sampled: status.sampled_events,
  };
  const expected: typeof found = {
    retained: model.retained.frameCount,
    bytes: model.retained.bytes,
    first: first?.id ?? null,
    last: model.idOf(model.lastSeq),
    events: model.lastSeq,
    trimmed: model.lastSeq - model.retained.events.size,
    state: model.state,
    readers: object.attached.length,
    epoch: model.epochs.at(-1)?.epoch ?? 1,
    folded: model.given.folded,
    trimmedPayloads: model.given.trimmed,
    compressed: model.given.compressed,
    sampled: model.given.sampled,
  };
  for (const [name, value] of Object.entries(expected)) {
    const told: unknown = Reflect.get(found, name);
    if (told !== value) fail("B3", `status says ${name} ${String(told)}, the model has ${String(value)}`);
  }
  if (status.readers > settings.maxReaders) fail("B6", `${status.readers} readers at once`);
}

/** B6: what the object holds for its buffer, found by walking all that the session reaches. */
function checkMemory(object: SimObject): void {
  const heldBytes = reachableBytes(object.running);
  let allowedBytes = HOT_TAIL_MAX_BYTES;
  for (const connection of object.attached) {
    if (!connection.check.isAwaitingSnapshot) continue;
    // What is made of a snapshot and not sent counts as its reader's; the chunk it was cut from may still be queued.
    allowedBytes += connection.readerBufferBytes - connection.queuedNow + SEGMENT_MAX_BYTES;
  }
  if (heldBytes > allowedBytes) fail("B6", `${heldBytes} bytes of events are held in memory`);
}

/** B6: queues of readers, those included that were closed and have not taken everything yet. */
function checkConnections(object: SimObject): void {
  let queuedBytes = 0;
  for (const connection of object.connections) queuedBytes += connection.queuedNow;
  const { maxReaders, readerBufferBytes } = object.blueprint.settings;
  // One more than there are places: a reader that makes room may still be taking its farewell.
  if (queuedBytes > (maxReaders + 1) * readerBufferBytes)
    fail("B6", `${queuedBytes} bytes are queued for readers, gone ones included`);
}

/** Whoever has room has been sent everything there is for it. */
function checkProgress(object: SimObject): void {
  const { model } = object;
  for (const connection of object.attached) {
    // Enough for one turn: the next one goes on.
    if (connection.roomBytes() <= 0 || connection.reader?.isPaused === true) continue;
    const { check } = connection;
    check.passHoles();
    if (check.nextSeq <= check.wantedSeq) fail("liveness", `a reader with room was left at ${check.nextSeq - 1}`);
    if (model.isFinished && model.isEndAnnounced) fail("B8", "a reader with room was not told the end");
    const isReplayOver = !check.isFollowing && !(model.isFinished && check.nextSeq > model.lastSeq);
    if (isReplayOver) fail("liveness", "a replay is over and was not closed");
  }
}

/** What is not durable will be tried again, and what has a deadline will be woken for it. */
function checkSchedule(object: SimObject): void {
  const { model, running, blueprint, context } = object;
  const tickAtMs = running.nextTickAtMs();
  const latestMs = object.nowMs + blueprint.settings.commitIntervalMs + context.clock.setBackMs;
  if (!model.isDurable && (tickAtMs === undefined || tickAtMs > latestMs)) {
    fail("durability", `something is not stored (${model.durableSeq} of ${model.lastSeq}), and nobody will try`);
  }
  if (running.isDegraded && (tickAtMs === undefined || tickAtMs > latestMs)) {
    fail("durability", "the stream is degraded, and nobody will see whether storage is back");
  }
  if (running.hasWorkLeft && (tickAtMs === undefined || tickAtMs > object.nowMs)) {
    fail("liveness", "there is work left, and nobody will do it");
  }
  const isPaused = object.attached.some(({ reader }) => reader?.isPaused === true && reader.hasRoom);
  if (isPaused) context.coverage.note("a reader waits for a turn of its own");
  if (isPaused && !running.hasWorkLeft) fail("liveness", "a reader waits for a turn that never comes");
  const deadlines = Object.values(running.deadlines()).filter((time) => time !== undefined);
  // A stream nobody reads any more is noticed when the object is next kept alive.
  const mayBeLateMs = model.isFinished ? 0 : KEEP_ALIVE_MS;
  const latestAlarmMs = Math.min(...deadlines) + mayBeLateMs + context.clock.setBackMs;
  const isArmed = object.alarmAtMs !== undefined && object.alarmAtMs <= latestAlarmMs;
  if (deadlines.length > 0 && !isArmed && !object.hasPendingEnd) fail("liveness", "a deadline has no alarm");
}

/** Bytes of all binary data reachable from an object, storage and connections left out. */
function reachableBytes(root: object): number {
  const seen = new Set<object>([root]);
  const open: object[] = [root];
  let bytes = 0;
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    for (const value of valuesOf(next)) {
      if (typeof value !== "object" || value === null || seen.has(value)) continue;
      seen.add(value);
      if (value instanceof SimStorage || value instanceof Connection) continue;
      if (ArrayBuffer.isView(value)) {
        if (seen.has(value.buffer)) continue;
        seen.add(value.buffer);
        bytes += value.buffer.byteLength;
      } else open.push(value);
    }
  }
  return bytes;
}

function valuesOf(object: object): Iterable<unknown> {
  // Long lists of numbers lead nowhere.
  if (Array.isArray(object)) return typeof object[0] === "object" ? object : [];
  if (object instanceof Map) return [...object.keys(), ...object.values()];
  if (object instanceof Set) return object;
  return Object.values(object);
}
