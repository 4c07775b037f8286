/**
 * One seed, one schedule: streams begin, are fed, read, broken, finished and deleted, step by step,
 * and after each step everything that must hold is checked.
 *
 * Nothing here asks the time, the platform or chance outside the seed: a failing seed fails again.
 */
import { START_POSITION } from "../../protocol/event-id.ts";
import { watchBuffer } from "./buffer-watch.ts";
import { Coverage } from "./coverage.ts";
import { Random } from "./random.ts";
import { attachReader, disconnect, refreshToken, takeChunks } from "./reader-calls.ts";
import { SimReader } from "./readers.ts";
import { readRows } from "./row-reading.ts";
import { NO_HOOKS, SimObject, type SimClock, type SimContext, type SimHooks } from "./sim-object.ts";
import { announceEnd, appendEvents, finishStream, noteTrailingRetry, openSource } from "./source-calls.ts";
import { drawWeights, type Step } from "./steps.ts";
import { checkStep } from "./step-checks.ts";
import { fireAlarm, tick } from "./timers.ts";
import { drawBlueprint, EventSourceModel, type DrawnEvent } from "./workload.ts";

const START_MS = Date.UTC(2026, 0, 1);
/** Longer than any deadline a blueprint draws. */
const LONG_MS = 130_000;
const TIMERS_PER_STEP = 50;
const FILL_MAX_BATCHES = 20;
const FILL_BATCH_BYTES = 5000;
const SNAPSHOT_BYTES = 60_000;

export interface SimulationOptions {
  readonly steps: number;
  readonly hooks?: SimHooks;
  /** Told every step as it is taken. */
  readonly trace?: (line: string) => void;
}

export class Simulation {
  readonly coverage = new Coverage();
  private readonly random: Random;
  private readonly clock: SimClock = { nowMs: START_MS, setBackMs: 0 };
  private readonly context: SimContext;
  private readonly weights: Record<Step, number>;
  /** How soon an upstream answers that has not done so at once. */
  private readonly openChance: number;
  private object: SimObject;
  /** The same, known from its first turn on. */
  private living: SimObject | undefined;
  private source: EventSourceModel;
  private readers: SimReader[] = [];
  private lives = 0;
  private faultStepsLeft = 0;
  private stepsSinceEnd = 0;

  private readonly unwatch: () => void;

  constructor(seed: number, options: SimulationOptions) {
    this.random = new Random(seed);
    this.context = {
      clock: this.clock,
      coverage: this.coverage,
      hooks: options.hooks ?? NO_HOOKS,
      trace: options.trace ?? (() => undefined),
    };
    this.unwatch = watchBuffer(() => this.living?.relief);
    this.weights = drawWeights(this.random);
    this.openChance = this.random.pick([0.3, 0.3, 0.3, 0.05]);
    [this.object, this.source] = this.newLife();
  }

  step(): void {
    if (this.object.isOver) [this.object, this.source] = this.newLife();
    const { object, random } = this;
    if (this.faultStepsLeft > 0 && --this.faultStepsLeft === 0) object.storage.shouldFail = () => false;
    this.carryOn();
    if (!object.isOver) this.take(random.weighted(this.weights));
    for (const reader of this.readers) {
      if (object.session !== undefined) reader.take(object, random);
      reader.settle(random);
    }
    if (!object.isOver) checkStep(object);
  }

  close(): void {
    this.unwatch();
    this.object.storage.close();
  }

  private newLife(): [SimObject, EventSourceModel] {
    const { random, context } = this;
    const blueprint = drawBlueprint(random);
    this.lives++;
    this.faultStepsLeft = 0;
    this.stepsSinceEnd = 0;
    this.clock.setBackMs = 0;
    this.readers = Array.from({ length: blueprint.settings.maxReaders + 2 }, (_, at) => new SimReader(`reader ${at}`));
    const object = new SimObject(context, blueprint, `stream-${this.lives}`);
    this.living = object;
    object.onCrash = () => {
      for (const reader of this.readers) reader.learn(random, true);
    };
    context.trace(`begin stream-${this.lives} ${JSON.stringify(blueprint)}`);
    if (random.chance(0.05)) this.startFault(object);
    object.begin();
    if (!object.isOver && random.chance(0.8)) openSource(object);
    return [object, new EventSourceModel(random, blueprint)];
  }

