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
import type { SourceEvent } from "../protocol/sse-frame.ts";
import { openUpstream, passThrough } from "../upstream/open-upstream.ts";
import { Alarms } from "./alarms.ts";
import { errorAnswer, nothingLeftAnswer, receiptAnswer, streamAnswer } from "./object-answers.ts";
import { sqlPort } from "./sql-port.ts";
import { streamTelemetry } from "./stream-telemetry.ts";
import type { AttachRequest } from "./stream/admission.ts";
import { EventGathering } from "./stream/event-gathering.ts";
import type { Reader } from "./stream/reader.ts";
import { SourcePump } from "./stream/source-pump.ts";
import { StreamSession, type SessionDeps } from "./stream/stream-session.ts";
import { StreamStore } from "./stream/stream-store.ts";
import { createWire } from "./stream/wire.ts";
import { TokenIssuer, type StreamSecrets } from "./token-issuer.ts";

const MS_PER_SEC = 1000;

/** Bare `fetch` as a member loses its receiver ("Illegal invocation"). */
const boundFetch: typeof fetch = (input, init) => fetch(input, init);

export class RequestStream extends DurableObject<Env & StreamSecrets> {
  private session: StreamSession | undefined;
  private pump: SourcePump | undefined;
  private gathering: EventGathering | undefined;
  /** A start that waits for its upstream's head; a retry of the same start waits with it. */
  private starting: Promise<void> | undefined;
  /** Gives up an upstream call that nobody waits for, while it has no head yet. */
  private opening: AbortController | undefined;
  private tickTimer: ReturnType<typeof setTimeout> | null = null;
  private tickAtMs: number | undefined;
  private isErasing = false;
  /** Wakes a source that is held back. */
  private releasePace: (() => void) | undefined;
  private readonly store: StreamStore;
  private readonly alarms: Alarms;
  private readonly deps: SessionDeps;
  private readonly tokens: TokenIssuer;

  constructor(ctx: DurableObjectState, env: Env & StreamSecrets) {
    super(ctx, env);
    this.store = new StreamStore(sqlPort(ctx.storage));
    this.alarms = new Alarms(ctx.storage);
    this.tokens = new TokenIssuer(env);
    this.deps = { store: this.store, telemetry: streamTelemetry(ctx, env), clock: Date.now };
    const stored = this.store.load();
    if (stored === undefined) return;
    this.session = StreamSession.restore(this.deps, stored, Date.now());
  }

  override async fetch(request: Request): Promise<Response> {
    const header = request.headers.get(CALL_HEADER);
    if (header === null) return errorAnswer({ code: "not_found" });
    const call = decodeCall(header);
    // Not in the constructor: an alarm set there would cancel the one the object is woken for.
    this.ctx.waitUntil(this.arm());
    try {
      if (call.kind === "resume") return await this.resume(call, request.signal);
      return await this.start(call, await bodyOf(request), request.signal);
    } catch (error) {
      // Our own fault is an answer: thrown, it would pass for an object that cannot be reached, and the
      // Worker would call the upstream a second time.
      noteInternalError(error, call.kind === "start" ? call.identity.requestId : undefined);
      return errorAnswer({ code: "internal" });
    }
  }

  /** Stops a stream: its source is let go, readers are told `cancelled`. Idempotent. */
  async cancel(ticket: StreamTicket): Promise<Result<StreamStatus>> {
    const found = this.find(ticket);
    if (!found.ok) return found;
    this.letSourceGo();
    await this.finish(found.value, "cancelled", "cancelled_by_caller");
    return { ok: true, value: found.value.status() };
  }

  status(ticket: StreamTicket): Result<StreamStatus> {
    const found = this.find(ticket);
    return found.ok ? { ok: true, value: found.value.status() } : found;
  }

  override async alarm(): Promise<void> {
    this.alarms.noteFired();
    const { session } = this;
    if (this.isErasing) return this.erase();
    if (session === undefined) return;
    const verdict = session.wake(Date.now());
    if (verdict === "expired") return this.erase();
    if (verdict === "abandoned") {
      this.letSourceGo();
      await this.tellEnd(session);
    }
    await this.arm();
  }

  private async start(call: StartCall, body: Uint8Array | undefined, signal: AbortSignal): Promise<Response> {
    while (this.session === undefined && this.starting !== undefined) await this.starting;
    const running = this.session;
    if (running !== undefined) return this.attachStart(running, call, signal);
    // Told that it had come further, this caller would be given a second stream's events as more of
    // the first one's.
    if (call.position.seq > 0) return errorAnswer({ code: "stream_expired" });
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
    const found = this.find(call.ticket);
    return found.ok ? this.attach(found.value, { ...call, isResumed: true }, signal) : errorAnswer(found.error);
  }

  /** The stream that a token is for: not another's, and not an earlier one under the same id. */
  private find(ticket: StreamTicket): Result<StreamSession> {
    const { session } = this;
    if (session === undefined || ticket.issuedAtSec < Math.floor(session.startedAtMs / MS_PER_SEC)) {
      return { ok: false, error: { code: "stream_expired" } };
    }
    const { tenant, route } = session.identity;
    const isTheirs = tenant === ticket.tenant && route === ticket.route;
    return isTheirs ? { ok: true, value: session } : { ok: false, error: { code: "stream_not_found" } };
  }

