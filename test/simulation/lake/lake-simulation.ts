/**
 * One seed's schedule: producers, operators, clocks, crashes and a network that does its worst, one step
 * after the other, and the checker after each. At the end the faults stop, and all must come to rest.
 */
import { keyOf } from "../../../durable-objects/iceberg/locations.ts";
import { readTableRows, rowKeys } from "../../fixtures/icebird-table.ts";
import type { Coverage } from "../coverage.ts";
import { Random } from "../random.ts";
import { Aim } from "./aims.ts";
import { DiskDamage } from "./disk-damage.ts";
import { LakeWorld, SHARDS_MAX } from "./lake-world.ts";
import { breach } from "./lake-violation.ts";
import { NO_FAULTS } from "./network.ts";
import { Operator } from "./operator.ts";
import { Producer } from "./producer.ts";
import { CALM, MILD, WILD } from "./weather.ts";

const WEATHER_STEPS = 40;
const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
/** Objects' and bucket's clocks differ by so much at most. */
const SKEW_MAX_MS = 5 * MINUTE_MS;
/** No work of the table's takes longer, far below the age at which objects are swept. */
const BUSY_MAX_MS = 20 * MINUTE_MS;
/**
 * Where two deployments share a table, neither's sweep knows what the other has not committed yet: the age at which
 * it sweeps has to be above any commit's (docs/configuration.md, ICEBERG_ORPHAN_MIN_AGE_SEC).
 */
const UNFINISHED_MAX_MS = 12 * HOUR_MS;
const REST_STEPS = 4000;
const RECOVERY_MOVES = 80;
/** Commits before the first step of a seed about a table that has had many. */
const MANY_COMMITS = 98;
/** One seed in so many is one of those. */
const MANY_COMMITS_EVERY = 150;

const WEIGHTS = {
  call: 120,
  ghost: 3,
  append: 9,
  repeat: 4,
  alarm: 14,
  timer: 8,
  time: 9,
  skew: 0.5,
  flush: 2,
  reset: 1.2,
  replay: 4,
  commit: 1.5,
  compact: 1.5,
  expire: 1.5,
  recovery: 0.8,
  crash: 1.5,
  shards: 0.4,
  damage: 0.4,
};
type Action = keyof typeof WEIGHTS;

export class LakeSimulation {
  readonly world: LakeWorld;
  private readonly random: Random;
  private readonly producer: Producer;
  private readonly operator: Operator;
  private readonly damage: DiskDamage;
  private readonly hasManyCommits: boolean;
  private readonly weights: Readonly<Record<Action, number>>;
  private steps = 0;
  private busySinceMs: number | undefined;
  private unfinishedSinceMs: number | undefined;

  constructor(seed: number) {
    this.random = new Random(seed);
    this.hasManyCommits = seed % MANY_COMMITS_EVERY === 1;
    const aim = Aim.of(seed);
    const weights: Record<Action, number> = { ...WEIGHTS };
    for (const [action, factor] of Object.entries(aim?.means ?? {})) weights[action as Action] *= factor;
    this.weights = weights;
    const hasRestCatalog = this.random.chance(0.25) || aim?.needsRestCatalog === true;
    const hasForeignCommitter = this.random.chance(0.4);
    const hasSmallWindow = this.random.chance(0.3);
    this.world = new LakeWorld(this.random, { hasRestCatalog, hasForeignCommitter, hasSmallWindow, aim });
    this.producer = new Producer(this.world, this.random);
    this.operator = new Operator(this.world, this.random);
    this.world.onDropped = (index, exported) => this.producer.replay(index, exported);
    this.damage = new DiskDamage(this.world, this.random);
  }

  get coverage(): Coverage {
    return this.world.coverage;
  }

  close(): void {
    this.world.close();
  }

  /** A table with a long past, made without faults. */
  async prepare(): Promise<void> {
    if (!this.hasManyCommits) return;
    for (let commit = 0; commit < MANY_COMMITS; commit++) {
      this.producer.appendNew();
      await this.settle();
      for (const index of this.world.shardIndexes) this.operator.flush(index);
      await this.settle();
      this.operator.commit(this.world.own.table);
      await this.settle();
    }
    await this.verify();
  }

