/**
 * The Durable Object of one stream: wires source, session, readers, alarm and storage together.
 *
 * Decides nothing: what a stream does is in stream/stream-session.ts. What is here is asynchronous,
 * and keeps one rule: between reading the session and the call that depends on it, no await.
 */
import { DurableObject } from "cloudflare:workers";

import { START_POSITION } from "../protocol/event-id.ts";
import {
  CALL_HEADER,
  decodeCall,
  PASS_THROUGH_HEADER,
  type Result,
  type ResumeCall,
  type StartCall,
  type StreamStatus,
  type StreamTicket,
} from "../protocol/stream-call.ts";
import type { SpillwayError } from "../protocol/errors.ts";
import type { SourceEvent } from "../protocol/sse-frame.ts";
import { openUpstream, passThrough } from "../upstream/open-upstream.ts";
import { Alarms } from "./alarms.ts";
import { bodyOf, isForTicket, isOfAnotherLife, startRequest } from "./object-requests.ts";
import { noteInternalError } from "./internal-error.ts";
import { errorAnswer, nothingLeftAnswer, receiptAnswer, streamAnswer } from "./object-answers.ts";
import { R2ObjectStore } from "./r2-object-store.ts";
import { SourceRun } from "./source-run.ts";
import { sqlPort } from "./sql-port.ts";
import { StreamArchive } from "./stream-archive.ts";
import { streamTelemetry } from "./stream-telemetry.ts";
import type { AttachRequest } from "./stream/admission.ts";
import type { Reader } from "./stream/reader.ts";
import { StreamSession, type SessionDeps } from "./stream/stream-session.ts";
import { StreamStore } from "./stream/stream-store.ts";
import { createWire } from "./stream/wire.ts";
import { TickTimer } from "./tick-timer.ts";
import { TokenIssuer, type StreamSecrets } from "./token-issuer.ts";

const EXPIRED: SpillwayError = { code: "stream_expired" };
const NOT_FOUND: SpillwayError = { code: "stream_not_found" };
/** When to ask again for a stream that the archive did not give. */
const ARCHIVE_RETRY_SEC = 5;

/** Bare `fetch` as a member loses its receiver ("Illegal invocation"). */
const boundFetch: typeof fetch = (input, init) => fetch(input, init);

export class RequestStream extends DurableObject<Env & StreamSecrets> {
  private session: StreamSession | undefined;
  private source: SourceRun | undefined;
  /** A start that waits for its upstream's head; a retry of the same start waits with it. */
  private starting: Promise<void> | undefined;
  /** Gives up an upstream call that nobody waits for, while it has no head yet. */
  private opening: AbortController | undefined;
  private readonly timer = new TickTimer(() => this.tick());
  private isErasing = false;
  private readonly alarms: Alarms;
  private readonly deps: SessionDeps;
  private readonly tokens: TokenIssuer;
  private readonly archive: StreamArchive | undefined;

  constructor(ctx: DurableObjectState, env: Env & StreamSecrets) {
    super(ctx, env);
    this.alarms = new Alarms(ctx.storage);
    this.tokens = new TokenIssuer(env);
    const store = new StreamStore(sqlPort(ctx.storage));
    const telemetry = streamTelemetry(ctx, env);
    this.deps = { store, telemetry, clock: Date.now, random: Math.random };
    const { ARCHIVE_BUCKET: bucket } = env;
    this.archive = bucket === undefined ? undefined : new StreamArchive(new R2ObjectStore(bucket), telemetry);
    const stored = store.load();
    if (stored === undefined) return;
    this.session = StreamSession.restore(this.deps, stored, Date.now());
  }

  override async fetch(request: Request): Promise<Response> {
    const header = request.headers.get(CALL_HEADER);
    if (header === null) return errorAnswer({ code: "not_found" });
    const call = decodeCall(header);
    // A new stream must not begin where an old one is being deleted. Still refused, the object is out of reach.
    if (this.isErasing) await this.erase();
    // Not in the constructor: an alarm set there would cancel the one the object is woken for.
    this.ctx.waitUntil(this.arm());
    try {
      if (call.kind === "resume") return await this.resume(call, request.signal);
      return await this.start(call, await bodyOf(request), request.signal);
    } catch (error) {
      // Our own fault is an answer: thrown, it would pass for an object out of reach, and the upstream be called again.
      noteInternalError(error, call.kind === "start" ? call.identity.requestId : undefined);
      return errorAnswer({ code: "internal" });
    }
  }