  private async attach(
    session: StreamSession,
    request: Omit<AttachRequest, "token">,
    signal: AbortSignal,
  ): Promise<Response> {
    const token = session.isDegraded
      ? undefined
      : await this.tokens.issue(session, session.tokenPosition(request.position));
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
    const gathering = new EventGathering({
      clock: Date.now,
      countReaders: () => session.delivery.readers.size,
      onTurn: (events) => this.append(session, events),
    });
    this.gathering = gathering;
    const pump = new SourcePump(body, {
      eventMaxBytes: call.settings.eventMaxBytes,
      idleTimeoutMs: call.upstream.idleTimeoutMs,
      clock: Date.now,
      onEvents: (events) => gathering.add(events),
      onActivity: () => session.noteSourceActivity(Date.now()),
      pace: () => this.pace(session),
    });
    this.pump = pump;
    this.ctx.waitUntil(this.runToEnd(session, pump));
  }

  private append(session: StreamSession, events: readonly SourceEvent[]): void {
    // Abandoned in the meantime: a finished stream takes nothing more.
    if (session.isFinished) return;
    this.afterTurn(() => session.append(events, Date.now()));
  }

  private async runToEnd(session: StreamSession, pump: SourcePump): Promise<void> {
    const outcome = await pump.run().catch((error: unknown) => {
      noteInternalError(error, session.identity.requestId);
      pump.stop();
      return { move: "failed", reason: "internal" } as const;
    });
    this.pump = undefined;
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
    this.gathering?.release();
    session.finish(move, reason, Date.now());
    await this.tellEnd(session);
    await this.arm();
  }

  /** B8: readers hear of the end once it is durable. */
  private async tellEnd(session: StreamSession): Promise<void> {
    try {
      await this.ctx.storage.sync();
    } catch {
      // The outcome could not be kept; readers still get to hear it.
    }
    this.afterTurn(() => session.announceEnd(Date.now()));
  }

  private letSourceGo(): void {
    this.opening?.abort();
    this.pump?.stop();
  }

  private pace(session: StreamSession): Promise<void> | undefined {
    const nowMs = Date.now();
    const untilMs = session.delivery.readers.paceUntilMs(nowMs);
    if (untilMs === undefined) return undefined;
    return new Promise((resolve) => {
      const timer = setTimeout(release, untilMs - nowMs);
      function release(): void {
        clearTimeout(timer);
        resolve();
      }
      this.releasePace = release;
    });
  }

  /** One turn of the session, and after it what follows from any: pace, timer. */
  private afterTurn(turn: () => void): void {
    turn();
    const { session } = this;
    if (session === undefined) return;
    if (this.releasePace !== undefined && session.delivery.readers.paceUntilMs(Date.now()) === undefined) {
      this.releasePace();
      this.releasePace = undefined;
    }
    this.scheduleTick(session);
  }

  private scheduleTick(session: StreamSession): void {
    // Whatever came up in this turn is not due before a commit interval is over.
    if (this.tickAtMs !== undefined && this.tickAtMs <= Date.now() + session.settings.commitIntervalMs) return;
    const atMs = session.nextTickAtMs();
    if (atMs === undefined || (this.tickAtMs !== undefined && this.tickAtMs <= atMs)) return;
    clearTimeout(this.tickTimer);
    this.tickAtMs = atMs;
    this.tickTimer = setTimeout(() => this.tick(session), Math.max(0, atMs - Date.now()));
  }

  private tick(session: StreamSession): void {
    this.tickAtMs = undefined;
    if (session !== this.session) return;
    session.tick(Date.now());
    // Storage that refused the alarm may be back.
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
    this.afterTurn(() => session.delivery.refreshToken(reader, position, token, Date.now()));
  }

  private async receipt(session: StreamSession): Promise<Response> {
    return receiptAnswer(session, await this.tokens.issue(session, START_POSITION));
  }

  private async arm(): Promise<void> {
    if (this.session === undefined) return;
    try {
      await this.alarms.arm({ ...this.session.deadlines() });
    } catch {
      // Storage that refuses the alarm refuses the stream's rows too, and that has been said.
      this.alarms.noteFired();
    }
  }

  /** B7: nothing of an expired stream is left, storage included. */
  private async erase(): Promise<void> {
    this.session = undefined;
    // Should storage refuse, the platform repeats the alarm, and it goes on here.
    this.isErasing = true;
    clearTimeout(this.tickTimer);
    this.tickAtMs = undefined;
    await this.ctx.storage.deleteAll();
    this.isErasing = false;
  }
}

function startRequest(call: StartCall, isResumed: boolean): Omit<AttachRequest, "token"> {
  const { position, isPositionExplicit, acceptGap } = call;
  return { position, isPositionExplicit, mode: "live", acceptGap, isResumed };
}

async function bodyOf(request: Request): Promise<Uint8Array | undefined> {
  return request.body === null ? undefined : request.bytes();
}

/** The class of an error and no more: its message may hold what a log must not. */
function noteInternalError(error: unknown, requestId: string | undefined): void {
  const name = error instanceof Error ? error.name : typeof error;
  console.log(JSON.stringify({ event: "InternalError", request_id: requestId, name }));
}
