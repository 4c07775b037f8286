/**
 * What readers ask of a stream, with the model's word on what the answer must be.
 */
import type { AttachRequest } from "../../durable-objects/stream/admission.ts";
import type { AttachVerdict } from "../../durable-objects/stream/delivery.ts";
import { formatEventId } from "../../protocol/event-id.ts";
import { Connection } from "./connection.ts";
import { ReaderCheck } from "./reader-check.ts";
import type { SimObject } from "./sim-object.ts";
import { fail } from "./violation.ts";

/** A token's text is the position and time it was issued for: enough to tell tokens apart. */
type Ask = Omit<AttachRequest, "token">;

type Expected =
  | { readonly kind: "refused"; readonly code: "invalid_request" }
  | { readonly kind: "refused"; readonly code: "position_trimmed"; readonly earliestId: string }
  | { readonly kind: "nothing_left" }
  | { readonly kind: "attached"; readonly startSeq: number; readonly isRewound: boolean };

/** @returns the connection, where the reader was let in and the process lived */
export function attachReader(object: SimObject, ask: Ask): Connection | undefined {
  const { model, blueprint, context } = object;
  const session = object.running;
  const expected = expectVerdict(object, ask);
  const position = formatEventId(ask.position);
  const token = session.isDegraded ? undefined : issueToken(object, formatEventId(session.tokenPosition(ask.position)));
  const check = new ReaderCheck(
    { model, coverage: context.coverage, isDegraded: () => session.isDegraded },
    {
      hasControlEvents: blueprint.hasControlEvents,
      mode: ask.mode,
      acceptsGap: ask.acceptGap,
      startSeq: expected.kind === "attached" ? expected.startSeq : 0,
      rewind:
        expected.kind === "attached" && expected.isRewound
          ? { client: position, durable: model.idOf(expected.startSeq - 1) }
          : undefined,
      token: token?.token,
      isResumed: ask.isResumed,
      requestId: object.requestId,
    },
  );
  const connection = new Connection(object, check);
  const taking = [...object.connections].filter(({ isOpen, queuedNow }) => isOpen || queuedNow > 0);
  const isFull = taking.length >= blueprint.settings.maxReaders;
  object.lastActiveAtMs = object.nowMs;
  const turn = object.turn(() => {
    const verdict = session.attach({ ...ask, token }, context.hooks.wrapPort(connection), object.nowMs);
    if (verdict.kind !== "attached") return verdict;
    connection.reader = verdict.reader;
    object.connections.add(connection);
    object.arm();
    return verdict;
  });
  if (turn === undefined) return undefined;
  const verdict = turn.value;
  check.isAttaching = false;
  if (ask.isResumed && verdict.kind !== "refused") object.model.resumes++;
  checkVerdict(verdict, expected, { object, isFull, isSnapshot: ask.mode === "snapshot" });
  return verdict.kind === "attached" ? connection : undefined;
}

/** Takes what is queued, chunk by chunk; with room again, the object is asked for more. */
export function takeChunks(object: SimObject, connection: Connection, chunks: number): void {
  for (let taken = 0; taken < chunks && connection.takeChunk(); taken++) {
    const { reader } = connection;
    if (!connection.isOpen || reader === undefined || connection.roomBytes() <= 0) continue;
    if (!object.turn(() => object.running.delivery.pull(reader, object.nowMs))) return;
  }
  if (connection.state !== "open" && connection.queuedNow === 0) object.connections.delete(connection);
}

export function disconnect(object: SimObject, connection: Connection): void {
  const { reader } = connection;
  if (connection.isOpen && reader !== undefined) {
    const isLast = object.attached.length === 1;
    const turn = object.turn(() => {
      object.running.delivery.disconnect(reader, object.nowMs);
      connection.lose();
      object.takeRemovalReason(connection);
    });
    if (turn === undefined) return;
    const isHealthy = object.storage.counts.writeFailures === 0;
    if (isLast && isHealthy && !object.model.isDurable)
      fail("durability", "the last reader left, and the tail is not stored");
  }
  connection.lose();
  object.connections.delete(connection);
}