  /** @returns what happened */
  async step(): Promise<string> {
    if (this.steps++ % WEATHER_STEPS === 0) this.changeWeather();
    let done: string | undefined;
    while (done === undefined) done = await this.act(this.random.weighted(this.weights));
    const struck = this.strikeWhatIsAimedAt();
    await this.verify();
    return struck === undefined ? done : `${done}; aimed: ${struck}`;
  }

  /** Faults stop, time goes on: everything must come to its end by itself. */
  async rest(): Promise<void> {
    const { world, producer, random } = this;
    const { network } = world;
    network.faults = NO_FAULTS;
    world.aim?.end();
    world.crashRate = 0;
    world.diskFullRate = 0;
    for (let steps = 0; this.isRestless(); steps++) {
      if (steps > REST_STEPS)
        breach("work comes to its end", `no rest after ${REST_STEPS} steps: ${this.restlessness()}`);
      await this.calm();
      // Refused ones are sent again later: time has to pass as well.
      if (!producer.isInFlight && producer.isWaiting && random.chance(0.3)) producer.repeat();
      else if (!network.hasCalls) await this.act(random.chance(0.5) ? "time" : "alarm");
      if (steps % 20 === 0) await this.verify();
    }
    await this.verify();
    world.check.checkRest();
    await this.restRiding();
    await this.sweepAtLast();
  }

  /** Hours later everything that nothing refers to can go, and nothing else may. */
  private async sweepAtLast(): Promise<void> {
    const { network } = this.world;
    await network.advance(this.random.int(2 * HOUR_MS, 30 * HOUR_MS));
    for (const faults of [{ ...NO_FAULTS, partialDelete: 0.5 }, NO_FAULTS]) {
      network.faults = faults;
      this.operator.expire();
      await this.settle();
      await this.verify();
    }
  }

  /** What rides along needs somebody's flush: then it is in the table as well. */
  private async restRiding(): Promise<void> {
    const riding = [...this.world.model.all()].filter(({ place }) => place === "shard");
    for (const index of this.world.shardIndexes) this.operator.flush(index);
    await this.settle();
    for (const table of this.world.tables) this.operator.commit(table);
    await this.settle();
    await this.verify();
    const left = riding.find(({ place }) => place !== "table" && place !== "dead letters");
    if (left !== undefined) breach("work comes to its end", `${left.shard}/${left.seq} is in: ${left.place}, flushed`);
  }

  /** Another reader, which shares no code with ours, finds the same rows. */
  async compareWithIcebird(): Promise<void> {
    const { bucket, reader, coverage } = this.world;
    const { view } = reader;
    if (view === undefined || view.rows.size === 0) return;
    const read = (path: string) => Promise.resolve(bucket.objects.get(keyOf(path))?.bytes ?? new Uint8Array());
    const found = rowKeys(await readTableRows({ metadata: view.metadata, read }));
    const expected = Array.from(view.rows, ({ shard, seq }) => `${shard}:${seq}`).toSorted();
    if (found.join("\n") !== expected.join("\n")) {
      breach("the table refers to what is there", `icebird reads ${found.length} rows, ours are ${expected.length}`);
    }
    coverage.note("read by icebird as well");
  }

  private isRestless(): boolean {
    return this.restlessness() !== undefined;
  }

  private restlessness(): string | undefined {
    const { world, producer } = this;
    if (producer.isWaiting) return "an append";
    if (world.network.hasCalls || world.network.hasGhosts) return "a call";
    for (const process of world.processes) if (process.isBusy) return process.name;
    for (const { table, shards } of world.deployments) {
      const state = world.check.tableState(table);
      if (state !== undefined && (state.staged.length > 0 || state.hasPending)) return `${table.name} has staged files`;
      for (const shard of shards.values()) {
        const appends = world.check.shardState(shard)?.appends ?? [];
        if (appends.some(({ isRiding }) => !isRiding)) return `${shard.name} has events`;
        if (shard.isChanged) return shard.name;
      }
    }
    return undefined;
  }

