/**
 * The Durable Object of one stream: what it is asked, by readers through `fetch`, by others through RPC.
 *
 * Decides nothing, and runs nothing by itself: a stream's doings are in stream/stream-session.ts, and what
 * keeps it going is in stream-life.ts. Between reading the session and the call that depends on it, no await.
 */
import { DurableObject } from "cloudflare:workers";

import type { StreamHandOver, StreamInspection } from "../protocol/admin-streams.ts";
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
import { openUpstream, passThrough } from "../upstream/open-upstream.ts";
import { bodyOf, isForTicket, isOfAnotherLife, startRequest } from "./object-requests.ts";
import { noteInternalError } from "./internal-error.ts";
import { errorAnswer, nothingLeftAnswer, receiptAnswer, streamAnswer } from "./object-answers.ts";
import { boundFetch, StreamLife } from "./stream-life.ts";
import type { AttachRequest } from "./stream/admission.ts";
import type { StreamSession } from "./stream/stream-session.ts";
import { createWire } from "./stream/wire.ts";
import { TokenIssuer, type StreamSecrets } from "./token-issuer.ts";

const EXPIRED: SpillwayError = { code: "stream_expired" };
const NOT_FOUND: SpillwayError = { code: "stream_not_found" };
/** When to ask again for a stream that the archive did not give. */
const ARCHIVE_RETRY_SEC = 5;

export class RequestStream extends DurableObject<Env & StreamSecrets> {
  private readonly life: StreamLife;
  private readonly tokens: TokenIssuer;
  /** A start that waits for its upstream's head; a retry of the same start waits with it. */
  private starting: Promise<void> | undefined;

  constructor(ctx: DurableObjectState, env: Env & StreamSecrets) {
    super(ctx, env);
    this.tokens = new TokenIssuer(env);
    this.life = new StreamLife(ctx, env, this.tokens);
  }

  override async fetch(request: Request): Promise<Response> {
    const header = request.headers.get(CALL_HEADER);
    if (header === null) return errorAnswer({ code: "not_found" });
    const call = decodeCall(header);
    // A new stream must not begin where an old one is being deleted. Still refused, the object is out of reach.
    if (this.life.isErasing) await this.life.erase();
    // Not in the constructor: an alarm set there would cancel the one the object is woken for.
    this.ctx.waitUntil(this.life.arm());
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
    await this.life.cancel(found.value, "cancelled_by_caller");
    return { ok: true, value: found.value.status() };
  }

  async status(ticket: StreamTicket): Promise<Result<StreamStatus>> {
    const found = await this.find(ticket);
    return found.ok ? { ok: true, value: found.value.status() } : found;
  }

  /** A look: it keeps nothing alive, brings nothing back, and writes nothing. `undefined`: nothing is here. */
  inspect(requestId: string): StreamInspection | undefined {
    return this.held(requestId)?.inspect(Date.now());
  }

  /** As {@link cancel}, for operators: without a token, and not from the archive. `undefined`: nothing is here. */
  async cancelByOperator(requestId: string): Promise<StreamStatus | undefined> {
    const session = this.held(requestId);
    if (session === undefined) return undefined;
    await this.life.cancel(session, "cancelled_by_operator");
    return session.status();
  }

  /** Writes the pending segment, and hands telemetry to the shard at once. `undefined`: nothing is here. */
  async handOver(requestId: string): Promise<StreamHandOver | undefined> {
    const session = this.held(requestId);
    return session === undefined ? undefined : this.life.handOver(session);
  }

  override async alarm(): Promise<void> {
    return this.life.wake();
  }

  /** The stream that is in storage or runs, whoever's it is. */
  private held(requestId: string): StreamSession | undefined {
    const { session } = this.life;
    return session?.identity.requestId === requestId ? session : undefined;
  }

  private async start(call: StartCall, body: Uint8Array | undefined, signal: AbortSignal): Promise<Response> {
    const { life } = this;
    while (life.session === undefined && (this.starting ?? life.archive?.reading) !== undefined) {
      await (this.starting ?? life.archive?.reading);
    }
    const running = life.session;
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
    const session = this.life.begin(call);
    session.openSource(Date.now());
    try {
      const answer = await this.attach(session, startRequest(call, false), signal);
      // Not before its first reader is there: a fast source would be past the buffer by then.
      if (!session.isFinished) this.life.run(session, call, body);
      // An operator was faster.
      else await body.cancel();
      return answer;
    } catch (error) {
      await body.cancel();
      await this.life.finish(session, "failed", "internal");
      throw error;
    }
  }

  private async startAsync(call: StartCall, body: Uint8Array | undefined): Promise<Response> {
    const session = this.life.begin(call);
    this.ctx.waitUntil(this.life.openInBackground(session, call, body));
    return this.receipt(session);
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
    if (this.life.session === undefined && this.starting === undefined && ticket.readsArchive) {
      const error = await this.bringBack(ticket);
      if (error !== undefined) return { ok: false, error };
    }
    const { session } = this.life;
    if (session === undefined || isOfAnotherLife(session, ticket)) return { ok: false, error: EXPIRED };
    return isForTicket(session, ticket) ? { ok: true, value: session } : { ok: false, error: NOT_FOUND };
  }

  /** Fetches the ticket's stream from the archive, if it lies there. */
  private async bringBack(ticket: StreamTicket): Promise<SpillwayError | undefined> {
    const { life } = this;
    const unavailable = { code: "storage_unavailable", retryAfterSec: ARCHIVE_RETRY_SEC } as const;
    if (life.archive === undefined) return undefined;
    // What is being deleted would be in its place.
    if (life.isErasing) return unavailable;
    const reading = await life.archive.read(ticket.requestId);
    if (reading.kind === "failed") return unavailable;
    // Another who waited for it, or a start, may have been first.
    if (reading.kind === "absent" || life.session !== undefined || this.starting !== undefined) return undefined;
    const { record } = reading.stream;
    if (isOfAnotherLife(record, ticket)) return undefined;
    if (!isForTicket(record, ticket)) return NOT_FOUND;
    try {
      life.bringBack(reading.stream);
    } catch (error) {
      noteInternalError(error, ticket.requestId);
      return unavailable;
    }
    await life.arm();
    return undefined;
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
    if (this.life.session !== session) return errorAnswer(EXPIRED);
    const wire = createWire(session.settings.readerBufferBytes);
    const verdict = this.life.attach(session, { ...request, token }, wire, signal);
    if (verdict.kind === "refused") return errorAnswer(verdict.error);
    if (verdict.kind === "nothing_left") return nothingLeftAnswer(session);
    return streamAnswer(session, wire.body, token);
  }

  private async receipt(session: StreamSession): Promise<Response> {
    return receiptAnswer(session, await this.tokens.issue(session, START_POSITION));
  }
}
