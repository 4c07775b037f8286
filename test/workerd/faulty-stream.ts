/**
 * A stream's whole life on a Durable Object's real storage, with a clock of its own and a storage that
 * refuses what a test says: each statement is a moment at which it may begin to.
 *
 * Does what request-stream.ts does around a session (ticks, tokens), without source, connection or alarm.
 */
import { sqlPort } from "../../durable-objects/sql-port.ts";
import type { SqlPort } from "../../durable-objects/sql-storage.ts";
import type { Reader, ReaderPort } from "../../durable-objects/stream/reader.ts";
import { StreamSession, type SessionDeps } from "../../durable-objects/stream/stream-session.ts";
import { StreamStore } from "../../durable-objects/stream/stream-store.ts";
import { formatEventId, parseEventId } from "../../protocol/event-id.ts";
import type { ReadMode } from "../../protocol/control-events.ts";
import { NO_RELIEF, type ReliefPolicy } from "../../protocol/relief.ts";
import type { SourceEvent } from "../../protocol/sse-frame.ts";
import type { StreamSettings } from "../../protocol/stream-settings.ts";
import type { TelemetryRecord } from "../../protocol/telemetry.ts";

const START_MS = 1_000_000;
const NEVER = Number.POSITIVE_INFINITY;
const READS = /^\s*SELECT/i;

/** One statement, in the order of a life. */
export interface Statement {
  readonly kind: "read" | "write";
  readonly query: string;
}

/** A port onto real storage that refuses statements. */
export class FaultyStorage {
  /** Whether a statement is refused; called once for each, with how many came before it. */
  refuses: (statement: Statement, at: number) => boolean = () => false;
  readonly statements: Statement[] = [];
  refusals = 0;
  /** The time of the life that is lived on it. */
  nowMs = START_MS;
  readonly port: SqlPort;

  constructor(storage: DurableObjectStorage) {
    const real = sqlPort(storage);
    this.port = {
      transaction: (work) => real.transaction(work),
      exec: (query, ...bindings) => {
        const statement = { kind: READS.test(query) ? "read" : "write", query } as const;
        const at = this.statements.push(statement) - 1;
        if (this.refuses(statement, at)) {
          this.refusals++;
          throw new Error("database or disk is full: SQLITE_FULL");
        }
        return real.exec(query, ...bindings);
      },
    };
  }

  refuseAll(kind: Statement["kind"]): void {
    this.refuses = (statement) => statement.kind === kind;
  }

  heal(): void {
    this.refuses = () => false;
  }
}

/** What a reader's connection has brought, and how much more it takes. */
export class Tap implements ReaderPort {
  text = "";
  isOver = false;
  /** Bytes it takes before it is full; the rest waits until more are allowed. */
  takesBytes = NEVER;
  hadToken = false;
  reader: Reader | undefined;
  private readonly decoder = new TextDecoder();

  readonly roomBytes = (): number => (this.takesBytes > 0 ? 65_536 : 0);
  readonly queuedBytes = (): number => 0;

  readonly send = (chunk: Uint8Array): void => {
    this.takesBytes -= chunk.byteLength;
    this.text += this.decoder.decode(chunk, { stream: true });
  };

  readonly close = (): void => void (this.isOver = true);
  readonly breakOff = (): void => void (this.isOver = true);
  readonly abort = (): void => void (this.isOver = true);
}

interface LifeOptions {
  readonly settings: StreamSettings;
  readonly relief?: Partial<ReliefPolicy>;
}

export class FaultyLife {
  readonly storage: FaultyStorage;
  readonly telemetry: TelemetryRecord[] = [];
  session: StreamSession;
  private readonly settings: StreamSettings;
  private readonly deps: SessionDeps;
  private taps: Tap[] = [];