  /** What the wiring does by itself, a little late: token signatures arrive, ends are announced. */
  private carryOn(): void {
    const { object, random } = this;
    if (object.session === undefined) return;
    if (object.model.state === "open" && random.chance(this.openChance)) return openSource(object);
    if (object.session.hasWorkLeft && random.chance(0.5)) return tick(object);
    for (const connection of object.awaitingToken) {
      object.awaitingToken.delete(connection);
      refreshToken(object, connection);
      return;
    }
    if (object.hasPendingEnd && random.chance(0.5)) {
      this.context.trace("the outcome is durable: announce the end");
      return announceEnd(object);
    }
    if (!object.model.isFinished) return;
    // A finished stream has little left to show: go on to its end of life before long.
    if (++this.stepsSinceEnd > 25 && random.chance(0.2)) this.wait(LONG_MS);
  }

  private take(step: Step): void {
    const { object, random } = this;
    const isFed = object.session !== undefined && object.model.state === "streaming";
    switch (step) {
      case "append":
        return isFed ? this.append(this.source.batch(random.magnitude(1, 30))) : this.wait(random.magnitude(1, 1000));
      case "burst":
        for (let left = random.int(2, 6); left > 0 && this.isFed; left--)
          this.append(this.source.batch(random.magnitude(1, 60)));
        return;
      case "overtake":
        return this.overtake();
      case "attach":
        return this.attach(random.pick(this.readers));
      case "take":
        for (const reader of this.readers) this.takeSome(reader);
        return;
      case "pace": {
        const reader = random.pick(this.readers);
        reader.pace = random.weighted({ fast: 3, slow: 2, stalled: 2 });
        if (reader.pace === "stalled" && reader.connection?.isOpen === true) object.struck("reader stalls");
        return this.context.trace(`${reader.name} is ${reader.pace}`);
      }
      case "leave":
        return this.leave(random.pick(this.readers));
      case "leaveAll":
        for (const reader of this.readers) this.leave(reader);
        return;
      case "probe":
        return this.probe();
      case "wait":
        return this.wait(random.magnitude(1, 5000));
      case "longWait":
        return random.chance(0.5) ? this.wait(random.int(5000, LONG_MS)) : this.jump(random.int(5000, LONG_MS));
      case "setBack":
        return this.setBack(random.int(1, 500));
      case "fault":
        this.startFault(object);
        // Memory for what storage refuses is soon full where much comes.
        for (let left = random.pick([0, 0, 8]); left > 0 && this.isFed; left--) this.append(this.source.flood());
        return;
      case "crash":
        return this.planCrash();
      case "finish":
        return isFed || this.isOpening ? this.finish() : undefined;
      case "activity":
        if (!isFed) return;
        object.lastActiveAtMs = object.nowMs;
        return object.running.noteSourceActivity(object.nowMs);
    }
  }

  private get isFed(): boolean {
    return this.object.session !== undefined && this.object.model.state === "streaming";
  }

  /** An upstream has been called and has not answered. */
  private get isOpening(): boolean {
    return this.object.session !== undefined && this.object.model.state === "open";
  }

  private append(batch: readonly DrawnEvent[]): void {
    const { lastSeq } = this.object.model;
    const sizes = batch.map(({ source, priority }) => `${source.data.length}p${priority}`).join(" ");
    this.context.trace(`append ${lastSeq + 1}..${lastSeq + batch.length}: ${sizes}`);
    if (batch.some(({ source }) => source.data.length > 16 * 1024)) this.coverage.note("large event");
    appendEvents(this.object, batch);
  }