  /** Everything under way comes to its end, but for what waits for time to pass. */
  private async settle(): Promise<void> {
    const { world, random } = this;
    for (let steps = 0; steps < REST_STEPS; steps++) {
      await this.calm();
      if (world.processes.every((process) => !process.isBusy) && !world.network.hasCalls) return;
      if (!world.network.hasCalls) await this.act(random.chance(0.5) ? "timer" : "time");
    }
    breach("work comes to its end", "what is under way does not end");
  }

  private async calm(): Promise<void> {
    const { network } = this.world;
    while (network.hasCalls) await network.moveOne();
    while (network.hasGhosts) await network.moveGhost();
    await network.fireTimer();
  }

  private async verify(): Promise<void> {
    const { producer, world } = this;
    if (producer.failure !== undefined) throw producer.failure;
    await world.check.check();
    const { elapsedMs } = world.network;
    const isBusy = world.tables.some((table) => table.isBusy);
    this.busySinceMs = isBusy ? (this.busySinceMs ?? elapsedMs) : undefined;
    this.unfinishedSinceMs = this.isUnfinishedBesideASweeper() ? (this.unfinishedSinceMs ?? elapsedMs) : undefined;
  }

  private isUnfinishedBesideASweeper(): boolean {
    const { check, tables } = this.world;
    if (tables.length < 2) return false;
    return tables.some((table) => {
      const state = check.tableState(table);
      return state !== undefined && (state.staged.length > 0 || state.hasPending);
    });
  }

  private changeWeather(): void {
    const { random, world } = this;
    const weather = random.weighted({ calm: 3, mild: 4, wild: 3 });
    world.network.faults = weather === "calm" ? CALM : weather === "mild" ? MILD : WILD;
    world.diskFullRate = weather === "calm" ? 0 : 0.01;
    world.crashRate = weather === "calm" ? 0 : weather === "mild" ? 0.004 : 0.02;
  }

  /** @returns `undefined` where there was nothing to do */
  private async act(action: Action): Promise<string | undefined> {
    const { network } = this.world;
    switch (action) {
      case "call":
        return network.hasCalls ? network.moveOne() : undefined;
      case "ghost":
        return network.hasGhosts ? network.moveGhost() : undefined;
      case "append":
        return this.producer.appendNew();
      case "repeat":
        return this.producer.repeat();
      case "alarm":
        return this.fireAlarm();
      case "timer":
        return (await network.fireTimer()) ? "timer" : undefined;
      case "time":
        return this.passTime();
      case "skew":
        return this.changeSkew();
      case "flush":
        return this.operator.flush(this.random.pick(this.world.shardIndexes));
      case "reset":
        return this.operator.reset(this.random.pick(this.world.shardIndexes));
      case "replay":
        return this.producer.replayAny();
      case "commit":
        return this.operator.commit(this.random.pick(this.world.tables));
      case "compact":
        return this.operator.compact();
      case "expire":
        return this.operator.expire();
      case "recovery":
        return this.recover();
      case "crash":
        return this.crash();
      case "shards":
        this.producer.shards = this.random.int(1, SHARDS_MAX);
        this.coverage.note("number of shards changed");
        return `${this.producer.shards} shards`;
      case "damage":
        return this.damage.strike();
    }
  }

  private async fireAlarm(): Promise<string | undefined> {
    const nowMs = this.world.network.clock();
    const due = this.world.processes.filter(
      ({ alarmAtMs, isAlarmRunning }) => alarmAtMs !== undefined && alarmAtMs <= nowMs && !isAlarmRunning,
    );
    if (due.length === 0) return undefined;
    const process = this.random.pick(due);
    await process.fireAlarm();
    return `alarm of ${process.name}`;
  }