/** The second half of a token's refresh: signing took a turn. */
export function refreshToken(object: SimObject, connection: Connection): void {
  const { reader } = connection;
  if (reader === undefined || !connection.isOpen) return;
  const position = object.running.delivery.positionOf(reader);
  const token = issueToken(object, formatEventId(position));
  object.turn(() => {
    connection.check.token = token.token;
    connection.check.expectNotice("resume", connection.isMidFrame);
    object.running.delivery.refreshToken(reader, position, token, object.nowMs);
  });
}

function issueToken(object: SimObject, position: string) {
  const { nowMs, blueprint } = object;
  const expiresAtMs = nowMs + blueprint.settings.resumeTtlMs;
  return { token: `token-${position}-${nowMs}`.padEnd(400, "."), issuedAtMs: nowMs, expiresAtMs };
}

/** The contract of positions (PROTOCOL.md, 3.1), said with the model alone. */
function expectVerdict({ model, blueprint }: SimObject, ask: Ask): Expected {
  const { hasControlEvents } = blueprint;
  const isSnapshot = ask.mode === "snapshot";
  if (isSnapshot && !hasControlEvents) return { kind: "refused", code: "invalid_request" };
  const place = model.locate(ask.position);
  if (place.kind === "unknown" && !isSnapshot) return { kind: "refused", code: "invalid_request" };
  const isOverForReader = hasControlEvents || model.state === "completed";
  const hasAll = place.kind === "here" && place.seq === model.lastSeq;
  if (model.isFinished && hasAll && ask.isPositionExplicit && isOverForReader) return { kind: "nothing_left" };
  // All there is, whatever its reader has.
  if (isSnapshot || place.kind === "unknown") return { kind: "attached", startSeq: 1, isRewound: false };
  const wanted = place.seq + 1;
  const isRewound = place.kind === "rewound";
  if (hasControlEvents) return { kind: "attached", startSeq: wanted, isRewound };
  const first = model.firstRetainedFrom(wanted) ?? model.lastSeq + 1;
  if (ask.acceptGap) return { kind: "attached", startSeq: first, isRewound };
  const afterHole = model.firstAfterHole(wanted);
  if (afterHole === undefined && !isRewound) return { kind: "attached", startSeq: wanted, isRewound };
  const earliestId = model.idOf(Math.min(afterHole ?? first, model.lastSeq));
  return { kind: "refused", code: "position_trimmed", earliestId };
}

function checkVerdict(
  verdict: AttachVerdict,
  expected: Expected,
  where: { object: SimObject; isFull: boolean; isSnapshot: boolean },
): void {
  const { coverage } = where.object.context;
  const { settings } = where.object.blueprint;
  if (verdict.kind === "refused" && verdict.error.code === "reader_limit") {
    const isAllowed = where.isFull && settings.readerLimitPolicy === "reject" && expected.kind === "attached";
    if (!isAllowed) fail("protocol", "refused for want of a place");
    return coverage.note("refused: reader_limit");
  }
  if (verdict.kind !== expected.kind)
    fail("B2", `a reader was ${verdict.kind}, the model says ${JSON.stringify(expected)}`);
  if (verdict.kind !== "refused" || expected.kind !== "refused") return coverage.note(`attach: ${verdict.kind}`);
  if (verdict.error.code !== expected.code) fail("B2", `refused as ${verdict.error.code}, not ${expected.code}`);
  if (expected.code === "position_trimmed" && verdict.error.code === "position_trimmed") {
    if (verdict.error.earliestId !== expected.earliestId)
      fail("B2", `earliest ${verdict.error.earliestId}, not ${expected.earliestId}`);
  }
  coverage.note(where.isSnapshot ? "refused: snapshot without control events" : `refused: ${expected.code}`);
}
