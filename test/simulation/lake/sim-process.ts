/**
 * A Durable Object as the simulator runs it: real SQLite, one alarm, and lives that end without notice.
 *
 * What one answer sets off is one turn: its writes are committed together, its calls leave only after
 * that (the platform's output gate), and a crash loses all of it. Whoever waits for a dead object is told
 * so; what the dead one waited for is never heard of again.
 */
import type { Coverage } from "../coverage.ts";
import { SimStorage } from "../sim-storage.ts";
import type { Aim } from "./aims.ts";
import { quiet, type Call, type Caller, type Network, type Reply } from "./network.ts";

/** How soon the platform fires an alarm again whose handler did not come to its end. */
export const ALARM_RETRY_MS = 2000;
const TURN_FAULTS = ["crash in the middle of a turn", "crash in the middle of a transaction", "refused write"];

/** One life of an object, as its code sees it. */
export interface Life extends Caller {
  readonly storage: SimStorage;
  setAlarm(timeMs: number): Promise<void>;
  /** Called once what has been written so far in this turn is durable; never, where the turn is lost. */
  afterCommit(work: () => void): void;
}

/** What a simulated object can be asked at any time. */
export interface AlarmedObject {
  alarm(): Promise<void>;
}

export interface ProcessDeps {
  readonly network: Network;
  readonly coverage: Coverage;
  /** Asked at the beginning of a turn: statements until the object dies, or that it dies before the commit. */
  readonly planCrash: () => number | "before commit" | undefined;
  /** Whether storage refuses a write, as a full disk does. */
  readonly isDiskFull: () => boolean;
  /** What an object with this storage is in, whose calls under way are these. */
  readonly phaseOf: (storage: SimStorage, calls: readonly string[]) => string;
  /** What the seed aims at. */
  readonly aim: Aim | undefined;
}

class SimLife<T extends AlarmedObject> implements Life {
  isAlive = true;
  readonly name: string;
  readonly storage: SimStorage;
  private readonly process: SimProcess<T>;

  constructor(process: SimProcess<T>) {
    this.process = process;
    this.name = process.name;
    this.storage = process.storage;
  }

  run(work: () => void, cause: string): Promise<void> {
    return this.process.turn(work, cause);
  }

  send(call: Call): void {
    this.process.send(call);
  }

  setAlarm(timeMs: number): Promise<void> {
    this.process.alarmAtMs = timeMs;
    return Promise.resolve();
  }

  afterCommit(work: () => void): void {
    this.process.afterCommit(work);
  }
}

export class SimProcess<T extends AlarmedObject> {
  readonly name: string;
  readonly storage = new SimStorage();
  alarmAtMs: number | undefined;
  isAlarmRunning = false;
  /** When the object last had a turn, by its own clock at its latest. */
  lastTurnAtMs = Number.NEGATIVE_INFINITY;
  /** When storage last refused a write, by the object's clock. */
  refusedAtMs = Number.NEGATIVE_INFINITY;
  /** Whether storage or alarm have changed since this was last set to false. */
  isChanged = true;
  private readonly make: (life: Life) => T;
  private readonly deps: ProcessDeps;
  private body: { readonly object: T; readonly life: SimLife<T> } | undefined;
  private outbox: Call[] = [];
  private commits: (() => void)[] = [];
  /** Call whose answer the running turn deals with, or what else has set it off. */
  private cause: string | undefined;
  /** Set off while the object was up, and not seen by it yet. */
  private clockFault: string | undefined;
  private isRefusing = false;
  private readonly serving = new Set<Reply>();

  constructor(name: string, make: (life: Life) => T, deps: ProcessDeps) {
    this.name = name;
    this.make = make;
    this.deps = deps;
    // Not while the object is woken: the platform would only wake it again.
    this.storage.shouldFail = (kind) => {
      const isRefused = this.isUp && kind === "write" && (deps.isDiskFull() || this.isRefusing);
      if (isRefused) this.refusedAtMs = deps.network.clock();
      if (isRefused) this.struck("refused write", this.cause);
      return isRefused;
    };
  }

  get isUp(): boolean {
    return this.body !== undefined;
  }

  get object(): T | undefined {
    return this.body?.object;
  }

  /** Notes what has struck the object, and what it was in. @param cause call whose answer it was just dealing with */
  struck(fault: string, cause?: string): void {
    this.deps.coverage.strike(this.phase(cause), fault);
  }

  /** @param cause as of {@link struck} */
  phase(cause?: string): string {
    const { network, phaseOf } = this.deps;
    const waiting = this.body === undefined ? [] : network.callsOf(this.body.life).map(({ label }) => label);
    return phaseOf(this.storage, cause === undefined ? waiting : [...waiting, cause]);
  }

  /** The clock was changed: strikes the object when it next looks at it, if it lives so long. */
  clockChanged(fault: string): void {
    if (this.isUp) this.clockFault = fault;
  }