  private attach(reader: SimReader): void {
    const { object, random } = this;
    if (reader.connection !== undefined) return;
    if (object.session === undefined && !object.restore()) return;
    if (object.isOver) return;
    const ask = reader.drawAsk(object, random);
    reader.pace = random.weighted({ fast: 4, slow: 3, stalled: 2 });
    this.context.trace(`${reader.name} (${reader.pace}) attaches ${JSON.stringify(ask)}`);
    if (ask.isResumed) object.struck("reader comes back");
    reader.connection = attachReader(object, ask);
  }

  /** A snapshot is made while what it tells of becomes other events. */
  private overtake(): void {
    const { object, random } = this;
    const { settings, hasControlEvents, relief } = object.blueprint;
    const reader = this.readers.find(({ connection }) => connection === undefined);
    if (reader === undefined || relief.fold === undefined || !hasControlEvents) return;
    // Much more than the reader's port takes, and no pressure yet.
    const eventBytes = Math.min(3000, Math.max(50, Math.ceil(SNAPSHOT_BYTES / (settings.bufferMaxEvents / 2))));
    this.fill(0.7, eventBytes);
    if (!this.isFed) return;
    reader.pace = "stalled";
    this.context.trace(`${reader.name} (stalled) attaches for a snapshot, and much comes`);
    const isResumed = random.chance(0.5);
    const ask = { position: START_POSITION, isPositionExplicit: false, acceptGap: false, isResumed };
    reader.connection = attachReader(object, { ...ask, mode: "snapshot" });
    this.fill(0.9, eventBytes);
    reader.pace = random.pick(["fast", "slow"]);
  }

  /** Appends, a row at a time, until so much of a limit is used up, or much has come. */
  private fill(share: number, eventBytes: number): void {
    const { bufferMaxEvents, bufferMaxBytes, commitIntervalMs } = this.object.blueprint.settings;
    for (let left = FILL_MAX_BATCHES; left > 0 && this.isFed; left--) {
      const { frameCount, bytes } = this.object.model.retained;
      const count = Math.min(Math.ceil(FILL_BATCH_BYTES / eventBytes), bufferMaxEvents * share - frameCount);
      if (count < 1 || bytes >= bufferMaxBytes * share) return;
      this.append(this.source.deltas(count, eventBytes));
      this.wait(commitIntervalMs);
    }
  }

  private takeSome(reader: SimReader): void {
    const { connection } = reader;
    if (connection === undefined || reader.pace === "stalled" || this.object.session === undefined) return;
    takeChunks(this.object, connection, this.random.int(1, 4));
  }

  private leave(reader: SimReader): void {
    const { connection } = reader;
    if (connection === undefined || this.object.session === undefined) return;
    this.context.trace(`${reader.name} leaves${connection.isMidFrame ? " in the middle of an event" : ""}`);
    if (connection.isMidFrame) this.coverage.note("left mid-event");
    if (connection.isOpen)
      this.object.struck(connection.isMidFrame ? "reader disconnects within an event" : "reader disconnects");
    disconnect(this.object, connection);
  }

  /** B4, B7: reads everything there is, from the beginning. */
  private probe(): void {
    const { object } = this;
    if (object.session === undefined && !object.restore()) return;
    if (object.isOver || object.session === undefined) return;
    this.context.trace("probe: replay from 0-0");
    object.model.retained.checkRows(readRows(object.storage));
    const ask = {
      position: START_POSITION,
      isPositionExplicit: false,
      mode: "replay",
      acceptGap: true,
      isResumed: true,
    } as const;
    const connection = attachReader(object, ask);
    if (connection === undefined) return;
    takeChunks(object, connection, Infinity);
    this.coverage.note("probe");
    if (object.session !== undefined && connection.isOpen) disconnect(object, connection);
  }