  /** Stops a stream: its source is let go, readers are told `cancelled`. Idempotent. */
  async cancel(ticket: StreamTicket): Promise<Result<StreamStatus>> {
    const found = await this.find(ticket);
    if (!found.ok) return found;
    this.letSourceGo();
    await this.finish(found.value, "cancelled", "cancelled_by_caller");
    return { ok: true, value: found.value.status() };
  }

  async status(ticket: StreamTicket): Promise<Result<StreamStatus>> {
    const found = await this.find(ticket);
    return found.ok ? { ok: true, value: found.value.status() } : found;
  }

  override async alarm(): Promise<void> {
    this.alarms.noteFired();
    const { session } = this;
    if (this.isErasing) return this.erase();
    if (session === undefined) return;
    const nowMs = Date.now();
    // First: between its last readers' leaving and its deletion nobody may come.
    await this.keepInArchive(session, nowMs);
    const verdict = session.wake(nowMs);
    if (verdict === "expired") return this.erase();
    if (verdict === "abandoned") {
      this.letSourceGo();
      await this.tellEnd(session);
    }
    // Should storage refuse it, the platform repeats this alarm: without any, nothing would ever be deleted.
    await this.setAlarm(session);
  }

  private async start(call: StartCall, body: Uint8Array | undefined, signal: AbortSignal): Promise<Response> {
    while (this.session === undefined && (this.starting ?? this.archive?.reading) !== undefined) {
      await (this.starting ?? this.archive?.reading);
    }
    const running = this.session;
    if (running !== undefined) return this.attachStart(running, call, signal);
    // Told that it had come further, this caller would be given a second stream's events as more of
    // the first one's.
    if (call.position.seq > 0) return errorAnswer(EXPIRED);
    if (call.respondAsync) return this.startAsync(call, body);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.starting = promise;
    try {
      const abort = new AbortController();
      const giveUp = () => abort.abort();
      // Without a key nobody could ever come back to this start: its caller gone, it is in vain.
      if (call.identity.fingerprint === undefined) signal.addEventListener("abort", giveUp);
      const opened = await openUpstream(call.upstream, { body, fetch: boundFetch, abort });
      signal.removeEventListener("abort", giveUp);
      if (opened.kind === "failed") return errorAnswer(opened.error);
      if (opened.kind === "other") return passThrough(opened.response, { [PASS_THROUGH_HEADER]: "1" });
      return await this.serveStart(call, opened.body, signal);
    } finally {
      this.starting = undefined;
      resolve();
    }
  }

  private async serveStart(call: StartCall, body: ReadableStream<Uint8Array>, signal: AbortSignal): Promise<Response> {
    const session = this.begin(call);
    session.openSource(Date.now());
    try {
      const answer = await this.attach(session, startRequest(call, false), signal);
      // Not before its first reader is there: a fast source would be past the buffer by then.
      this.run(session, call, body);
      return answer;
    } catch (error) {
      await body.cancel();
      await this.finish(session, "failed", "internal");
      throw error;
    }
  }

  private async startAsync(call: StartCall, body: Uint8Array | undefined): Promise<Response> {
    const session = this.begin(call);
    this.ctx.waitUntil(this.openInBackground(session, call, body));
    return this.receipt(session);
  }

  private async openInBackground(session: StreamSession, call: StartCall, body: Uint8Array | undefined) {
    const abort = new AbortController();
    this.opening = abort;
    const opened = await openUpstream(call.upstream, { body, fetch: boundFetch, abort });
    this.opening = undefined;
    if (session.isFinished) {
      // Cancelled while the upstream thought about it.
      if (opened.kind === "stream") await opened.body.cancel();
      return;
    }
    if (opened.kind === "stream") {
      session.openSource(Date.now());
      return this.run(session, call, opened.body);
    }
    if (opened.kind === "other") {
      await opened.response.body?.cancel();
      return this.finish(session, "failed", "upstream_refused");
    }
    const reason = opened.error.code === "upstream_timeout" ? "upstream_timeout" : "upstream_unreachable";
    return this.finish(session, "failed", reason);
  }