  /** Whether anything of this object's is under way. */
  get isBusy(): boolean {
    if (this.body === undefined) return false;
    const { life } = this.body;
    const { network } = this.deps;
    return (
      network.callsOf(life).length > 0 || network.hasTimersOf(life) || this.serving.size > 0 || this.isAlarmRunning
    );
  }

  /** Runs `work` in the object, which is woken up for it where it is not there. */
  async turn(work: (object: T) => void, cause: string): Promise<void> {
    const { storage, deps } = this;
    const alarmBefore = this.alarmAtMs;
    this.outbox = [];
    this.commits = [];
    this.cause = cause;
    if (this.clockFault !== undefined) this.struck(this.clockFault, cause);
    this.clockFault = undefined;
    const aimed = this.aimedFault(cause);
    storage.beginTurn();
    this.isRefusing = aimed === "refused write";
    storage.crashInTransaction = aimed === "crash in the middle of a transaction";
    if (aimed === "crash in the middle of a turn") storage.crashBeforeCommit = true;
    const plan = deps.planCrash();
    if (plan === "before commit") storage.crashBeforeCommit = true;
    else if (plan !== undefined) storage.crashAfterStatements = plan;
    try {
      this.body ??= this.wake();
      work(this.body.object);
    } catch (error) {
      if (!storage.isDead) throw error;
    }
    await quiet();
    storage.endTurn();
    this.lastTurnAtMs = Math.max(this.lastTurnAtMs, deps.network.clock());
    this.isChanged = true;
    if (storage.isDead) {
      storage.loseTurn();
      this.alarmAtMs = alarmBefore;
      deps.coverage.note(`crash in the middle of a ${storage.diedWithin}`);
      this.struck(`crash in the middle of a ${storage.diedWithin}`, cause);
      deps.coverage.note(`crash in the turn after: ${cause}`);
      this.die();
      return;
    }
    storage.crashAfterStatements = undefined;
    storage.crashInTransaction = false;
    this.isRefusing = false;
    storage.commitTurn();
    for (const commit of this.commits) commit();
    for (const call of this.outbox) deps.network.push(call);
    this.outbox = [];
  }

  /** Which fault the seed aims at what this turn is about; `undefined` for none, or where it misses. */
  private aimedFault(cause: string): string | undefined {
    const { aim } = this.deps;
    if (aim?.isAfter(...TURN_FAULTS) !== true || !this.isUp) return undefined;
    const { fault } = aim.cell;
    return aim.strikes(fault, this.phase(cause)) ? fault : undefined;
  }

  private wake(): { object: T; life: SimLife<T> } {
    const life = new SimLife(this);
    return { life, object: this.make(life) };
  }

  /** Runs a call of somebody else's. */
  async serve(reply: Reply, label: string, handle: (object: T) => Promise<unknown>): Promise<void> {
    this.serving.add(reply);
    const end = (tell: () => void) =>
      this.afterCommit(() => {
        if (this.serving.delete(reply)) tell();
      });
    await this.turn((object) => {
      handle(object).then(
        (value) => end(() => reply.ok(structuredClone(value))),
        (error: unknown) => end(() => reply.fail(error instanceof Error ? error : new Error(String(error)))),
      );
    }, label);
  }

  /** The alarm is at least once: it comes again where its handler fails or dies. */
  async fireAlarm(): Promise<void> {
    this.isAlarmRunning = true;
    await this.turn((object) => {
      this.alarmAtMs = undefined;
      object.alarm().then(
        () => this.afterCommit(() => (this.isAlarmRunning = false)),
        () => this.afterCommit(() => this.retryAlarm()),
      );
    }, "alarm");
  }

  send(call: Call): void {
    this.outbox.push(call);
  }

  afterCommit(work: () => void): void {
    this.commits.push(work);
  }

  /** @param reason for coverage: the platform moves objects as well as it loses them */
  crash(): void {
    if (this.body === undefined) return;
    const { coverage, network } = this.deps;
    const waiting = network.callsOf(this.body.life);
    coverage.note(waiting.length === 0 ? "crash at rest" : "crash between turns");
    for (const { label, state } of waiting) coverage.note(`crash with ${label} ${state}`);
    this.struck("crash between turns");
    this.die();
  }

  close(): void {
    this.storage.close();
  }

  private die(): void {
    this.outbox = [];
    this.commits = [];
    this.storage.crashAfterStatements = undefined;
    this.storage.crashBeforeCommit = false;
    this.storage.crashInTransaction = false;
    this.isRefusing = false;
    this.clockFault = undefined;
    if (this.body !== undefined) {
      this.body.life.isAlive = false;
      this.deps.network.abandon(this.body.life);
    }
    this.body = undefined;
    if (this.isAlarmRunning) this.retryAlarm();
    for (const reply of this.serving) reply.fail(new Error(`${this.name} broke`));
    this.serving.clear();
  }

  private retryAlarm(): void {
    this.isAlarmRunning = false;
    const retryAtMs = this.deps.network.clock() + ALARM_RETRY_MS;
    this.alarmAtMs = Math.min(this.alarmAtMs ?? Number.POSITIVE_INFINITY, retryAtMs);
  }
}