  /** Begins the stream; storage may refuse from its first statement on. */
  constructor(storage: FaultyStorage, { settings, relief }: LifeOptions) {
    this.storage = storage;
    this.settings = settings;
    this.deps = {
      store: new StreamStore(storage.port),
      telemetry: (record) => this.telemetry.push(record),
      clock: () => this.nowMs,
      random: () => 0.5,
    };
    const identity = { requestId: "r", route: "t", tenant: "", correlationId: undefined, fingerprint: undefined };
    const rules = { hasControlEvents: true, priorityRules: [], relief: { ...NO_RELIEF, ...relief } };
    this.session = StreamSession.begin(this.deps, { identity, settings, ...rules }, this.nowMs);
    this.session.openSource(this.nowMs);
  }

  append(...events: SourceEvent[]): void {
    this.nowMs += 1;
    this.session.append(events, this.nowMs);
    this.runWorkLeft();
  }

  get nowMs(): number {
    return this.storage.nowMs;
  }

  set nowMs(timeMs: number) {
    this.storage.nowMs = timeMs;
  }

  /** A reader comes, as request-stream.ts lets it: without a token while storage fails. */
  attach(lastEventId: string | undefined, mode: ReadMode = "live", tap = new Tap()): Tap {
    const { session } = this;
    const position = parseEventId(lastEventId ?? "0-0");
    if (position === undefined) throw new Error(`not an event id: ${lastEventId}`);
    const token = session.isDegraded ? undefined : this.tokenFor(formatEventId(position));
    tap.hadToken = token !== undefined;
    const isResumed = lastEventId !== undefined;
    const request = { position, isPositionExplicit: isResumed, mode, acceptGap: false, isResumed, token };
    const verdict = session.attach(request, tap, this.nowMs);
    if (verdict.kind === "refused") throw new Error(`refused: ${verdict.error.code}`);
    if (verdict.kind === "attached") {
      tap.reader = verdict.reader;
      this.taps.push(tap);
    } else tap.isOver = true;
    this.runWorkLeft();
    return tap;
  }

  /** A connection that was full takes everything from now on. */
  release(tap: Tap): void {
    tap.takesBytes = NEVER;
    if (tap.reader !== undefined) this.session.delivery.pull(tap.reader, this.nowMs);
    this.runWorkLeft();
  }

  /** Lets time go by, with all that is due in it. */
  pass(durationMs: number): void {
    const untilMs = this.nowMs + durationMs;
    for (;;) {
      const dueAtMs = this.session.nextTickAtMs() ?? NEVER;
      if (dueAtMs > untilMs) break;
      this.nowMs = Math.max(this.nowMs, dueAtMs);
      this.tick();
    }
    this.nowMs = untilMs;
  }

  finish(): void {
    this.session.finish("completed", undefined, this.nowMs);
    this.session.announceEnd(this.nowMs);
    this.runWorkLeft();
  }

  /** The object dies with all that was in memory; another comes up on what storage holds. */
  restart(): boolean {
    for (const tap of this.taps) tap.isOver = true;
    this.taps = [];
    const stored = new StreamStore(this.storage.port).load();
    if (stored === undefined) return false;
    this.session = StreamSession.restore(this.deps, stored, this.nowMs);
    return true;
  }

  /** Whether its time to live being over leads to the deletion of everything. */
  isOverAfterTtl(): boolean {
    this.nowMs += this.settings.snapshotTtlMs + 1;
    return this.session.wake(this.nowMs) === "expired";
  }

  /** SseDegraded as told: `true` for its beginning, `false` for its end. */
  degradations(): boolean[] {
    return this.telemetry.flatMap((record) => (record.event === "SseDegraded" ? [record.is_over !== true] : []));
  }

  private runWorkLeft(): void {
    while (this.session.hasWorkLeft) this.tick();
  }

  private tick(): void {
    const { session, nowMs } = this;
    session.tick(nowMs);
    const { delivery } = session;
    for (const reader of delivery.readersDueForToken(nowMs)) {
      const position = delivery.positionOf(reader);
      delivery.refreshToken(reader, position, this.tokenFor(formatEventId(position)), nowMs);
    }
  }

  private tokenFor(position: string) {
    return {
      token: `token-at-${position}`,
      issuedAtMs: this.nowMs,
      expiresAtMs: this.nowMs + this.settings.resumeTtlMs,
    };
  }
}