  /** A start that was made before: the same stream, at the position its caller has. */
  private async attachStart(session: StreamSession, call: StartCall, signal: AbortSignal): Promise<Response> {
    if (session.identity.fingerprint !== call.identity.fingerprint) {
      return errorAnswer({ code: "idempotency_conflict" });
    }
    if (call.respondAsync) return this.receipt(session);
    return this.attach(session, startRequest(call, true), signal);
  }

  private async resume(call: ResumeCall, signal: AbortSignal): Promise<Response> {
    const found = await this.find(call.ticket);
    return found.ok ? this.attach(found.value, { ...call, isResumed: true }, signal) : errorAnswer(found.error);
  }

  /** The stream that a token is for: not another's, and not an earlier one under the same id. */
  private async find(ticket: StreamTicket): Promise<Result<StreamSession>> {
    if (this.session === undefined && this.starting === undefined && ticket.readsArchive) {
      const error = await this.bringBack(ticket);
      if (error !== undefined) return { ok: false, error };
    }
    const { session } = this;
    if (session === undefined || isOfAnotherLife(session, ticket)) return { ok: false, error: EXPIRED };
    return isForTicket(session, ticket) ? { ok: true, value: session } : { ok: false, error: NOT_FOUND };
  }

  /** Fetches the ticket's stream from the archive, if it lies there. */
  private async bringBack(ticket: StreamTicket): Promise<SpillwayError | undefined> {
    const unavailable = { code: "storage_unavailable", retryAfterSec: ARCHIVE_RETRY_SEC } as const;
    if (this.archive === undefined) return undefined;
    // What is being deleted would be in its place.
    if (this.isErasing) return unavailable;
    const reading = await this.archive.read(ticket.requestId);
    if (reading.kind === "failed") return unavailable;
    // Another who waited for it, or a start, may have been first.
    if (reading.kind === "absent" || this.session !== undefined || this.starting !== undefined) return undefined;
    const { record } = reading.stream;
    if (isOfAnotherLife(record, ticket)) return undefined;
    if (!isForTicket(record, ticket)) return NOT_FOUND;
    try {
      this.session = StreamSession.bringBack(this.deps, reading.stream, Date.now());
    } catch (error) {
      noteInternalError(error, ticket.requestId);
      return unavailable;
    }
    await this.arm();
    return undefined;
  }

  private async keepInArchive(session: StreamSession, nowMs: number): Promise<void> {
    const { dueAtMs } = session.archiving;
    const isFinal = session.isExpiring(nowMs);
    if (dueAtMs !== undefined && (dueAtMs <= nowMs || isFinal)) await this.archive?.keep(session, isFinal);
  }

  private async attach(
    session: StreamSession,
    request: Omit<AttachRequest, "token">,
    signal: AbortSignal,
  ): Promise<Response> {
    const token = session.isDegraded
      ? undefined
      : await this.tokens.issue(session, session.tokenPosition(request.position));
    // While the token was signed, the stream's time may have come, and another life begun.
    if (this.session !== session) return errorAnswer(EXPIRED);
    const wire = createWire(session.settings.readerBufferBytes);
    const verdict = session.attach({ ...request, token }, wire.port, Date.now());
    if (verdict.kind === "refused") return errorAnswer(verdict.error);
    if (verdict.kind === "nothing_left") return nothingLeftAnswer(session);
    const { reader } = verdict;
    const leave = () => this.afterTurn(() => session.delivery.disconnect(reader, Date.now()));
    wire.connect({ onPull: () => this.afterTurn(() => session.delivery.pull(reader, Date.now())), onCancel: leave });
    signal.addEventListener("abort", leave);
    this.scheduleTick(session);
    this.ctx.waitUntil(this.arm());
    return streamAnswer(session, wire.body, token);
  }

  private begin(call: StartCall): StreamSession {
    const session = StreamSession.begin(this.deps, call, Date.now());
    this.session = session;
    this.ctx.waitUntil(this.arm());
    return session;
  }

  private run(session: StreamSession, call: StartCall, body: ReadableStream<Uint8Array>): void {
    const onTurn = (events: readonly SourceEvent[]) => this.append(session, events);
    const source = new SourceRun(body, { session, upstream: call.upstream, onTurn });
    this.source = source;
    this.ctx.waitUntil(this.runToEnd(session, source));
  }

