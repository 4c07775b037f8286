/**
 * What keeps one stream going in its object: the session with its source, timer, alarm and storage.
 *
 * Decides nothing: what a stream does is in stream/stream-session.ts. Not for what the object is asked:
 * that is request-stream.ts. What is here is asynchronous, and keeps one rule: between reading the session
 * and the call that depends on it, no await.
 */
import type { StreamHandOver } from "../protocol/admin-streams.ts";
import type { StartCall } from "../protocol/stream-call.ts";
import type { SourceEvent } from "../protocol/sse-frame.ts";
import { openUpstream } from "../upstream/open-upstream.ts";
import { Alarms } from "./alarms.ts";
import { noteInternalError } from "./internal-error.ts";
import { R2ObjectStore } from "./r2-object-store.ts";
import { SourceRun } from "./source-run.ts";
import { sqlPort } from "./sql-port.ts";
import { StreamArchive } from "./stream-archive.ts";
import { streamTelemetry, type StreamTelemetryPort } from "./stream-telemetry.ts";
import type { AttachRequest } from "./stream/admission.ts";
import type { ArchivedStream } from "./stream/archive-file.ts";
import type { AttachVerdict } from "./stream/delivery.ts";
import type { Reader } from "./stream/reader.ts";
import { StreamSession, type SessionDeps } from "./stream/stream-session.ts";
import { StreamStore } from "./stream/stream-store.ts";
import type { Wire } from "./stream/wire.ts";
import { TickTimer } from "./tick-timer.ts";
import type { TokenIssuer } from "./token-issuer.ts";

/** Bare `fetch` as a member loses its receiver ("Illegal invocation"). */
export const boundFetch: typeof fetch = (input, init) => fetch(input, init);

export class StreamLife {
  session: StreamSession | undefined;
  /** Whether the stream's time is over and its storage not yet empty. */
  isErasing = false;
  readonly archive: StreamArchive | undefined;
  private source: SourceRun | undefined;
  /** Gives up an upstream call that nobody waits for, while it has no head yet. */
  private opening: AbortController | undefined;
  private readonly timer = new TickTimer(() => this.tick());
  private readonly alarms: Alarms;
  private readonly telemetry: StreamTelemetryPort;
  private readonly deps: SessionDeps;
  private readonly tokens: TokenIssuer;
  private readonly ctx: DurableObjectState;

  /** Takes up the stream that the object's storage holds, if there is one. */
  constructor(ctx: DurableObjectState, env: Env, tokens: TokenIssuer) {
    this.ctx = ctx;
    this.tokens = tokens;
    this.alarms = new Alarms(ctx.storage);
    this.telemetry = streamTelemetry(ctx, env);
    const store = new StreamStore(sqlPort(ctx.storage));
    this.deps = { store, telemetry: this.telemetry.sink, clock: Date.now, random: Math.random };
    const { ARCHIVE_BUCKET: bucket } = env;
    this.archive = bucket === undefined ? undefined : new StreamArchive(new R2ObjectStore(bucket), this.telemetry.sink);
    const stored = store.load();
    if (stored !== undefined) this.session = StreamSession.restore(this.deps, stored, Date.now());
  }

  begin(call: StartCall): StreamSession {
    const session = StreamSession.begin(this.deps, call, Date.now());
    this.session = session;
    this.ctx.waitUntil(this.arm());
    return session;
  }

  /** Throws where storage does not take it. The alarm is the caller's. */
  bringBack(stream: ArchivedStream): void {
    this.session = StreamSession.bringBack(this.deps, stream, Date.now());
  }

  /** Lets a reader in, and serves it until its connection or the stream is gone. */
  attach(session: StreamSession, request: AttachRequest, wire: Wire, signal: AbortSignal): AttachVerdict {
    const verdict = session.attach(request, wire.port, Date.now());
    if (verdict.kind !== "attached") return verdict;
    const { reader } = verdict;
    const leave = () => this.afterTurn(() => session.delivery.disconnect(reader, Date.now()));
    wire.connect({ onPull: () => this.afterTurn(() => session.delivery.pull(reader, Date.now())), onCancel: leave });
    signal.addEventListener("abort", leave);
    this.scheduleTick(session);
    this.ctx.waitUntil(this.arm());
    return verdict;
  }

  /** Reads the source to its end. */
  run(session: StreamSession, call: StartCall, body: ReadableStream<Uint8Array>): void {
    const onTurn = (events: readonly SourceEvent[]) => this.append(session, events);
    const source = new SourceRun(body, { session, upstream: call.upstream, onTurn });
    this.source = source;
    this.ctx.waitUntil(this.runToEnd(session, source));
  }

  /** Calls the upstream of a stream whose caller has been answered already. */
  async openInBackground(session: StreamSession, call: StartCall, body: Uint8Array | undefined): Promise<void> {
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

  async finish(
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

  /** Stops a stream: its source is let go, readers are told `cancelled`. Does nothing to a finished one. */
  async cancel(session: StreamSession, reason: "cancelled_by_caller" | "cancelled_by_operator"): Promise<void> {
    this.letSourceGo();
    await this.finish(session, "cancelled", reason);
  }

  /** Writes and tells at once what would otherwise wait for its time. */
  async handOver(session: StreamSession): Promise<StreamHandOver> {
    this.source?.handOver();
    let isStored = false;
    this.afterTurn(() => (isStored = session.handOver(Date.now())));
    return { isStored, telemetryEvents: await this.telemetry.drain() };
  }

  async wake(): Promise<void> {
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

  async arm(): Promise<void> {
    const { session } = this;
    if (session === undefined) return;
    try {
      await this.setAlarm(session);
    } catch {
      // That storage refuses has been said; the tick tries again.
      this.timer.setFor(Date.now() + session.settings.commitIntervalMs, Date.now());
    }
  }

  /** B7: nothing of an expired stream is left, storage included. */
  async erase(): Promise<void> {
    this.session = undefined;
    // Should storage refuse, the platform repeats the alarm, and it goes on here.
    this.isErasing = true;
    this.timer.stop();
    // The alarm is deleted as well, also one that a late caller has set.
    this.alarms.noteFired();
    await this.ctx.storage.deleteAll();
    this.isErasing = false;
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

  private letSourceGo(): void {
    this.opening?.abort();
    this.source?.stop();
  }

  /** B8: readers hear of the end once it is durable. */
  private async tellEnd(session: StreamSession): Promise<void> {
    // Where the outcome could not be kept, readers still get to hear it.
    await this.ctx.storage.sync().catch(() => undefined);
    this.afterTurn(() => session.announceEnd(Date.now()));
  }

  private async keepInArchive(session: StreamSession, nowMs: number): Promise<void> {
    const { dueAtMs } = session.archiving;
    const isFinal = session.isExpiring(nowMs);
    if (dueAtMs !== undefined && (dueAtMs <= nowMs || isFinal)) await this.archive?.keep(session, isFinal);
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

  private async setAlarm(session: StreamSession): Promise<void> {
    const { archive, ...others } = session.deadlines();
    // Its bucket may have been taken away since it began: it would be due for ever.
    await this.alarms.arm(this.archive === undefined ? others : { ...others, archive });
  }
}