  private async passTime(): Promise<string | undefined> {
    const { random, world } = this;
    const { network } = world;
    const isBusy = this.busySinceMs !== undefined;
    const kind = random.weighted({ little: 4, next: 6, more: 2, days: isBusy ? 0 : 1.5 });
    let ms = random.magnitude(1, 2000);
    if (kind === "next") ms = Math.max(0, (this.nextDueMs() ?? 0) - network.elapsedMs);
    if (kind === "more") ms = random.magnitude(1000, 15 * MINUTE_MS);
    if (kind === "days") ms = random.magnitude(HOUR_MS, 60 * HOUR_MS);
    const { elapsedMs } = network;
    const busyLeftMs = isBusy ? (this.busySinceMs ?? 0) + BUSY_MAX_MS - elapsedMs : Number.POSITIVE_INFINITY;
    // What waits for a timer is let go on.
    if (busyLeftMs <= 0) ms = (network.nextTimerMs() ?? elapsedMs) - elapsedMs;
    else ms = Math.min(ms, busyLeftMs);
    const unfinishedLeftMs = (this.unfinishedSinceMs ?? Number.POSITIVE_INFINITY) + UNFINISHED_MAX_MS - elapsedMs;
    // An alarm that would finish it comes up all the same.
    ms = Math.min(ms, Math.max(unfinishedLeftMs, MINUTE_MS));
    if (ms <= 0) return undefined;
    if (ms > HOUR_MS) this.coverage.note("more than an hour passes");
    await network.advance(ms);
    return `${ms} ms pass`;
  }

  /** By the bucket's clock. */
  private nextDueMs(): number | undefined {
    const { network, processes } = this.world;
    const alarms = processes
      .filter(({ isAlarmRunning }) => !isAlarmRunning)
      .flatMap(({ alarmAtMs }) => (alarmAtMs === undefined ? [] : [alarmAtMs - network.skewMs]));
    const due = [...alarms, network.nextTimerMs() ?? Number.POSITIVE_INFINITY].filter(Number.isFinite);
    const later = due.filter((timeMs) => timeMs > network.elapsedMs);
    return later.length === 0 ? undefined : Math.min(...later);
  }

  /** After hours in which nothing was committed, the network is well again and everything wants to be done. */
  private async recover(): Promise<string | undefined> {
    const { network, own, check } = this.world;
    if (this.busySinceMs !== undefined) return undefined;
    const hasStaged = (check.tableState(own.table)?.staged.length ?? 0) > 0;
    await network.advance(this.random.int(HOUR_MS, 2 * HOUR_MS));
    network.faults = CALM;
    this.operator.expire();
    this.operator.commit(own.table);
    this.operator.compact();
    // Two compactions want the same files.
    if (this.random.chance(0.3)) this.operator.compact();
    if (hasStaged) this.coverage.note("commit, compaction and sweep after hours without any");
    // On their own for a while: a sweep makes many calls, and would seldom come to its end among others.
    for (let moves = 0; moves < RECOVERY_MOVES && network.hasCalls; moves++) {
      await network.moveOne();
      this.strikeWhatIsAimedAt();
      await this.verify();
    }
    return "hours pass, then a commit, a compaction and a sweep";
  }

  /** Between two turns; what strikes within one, the object sees to. */
  private strikeWhatIsAimedAt(): string | undefined {
    const { aim, processes } = this.world;
    if (aim?.isAfter("crash between turns", "clock set back", "clock set forward") !== true) return undefined;
    const { fault } = aim.cell;
    const process = processes.find((one) => one.isUp && aim.strikes(fault, one.phase()));
    if (process === undefined) return undefined;
    if (fault !== "crash between turns") return this.changeSkew(fault);
    process.crash();
    return `${process.name} dies`;
  }

  private changeSkew(wanted?: string): string {
    const { network } = this.world;
    const before = network.skewMs;
    const least = wanted === "clock set forward" ? Math.min(before + 1, SKEW_MAX_MS) : -SKEW_MAX_MS;
    const most = wanted === "clock set back" ? Math.max(before - 1, -SKEW_MAX_MS) : SKEW_MAX_MS;
    network.skewMs = this.random.int(least, most);
    const fault = network.skewMs < before ? "clock set back" : "clock set forward";
    this.coverage.note(fault);
    for (const process of this.world.processes) process.clockChanged(fault);
    return `clock is off by ${network.skewMs} ms`;
  }

  private crash(): string | undefined {
    const up = this.world.processes.filter(({ isUp }) => isUp);
    if (up.length === 0) return undefined;
    // Whoever is busy loses more.
    const busy = up.filter(({ isBusy }) => isBusy);
    const process = this.random.pick(busy.length > 0 ? busy : up);
    process.crash();
    return `${process.name} dies`;
  }
}
