/**
 * A whole stream life on a Durable Object's real storage and a clock of its own: what it writes is counted
 * as SQLite counts it, in milliseconds instead of the stream's minutes.
 *
 * Does what request-stream.ts does around a session (ticks, alarm, archive, returns), without a source or
 * a connection.
 */
import { Alarms } from "../../durable-objects/alarms.ts";
import { sqlPort } from "../../durable-objects/sql-port.ts";
import type { SqlPort } from "../../durable-objects/sql-storage.ts";
import type { ReaderPort } from "../../durable-objects/stream/reader.ts";
import { StreamArchive } from "../../durable-objects/stream-archive.ts";
import { StreamSession, type SessionDeps } from "../../durable-objects/stream/stream-session.ts";
import { StreamStore } from "../../durable-objects/stream/stream-store.ts";
import { START_POSITION } from "../../protocol/event-id.ts";
import type { ReliefPolicy } from "../../protocol/relief.ts";
import type { IssuedToken } from "../../protocol/resume-token.ts";
import type { StreamSettings } from "../../protocol/stream-settings.ts";

export interface CountedPlan {
  readonly durationSec: number;
  readonly eventsPerSec: number;
  /** Of each event. */
  readonly data: string;
  readonly settings: StreamSettings;
  readonly relief: ReliefPolicy;
  /** After the end, each in an object that has left memory; of an archived stream, after its end of life. */
  readonly lateResumes: number;
}

/** Rows written, each kind as SQLite says; `alarms` are those set. */
interface RowCounts {
  tables: number;
  records: number;
  segments: number;
  /** Segments in the place of others that gave way. */
  overwrites: number;
  deletes: number;
  /** A shard's, in whatever way they are written. */
  appends: number;
  other: number;
}

export interface CountedLife extends Readonly<RowCounts> {
  readonly alarms: number;
  readonly alarmRuns: number;
  /** Times of telemetry events, ms since the start. */
  readonly toldAtMs: readonly number[];
}

const START_MS = 1_000_000;
const MS_PER_SEC = 1000;
/** So that a late return's sweep is over before the next comes. */
const RETURN_EACH_SEC = 60;
const NEVER = Number.POSITIVE_INFINITY;
const KINDS = [
  [/^\s*CREATE/i, "tables"],
  [/\b(INTO|UPDATE|FROM) append\b/i, "appends"],
  [/^\s*DELETE FROM segment\b/i, "deletes"],
  [/\bINTO stream\b/i, "records"],
  [/\bINTO segment\b/i, "segments"],
  [/^\s*UPDATE segment\b/i, "overwrites"],
] as const;

export function noRows(): RowCounts {
  return { tables: 0, records: 0, segments: 0, overwrites: 0, deletes: 0, appends: 0, other: 0 };
}

/** Counts what each statement wrote. */
export function countingPort(storage: DurableObjectStorage, counts: RowCounts): SqlPort {
  return {
    ...sqlPort(storage),
    exec: (query, ...bindings) => {
      const cursor = storage.sql.exec(query, ...bindings);
      // A statement that returns no rows has run to its end when exec returns.
      counts[KINDS.find(([pattern]) => pattern.test(query))?.[1] ?? "other"] += cursor.rowsWritten;
      return cursor;
    },
  };
}

/** From the start to the deletion of everything, which is not counted. */
export async function liveCounted(storage: DurableObjectStorage, plan: CountedPlan): Promise<CountedLife> {
  const object = new CountedObject(storage, plan);
  object.begin();
  await object.runToExpiry();
  const fromArchive = plan.settings.archives ? plan.lateResumes : 0;
  for (let returned = 0; returned < fromArchive; returned++) {
    for (const table of ["segment", "stream"]) storage.sql.exec(`DROP TABLE ${table}`);
    await object.bringBack();
    await object.runToExpiry();
  }
  return object.life();
}

class CountedObject {
  private readonly counts = noRows();
  private readonly toldAtMs: number[] = [];
  private readonly alarm = new CountedAlarm();
  private readonly archive: StreamArchive;
  private nowMs = START_MS;
  private sent = 0;
  private returned = 0;
  private isExpired = false;
  private session: StreamSession | undefined;
  private readonly deps: SessionDeps;
  private readonly plan: CountedPlan;

  constructor(storage: DurableObjectStorage, plan: CountedPlan) {
    this.plan = plan;
    this.deps = {
      store: new StreamStore(countingPort(storage, this.counts)),
      telemetry: () => this.toldAtMs.push(this.nowMs - START_MS),
      clock: () => this.nowMs,
      random: () => 0.5,
    };
    this.archive = new StreamArchive(memoryBucket(), this.deps.telemetry);
  }

  /** Started, its source open, its first reader there. */
  begin(): void {
    const { settings, relief } = this.plan;
    const identity = { requestId: "r", route: "t", tenant: "", correlationId: undefined, fingerprint: undefined };
    const blueprint = { identity, settings, hasControlEvents: true, priorityRules: [], relief };
    const session = StreamSession.begin(this.deps, blueprint, START_MS);
    this.session = session;
    this.alarm.arm(session);
    session.openSource(START_MS);
    this.attach(session, false);
  }

  async runToExpiry(): Promise<void> {
    this.isExpired = false;
    while (!this.isExpired) await this.step(this.present());
  }

  /** Fetched from the archive, for a reader that comes after the end of life. */
  async bringBack(): Promise<void> {
    const archived = await this.archive.read("r");
    if (archived.kind !== "found") throw new Error("the archive does not hold the stream");
    this.alarm.forget();
    const session = StreamSession.bringBack(this.deps, archived.stream, this.nowMs);
    this.session = session;
    this.alarm.arm(session);
    this.attach(session, true);
  }

