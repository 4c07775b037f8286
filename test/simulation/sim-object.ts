/**
 * The simulated Durable Object of one stream: what durable-objects/request-stream.ts does around a
 * session (turns, alarm, restart), with death and forgetting as workerd has them.
 *
 * Every call into the session is a turn. Its writes become durable when it is over, unless the
 * process dies first; then memory, connections and the turn's writes are gone.
 */
import { Alarms } from "../../durable-objects/alarms.ts";
import type { ReaderPort } from "../../durable-objects/stream/reader.ts";
import { StreamSession, type SessionDeps } from "../../durable-objects/stream/stream-session.ts";
import type { SqlPort } from "../../durable-objects/sql-storage.ts";
import { StreamStore } from "../../durable-objects/stream/stream-store.ts";
import type { ReaderRemovalReason, TelemetryRecord } from "../../protocol/telemetry.ts";
import type { Connection, ConnectionHost } from "./connection.ts";
import type { Coverage } from "./coverage.ts";
import { StreamModel } from "./model.ts";
import { phaseOf, type StreamFault, type StreamPhase } from "./phases.ts";
import { ReliefChecks } from "./relief-checks.ts";
import { checkRemoval } from "./removal-rules.ts";
import { readRows } from "./row-reading.ts";
import { SimStorage } from "./sim-storage.ts";
import { fail } from "./violation.ts";
import type { Blueprint } from "./workload.ts";

/** Wall clock of the run; it may be set back a little. */
export interface SimClock {
  nowMs: number;
  /** By how much it was set back in all: what the code measured may be off by that. */
  setBackMs: number;
}

/** Where deliberate faults come in, to see whether the checker finds them. */
export interface SimHooks {
  makeStore(sql: SqlPort): StreamStore;
  wrapPort(port: ReaderPort): ReaderPort;
}

export const NO_HOOKS: SimHooks = {
  makeStore: (sql) => new StreamStore(sql),
  wrapPort: (port) => port,
};

export interface SimContext {
  readonly clock: SimClock;
  readonly coverage: Coverage;
  readonly hooks: SimHooks;
  readonly trace: (line: string) => void;
}

export class SimObject implements ConnectionHost {
  readonly storage = new SimStorage();
  readonly model: StreamModel;
  /** Told what the buffer gives up, as it does. */
  readonly relief = new ReliefChecks(this);
  /** Open connections in the order they came, and closed ones whose bytes still lie there. */
  readonly connections = new Set<Connection>();
  /** Readers whose fresh token is being signed. */
  readonly awaitingToken = new Set<Connection>();
  session: StreamSession | undefined;
  alarmAtMs: number | undefined;
  /** Finished, and the readers not told yet. */
  hasPendingEnd = false;
  /** Deleted after its time to live, or lost for good before its first commit. */
  isOver = false;
  lastActiveAtMs: number;
  /** When readers were last swept. */
  sweptAtMs = 0;
  private readonly store: StreamStore;
  private readonly deps: SessionDeps;
  private alarms: Alarms;
  private removalReason: ReaderRemovalReason | undefined;
  /** What the stream was in when the running turn began. */
  private turnPhase: StreamPhase = "beginning";
  /** Told before its connections are gone. */
  onCrash: (object: SimObject) => void = () => undefined;

  readonly context: SimContext;
  readonly blueprint: Blueprint;
  readonly requestId: string;

  constructor(context: SimContext, blueprint: Blueprint, requestId: string) {
    this.context = context;
    this.blueprint = blueprint;
    this.requestId = requestId;
    this.model = new StreamModel(blueprint.settings, blueprint.relief);
    this.lastActiveAtMs = context.clock.nowMs;
    this.store = context.hooks.makeStore(this.storage.port);
    this.deps = {
      store: this.store,
      telemetry: (record) => this.hear(record),
      clock: () => context.clock.nowMs,
      random: () => 0,
    };
    this.alarms = this.newAlarms();
  }

  get nowMs(): number {
    return this.context.clock.nowMs;
  }

  get isDead(): boolean {
    return this.storage.isDead;
  }

  get readerBufferBytes(): number {
    return this.blueprint.settings.readerBufferBytes;
  }

  get attached(): Connection[] {
    return [...this.connections].filter((connection) => connection.isOpen);
  }

  /** @throws when there is no session: the step should not have been drawn */
  get running(): StreamSession {
    if (this.session === undefined) throw new Error("no session is in memory");
    return this.session;
  }

  /** Notes what has struck the stream, and what it was in. */
  struck(fault: StreamFault, phase = phaseOf(this)): void {
    this.context.coverage.strike(phase, fault);
  }

  /** As {@link struck}, for what happens within a turn. */
  struckInTurn(fault: StreamFault): void {
    this.struck(fault, this.turnPhase);
  }