  private append(session: StreamSession, events: readonly SourceEvent[]): void {
    // Abandoned in the meantime: a finished stream takes nothing more.
    if (session.isFinished) return;
    this.afterTurn(() => session.append(events, Date.now()));
  }

  private async runToEnd(session: StreamSession, source: SourceRun): Promise<void> {
    const outcome = await source.toEnd().catch((error: unknown) => {
      noteInternalError(error, session.identity.requestId);
      source.stop();
      return { move: "failed", reason: "internal" } as const;
    });
    if (outcome === undefined) return;
    if (outcome.move === "failed") return this.finish(session, "failed", outcome.reason);
    if (outcome.trailingRetryMs !== undefined) session.delivery.noteTrailingRetry(outcome.trailingRetryMs);
    return this.finish(session, "completed", undefined);
  }

  private async finish(
    session: StreamSession,
    move: "completed" | "failed" | "cancelled",
    reason: Parameters<StreamSession["finish"]>[1],
  ): Promise<void> {
    this.source?.handOver();
    this.source = undefined;
    session.finish(move, reason, Date.now());
    await this.tellEnd(session);
    await this.arm();
  }

  /** B8: readers hear of the end once it is durable. */
  private async tellEnd(session: StreamSession): Promise<void> {
    // Where the outcome could not be kept, readers still get to hear it.
    await this.ctx.storage.sync().catch(() => undefined);
    this.afterTurn(() => session.announceEnd(Date.now()));
  }

  private letSourceGo(): void {
    this.opening?.abort();
    this.source?.stop();
  }

  /** One turn of the session, and after it what follows from any: pace, timer. */
  private afterTurn(turn: () => void): void {
    turn();
    const { session } = this;
    if (session === undefined) return;
    this.source?.checkPace();
    this.scheduleTick(session);
  }

  private scheduleTick(session: StreamSession): void {
    const nowMs = Date.now();
    // Whatever came up in this turn is not due before a commit interval is over, but for work left over.
    if (this.timer.isDueBy(nowMs + session.settings.commitIntervalMs) && !session.hasWorkLeft) return;
    const atMs = session.nextTickAtMs();
    if (atMs !== undefined) this.timer.setFor(atMs, nowMs);
  }

  private tick(): void {
    const { session } = this;
    if (session === undefined) return;
    session.tick(Date.now());
    this.source?.checkPace();
    this.ctx.waitUntil(this.arm());
    for (const reader of session.delivery.readersDueForToken(Date.now())) {
      // Signing takes a turn: until then this reader is not due again.
      reader.tokenRefreshAtMs = undefined;
      this.ctx.waitUntil(this.refreshToken(session, reader));
    }
    this.scheduleTick(session);
  }

  private async refreshToken(session: StreamSession, reader: Reader): Promise<void> {
    const position = session.delivery.positionOf(reader);
    const token = await this.tokens.issue(session, position);
    if (this.session !== session) return;
    this.afterTurn(() => session.delivery.refreshToken(reader, position, token, Date.now()));
  }

  private async receipt(session: StreamSession): Promise<Response> {
    return receiptAnswer(session, await this.tokens.issue(session, START_POSITION));
  }

  private async arm(): Promise<void> {
    const { session } = this;
    if (session === undefined) return;
    try {
      await this.setAlarm(session);
    } catch {
      // That storage refuses has been said; the tick tries again.
      this.timer.setFor(Date.now() + session.settings.commitIntervalMs, Date.now());
    }
  }

  private async setAlarm(session: StreamSession): Promise<void> {
    const { archive, ...others } = session.deadlines();
    // Its bucket may have been taken away since it began: it would be due for ever.
    await this.alarms.arm(this.archive === undefined ? others : { ...others, archive });
  }

  /** B7: nothing of an expired stream is left, storage included. */
  private async erase(): Promise<void> {
    this.session = undefined;
    // Should storage refuse, the platform repeats the alarm, and it goes on here.
    this.isErasing = true;
    this.timer.stop();
    // The alarm is deleted as well, also one that a late caller has set.
    this.alarms.noteFired();
    await this.ctx.storage.deleteAll();
    this.isErasing = false;
  }
}