  life(): CountedLife {
    const { counts, alarm, toldAtMs } = this;
    return { ...counts, alarms: alarm.set, alarmRuns: alarm.runs, toldAtMs };
  }

  /** Whatever is due next. */
  private async step(session: StreamSession): Promise<void> {
    const { durationSec, eventsPerSec } = this.plan;
    const events = Math.floor(durationSec * eventsPerSec);
    const eventAtMs = this.sent < events ? START_MS + (this.sent * MS_PER_SEC) / eventsPerSec : NEVER;
    const finishAtMs = session.isFinished ? NEVER : START_MS + durationSec * MS_PER_SEC;
    const returnAtMs = this.nextReturnAtMs(session);
    const tickAtMs = session.nextTickAtMs() ?? NEVER;
    const dueAtMs = Math.min(eventAtMs, finishAtMs, returnAtMs, tickAtMs, this.alarm.atMs ?? NEVER);
    if (dueAtMs === NEVER) throw new Error("nothing is due, and the stream has not expired");
    // Alarms are never early.
    this.nowMs = Math.max(this.nowMs, dueAtMs + (dueAtMs === this.alarm.atMs ? 1 : 0));
    if (dueAtMs === eventAtMs) {
      session.append([{ event: undefined, data: this.plan.data, retryMs: undefined }], this.nowMs);
      this.sent++;
    } else if (dueAtMs === finishAtMs) {
      session.finish("completed", undefined, this.nowMs);
      session.announceEnd(this.nowMs);
      this.alarm.arm(session);
    } else if (dueAtMs === this.alarm.atMs) {
      await this.wake(session);
    } else if (dueAtMs === returnAtMs) {
      this.returnLate();
    } else {
      this.tick(session);
      this.alarm.arm(session);
    }
  }

  private async wake(session: StreamSession): Promise<void> {
    this.alarm.fire();
    this.isExpired = session.wake(this.nowMs) === "expired";
    if ((session.archiving.dueAtMs ?? NEVER) <= this.nowMs) await this.archive.keep(session, this.isExpired);
    if (!this.isExpired) this.alarm.arm(session);
  }

  private tick(session: StreamSession): void {
    session.tick(this.nowMs);
    const { delivery } = session;
    for (const reader of delivery.readersDueForToken(this.nowMs)) {
      delivery.refreshToken(reader, delivery.positionOf(reader), this.token(), this.nowMs);
    }
  }

  private nextReturnAtMs({ isFinished }: StreamSession): number {
    const { lateResumes, settings, durationSec } = this.plan;
    if (!isFinished || settings.archives || this.returned === lateResumes) return NEVER;
    return START_MS + (durationSec + (this.returned + 1) * RETURN_EACH_SEC) * MS_PER_SEC;
  }

  /** Into an object that has left memory. */
  private returnLate(): void {
    this.returned++;
    const stored = this.deps.store.load();
    if (stored === undefined) throw new Error("storage does not hold the stream");
    const session = StreamSession.restore(this.deps, stored, this.nowMs);
    this.session = session;
    this.alarm.forget();
    this.alarm.arm(session);
    this.attach(session, true);
  }

  private attach(session: StreamSession, isResumed: boolean): void {
    const position = isResumed ? { epoch: 1, seq: this.sent - 1 } : START_POSITION;
    const request = { ...LIVE, position, isResumed, token: this.token() };
    session.attach(request, this.port(), this.nowMs);
    this.alarm.arm(session);
  }

  private token(): IssuedToken {
    return { token: "t", issuedAtMs: this.nowMs, expiresAtMs: this.nowMs + this.plan.settings.resumeTtlMs };
  }

  /** A reader that takes everything at once, but not before the turn is over. */
  private port(): ReaderPort {
    let sentAtMs = 0;
    return {
      roomBytes: () => 65_536,
      queuedBytes: () => (sentAtMs === this.nowMs ? 1 : 0),
      send: () => {
        sentAtMs = this.nowMs;
      },
      close: () => undefined,
      breakOff: () => undefined,
      abort: () => undefined,
    };
  }

  private present(): StreamSession {
    if (this.session === undefined) throw new Error("no stream has begun");
    return this.session;
  }
}

const LIVE = { isPositionExplicit: true, mode: "live", acceptGap: false } as const;

function memoryBucket(): ConstructorParameters<typeof StreamArchive>[0] {
  const files = new Map<string, Uint8Array>();
  return {
    put: (key, bytes) => {
      files.set(key, bytes);
      return Promise.resolve();
    },
    get: (key) => Promise.resolve(files.get(key)),
  };
}

/** Not the object's own alarm: that one would go off by the real clock. */
class CountedAlarm {
  atMs: number | undefined;
  set = 0;
  runs = 0;
  private alarms = this.newAlarms();

  arm(session: StreamSession): void {
    // Set before its first await; there is nothing here to wait for.
    void this.alarms.arm({ ...session.deadlines() });
  }

  /** The object has left memory; what is set stays. */
  forget(): void {
    this.alarms = this.newAlarms();
  }

  fire(): void {
    this.atMs = undefined;
    this.runs++;
    this.alarms.noteFired();
  }

  private newAlarms(): Alarms {
    return new Alarms({
      setAlarm: (timeMs) => {
        this.set++;
        this.atMs = timeMs;
        return Promise.resolve();
      },
    });
  }
}