  /**
   * One synchronous turn, then what it wrote is durable.
   *
   * @returns what the work came to; `undefined` when the process died in it
   */
  turn<T>(work: () => T): { readonly value: T } | undefined {
    const alarmBeforeMs = this.alarmAtMs;
    const attachedBefore = this.attached.length;
    this.turnPhase = phaseOf(this);
    this.storage.beginTurn();
    this.model.ledger.beginTurn();
    this.relief.beginTurn();
    const result = this.work(work);
    this.storage.endTurn();
    if (this.storage.counts.writeFailures > 0) this.struckInTurn("refused write");
    if (this.storage.counts.readFailures > 0) this.struckInTurn("refused read");
    if (this.storage.isDead || result === undefined) {
      this.alarmAtMs = alarmBeforeMs;
      const { diedWithin } = this.storage;
      this.struckInTurn(`crash in the middle of a ${diedWithin}`);
      this.crash(`in the middle of a ${diedWithin}`);
      return undefined;
    }
    this.storage.commitTurn();
    if (this.storage.counts.writes > 0) this.model.noteCommitted(this.storage.inspect());
    this.model.checkGivenAsOne();
    this.model.ledger.endTurn(this.nowMs);
    this.model.liveOnly.clear();
    if (attachedBefore > 0 && this.attached.length === 0) this.lastActiveAtMs = this.nowMs;
    if (this.storage.counts.hasFailedLast && this.session !== undefined && !this.session.isDegraded) {
      fail("durability", "storage has just failed, and the stream does not say that it is degraded");
    }
    return result;
  }

  private work<T>(work: () => T): { readonly value: T } | undefined {
    try {
      return { value: work() };
    } catch (error) {
      if (!this.storage.isDead) throw error;
      return undefined;
    }
  }

  /** The process dies between two turns, or before the current one is durable. */
  crash(when: string): void {
    const { model, storage, context } = this;
    if (storage.isDead) storage.loseTurn();
    context.coverage.note(`crash ${when}`);
    this.onCrash(this);
    for (const connection of this.connections) connection.lose();
    this.connections.clear();
    this.awaitingToken.clear();
    this.session = undefined;
    this.hasPendingEnd = false;
    this.removalReason = undefined;
    this.alarms = this.newAlarms();
    storage.isDead = false;
    if (storage.inspect() === undefined) {
      context.trace(`crash ${when}: nothing was stored yet, the stream is lost`);
      context.coverage.note("stream lost");
      this.isOver = true;
      return;
    }
    if (this.relief.turn.replacements > 0) context.coverage.note("crash right after rows gave way");
    this.relief.forget();
    const rows = readRows(storage);
    const died = model.crash(rows);
    for (const { encoding } of rows) context.coverage.note(`restart with rows: ${encoding}`);
    context.trace(`crash ${when}: ${died} events died, ${model.lastSeq} survive`);
    if (died > 0) context.coverage.note("events died", died);
  }

  begin(): void {
    const { settings, hasControlEvents, priorityRules, relief } = this.blueprint;
    const identity = {
      requestId: this.requestId,
      route: "simulated",
      tenant: "",
      correlationId: undefined,
      fingerprint: undefined,
    };
    this.turn(() => {
      this.session = StreamSession.begin(
        this.deps,
        { identity, settings, hasControlEvents, priorityRules, relief },
        this.nowMs,
      );
      this.arm();
    });
  }

  /** What a request or the alarm does first when nothing is in memory. Fails while storage does. */
  restore(): boolean {
    const stateBefore = this.model.state;
    this.turn(() => {
      let stored;
      try {
        stored = this.store.load();
      } catch (error) {
        if (this.storage.isDead) throw error;
        this.context.coverage.note("restart refused by storage");
        return;
      }
      if (stored === undefined) fail("durability", "a stored stream is not found again");
      this.model.restore(this.nowMs);
      this.session = StreamSession.restore(this.deps, stored, this.nowMs);
    });
    if (this.session === undefined) return false;
    this.arm();
    this.lastActiveAtMs = this.nowMs;
    this.struck("restart", stateBefore);
    this.context.coverage.note("restart");
    if (this.storage.counts.payloadReads > 0) fail("B5", "a restart read payloads");
    return true;
  }

  /** The alarm has gone off: none is set any more. */
  noteAlarm(): void {
    this.alarmAtMs = undefined;
    this.alarms.noteFired();
  }

  arm(): void {
    if (this.session === undefined) return;
    // Sets the alarm before its first await; there is nothing here to wait for.
    void this.alarms.arm({ ...this.session.deadlines() });
  }

  takeRemovalReason(connection: Connection): ReaderRemovalReason | undefined {
    const reason = this.removalReason;
    this.removalReason = undefined;
    if (reason !== undefined) checkRemoval(reason, connection, this);
    return reason;
  }

  /** B7: nothing is left: no reader, no row, no alarm. */
  erase(): void {
    if (this.attached.length > 0) fail("B7", "readers are left on a stream that is deleted");
    this.session = undefined;
    this.alarmAtMs = undefined;
    this.storage.deleteAll();
    this.isOver = true;
  }

  private newAlarms(): Alarms {
    return new Alarms({
      setAlarm: (timeMs) => {
        this.alarmAtMs = timeMs;
        return Promise.resolve();
      },
    });
  }

  private hear(record: TelemetryRecord): void {
    if (this.isDead) return;
    const { coverage } = this.context;
    this.model.ledger.tell(record, this.nowMs);
    if (record.event === "SseReaderRemoved") {
      this.removalReason = record.reason;
      coverage.note(`removed: ${record.reason}`);
      if (record.reason === "stalled") this.struckInTurn("stalled reader removed");
    }
    if (record.event !== "SseDegraded") return;
    coverage.note(record.is_over === true ? "recovered" : "degraded");
    if (record.is_over === true) return;
    for (const connection of this.attached) {
      if (connection.reader?.isGone === false) connection.check.expectNotice("degraded", connection.isMidFrame);
    }
  }
}