  private wait(ms: number): void {
    const { clock, random } = this;
    this.context.trace(`wait ${ms} ms`);
    const untilMs = clock.nowMs + ms;
    for (let timers = 0; timers < TIMERS_PER_STEP && !this.object.isOver; timers++) {
      const dueAtMs = this.nextDueAtMs();
      if (dueAtMs === undefined || dueAtMs > untilMs || random.chance(0.1)) break;
      clock.nowMs = Math.max(clock.nowMs, dueAtMs);
      this.runDue();
    }
    clock.nowMs = Math.max(clock.nowMs, untilMs);
    if (random.chance(0.7)) this.runDue();
  }

  /** The clock goes on at once, over whatever is due before; what is due then comes late, or after other things. */
  private jump(ms: number): void {
    const { object, clock, random } = this;
    this.context.trace(`the clock jumps by ${ms} ms`);
    const dueAtMs = this.nextDueAtMs();
    const untilMs = clock.nowMs + ms;
    if (dueAtMs !== undefined && dueAtMs > clock.nowMs && dueAtMs < untilMs) object.struck("clock jump over deadlines");
    clock.nowMs = untilMs;
    if (random.chance(0.5)) this.runDue();
  }

  private nextDueAtMs(): number | undefined {
    const times = [this.object.alarmAtMs, this.object.session?.nextTickAtMs()].filter((time) => time !== undefined);
    return times.length === 0 ? undefined : Math.min(...times);
  }

  private runDue(): void {
    const { object } = this;
    if (object.isOver) return;
    if (object.alarmAtMs !== undefined && object.alarmAtMs <= object.nowMs) fireAlarm(object);
    const tickAtMs = object.session?.nextTickAtMs();
    if (tickAtMs !== undefined && tickAtMs <= object.nowMs) tick(object);
  }

  private setBack(ms: number): void {
    this.context.trace(`the clock is set back by ${ms} ms`);
    this.object.struck("clock set back");
    this.clock.nowMs -= ms;
    this.clock.setBackMs += ms;
  }

  private startFault(object: SimObject): void {
    const { random } = this;
    const fault = random.weighted({ writes: 6, reads: 1, all: 3, flaky: 2, relief: 6 });
    if (fault === "relief") {
      object.relief.strike = { kind: "refusal", afterStatements: random.int(0, 3) };
      return this.context.trace("storage refuses the next rows that are to give way");
    }
    this.faultStepsLeft = random.magnitude(2, 40);
    this.context.trace(`storage fails (${fault}) for ${this.faultStepsLeft} steps`);
    object.storage.shouldFail = (kind) => {
      if (fault === "flaky") return random.chance(0.3);
      return fault === "all" || fault === `${kind}s`;
    };
  }

  private planCrash(): void {
    const { object, random } = this;
    if (object.session === undefined) return;
    // Nothing gives way where nothing comes, and what little is written then is soon over.
    const isFed = object.model.state === "streaming" && !object.hasPendingEnd;
    const kind = random.weighted(
      isFed
        ? { now: 2, statement: 3, commit: 2, transaction: 2, relief: 7 }
        : { now: 6, statement: 3, commit: 2, transaction: 8, relief: 2 },
    );
    this.context.trace(`crash planned: ${kind}`);
    if (kind === "relief") return void (object.relief.strike = { kind: "crash", afterStatements: random.int(0, 3) });
    if (kind === "now") {
      object.struck("crash between turns");
      return object.crash("between turns");
    }
    if (kind === "commit") object.storage.crashBeforeCommit = true;
    else if (kind === "transaction") object.storage.crashInTransaction = true;
    else object.storage.crashAfterStatements = random.int(0, 6);
  }

  private finish(): void {
    const { object, random } = this;
    const outcome =
      object.model.state === "open"
        ? random.pick(["failed", "cancelled"] as const)
        : random.weighted({ completed: 4, failed: 2, cancelled: 1 });
    this.context.trace(`finish: ${outcome}`);
    if (outcome === "completed" && random.chance(0.3)) noteTrailingRetry(object, random.int(1, 5000));
    finishStream(object, outcome, outcome === "failed" ? "upstream_reset" : undefined);
  }
}
