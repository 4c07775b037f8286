/**
 * Everything asynchronous of the simulated lake: calls to the bucket, to the catalog and between objects,
 * timers, and the two clocks. Nothing happens by itself: the simulation picks what comes next.
 *
 * A call is asked, arrives (then its effect happens), is answered, and the answer is delivered. Between
 * these, and instead of them, anything may go wrong that can go wrong on a network.
 */
import type { Coverage } from "../coverage.ts";
import type { Random } from "../random.ts";
import type { Aim } from "./aims.ts";

/** What no call outlasts, as the objects' own limits have it. */
const CALL_TIMEOUT_MS = 30_000;
/** How long after its caller has given up a call may still take effect. */
const LATE_EFFECT_MAX_MS = 120_000;
const START_MS = Date.UTC(2026, 10, 21);

/** Whoever asks: one life of an object, or a producer. */
export interface Caller {
  readonly name: string;
  readonly isAlive: boolean;
  /** Runs what an answer sets off, until all is quiet. */
  run(work: () => void, cause: string): Promise<void>;
  /** Sends a call on its way once what was written before it is durable. */
  send(call: Call): void;
}

export interface Reply {
  ok(value: unknown): void;
  fail(error: Error): void;
}

/** Lets a call arrive: makes its effect happen and replies, now or later. */
type Arrival = (reply: Reply) => void | Promise<void>;

export interface Call {
  readonly caller: Caller;
  /** What kind of call it is, for coverage and traces. */
  readonly label: string;
  readonly arrive: Arrival;
  /** Whether the other side may ask for fewer writes. */
  readonly isThrottled: boolean;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
  askedAtMs: number;
  state: "asked" | "arrived" | "answered" | "settled";
  answer: { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly error: Error } | undefined;
}

/** Chances of what goes wrong with one call, each 0 to 1. */
export interface FaultRates {
  readonly lateAnswer: number;
  readonly failBefore: number;
  readonly failAfter: number;
  readonly timeout: number;
  readonly throttle: number;
  /** That of many objects to be deleted only some are. */
  readonly partialDelete: number;
}

export const NO_FAULTS: FaultRates = {
  lateAnswer: 0,
  failBefore: 0,
  failAfter: 0,
  timeout: 0,
  throttle: 0,
  partialDelete: 0,
};

interface Timer {
  readonly caller: Caller;
  readonly dueAtMs: number;
  readonly resolve: () => void;
}

/** Calls whose caller is gone or has given up, and that may still arrive. */
interface Ghost {
  readonly call: Call;
  readonly untilMs: number;
}

export class Network {
  faults: FaultRates = NO_FAULTS;
  /** Runs evenly, as the bucket's own clock does. */
  elapsedMs = START_MS;
  /** By how much the objects' clock is off. */
  skewMs = 0;
  private calls: Call[] = [];
  private ghosts: Ghost[] = [];
  private timers: Timer[] = [];
  private readonly random: Random;
  private readonly coverage: Coverage;
  private readonly aim: Aim | undefined;

  constructor(random: Random, coverage: Coverage, aim: Aim | undefined) {
    this.random = random;
    this.coverage = coverage;
    this.aim = aim;
  }

  /** The objects' clock. */
  readonly clock = (): number => this.elapsedMs + this.skewMs;

  ask<T>(caller: Caller, label: string, arrive: Arrival, isThrottled = false): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      caller.send({
        caller,
        label,
        arrive,
        isThrottled,
        // The value is what the port's own `arrive` replied.
        resolve: (value) => resolve(value as T),
        reject,
        askedAtMs: this.elapsedMs,
        state: "asked",
        answer: undefined,
      });
    });
  }

  /** How many of so many deletes are done: all of them, or some before the bucket fails. */
  countDeleted(wanted: number): number {
    if (!this.random.chance(this.faults.partialDelete)) return wanted;
    this.coverage.note("some of many objects deleted");
    return this.random.int(0, wanted - 1);
  }

  /** The call is on its way. */
  push(call: Call): void {
    this.calls.push(call);
  }

  sleep(caller: Caller, ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.timers.push({ caller, dueAtMs: this.elapsedMs + ms, resolve });
    });
  }

  get hasCalls(): boolean {
    return this.calls.some((call) => call.state !== "arrived");
  }

  get hasGhosts(): boolean {
    return this.ghosts.length > 0;
  }

  callsOf(caller: Caller): readonly Call[] {
    return this.calls.filter((call) => call.caller === caller);
  }

  hasTimersOf(caller: Caller): boolean {
    return this.timers.some((timer) => timer.caller === caller);
  }

  nextTimerMs(): number | undefined {
    const due = this.timers.filter(({ caller }) => caller.isAlive).map(({ dueAtMs }) => dueAtMs);
    return due.length === 0 ? undefined : Math.min(...due);
  }

  /** A caller has died: its calls may still arrive, and nobody hears the answers. */
  abandon(caller: Caller): void {
    for (const call of this.calls) {
      if (call.caller !== caller) continue;
      if (call.state === "asked") this.haunt(call);
      call.state = call.state === "asked" ? "settled" : call.state;
    }
    this.calls = this.calls.filter((call) => call.caller !== caller);
    this.timers = this.timers.filter((timer) => timer.caller !== caller);
  }

  /** One call makes one move; which one and which move chance decides. @returns what happened */
  async moveOne(): Promise<string> {
    const movable = this.calls.filter(({ state }) => state !== "arrived");
    const call = this.random.pick(movable);
    return call.state === "asked" ? this.moveAsked(call) : this.moveAnswered(call);
  }

  async fireTimer(): Promise<boolean> {
    const due = this.timers.filter(({ dueAtMs }) => dueAtMs <= this.elapsedMs);
    if (due.length === 0) return false;
    const timer = this.random.pick(due);
    this.timers = this.timers.filter((other) => other !== timer);
    if (timer.caller.isAlive) await timer.caller.run(timer.resolve, "timer");
    return true;
  }

  /** A call that was given up long ago takes effect after all, or never will. */
  async moveGhost(): Promise<string> {
    const ghost = this.random.pick(this.ghosts);
    this.ghosts = this.ghosts.filter((other) => other !== ghost);
    if (this.random.chance(0.3)) return `late ${ghost.call.label} never arrives`;
    this.coverage.note(`effect after its caller gave up: ${ghost.call.label}`);
    this.coverage.strike(callState(ghost.call), "late effect");
    await ghost.call.arrive({ ok: () => undefined, fail: () => undefined });
    return `late ${ghost.call.label} arrives`;
  }

  /** Time passes evenly. Calls under way for too long time out, and late effects happen before. */
  async advance(ms: number): Promise<void> {
    const target = this.elapsedMs + ms;
    while (this.ghosts.some(({ untilMs }) => untilMs < target)) await this.moveGhost();
    this.elapsedMs = target;
    // Those there are now: whatever is settled meanwhile leaves another list behind.
    for (const call of this.calls) {
      if (call.state === "settled" || target - call.askedAtMs <= CALL_TIMEOUT_MS) continue;
      // What was under way for longer than any late effect has had its effect, or never will.
      if (call.state === "asked" && target - call.askedAtMs < LATE_EFFECT_MAX_MS) this.haunt(call);
      await this.refuse(call, new Error(`${call.label} took longer than ${CALL_TIMEOUT_MS} ms`));
      this.coverage.note("call timed out");
      this.coverage.strike(callState(call), "given up by its caller");
    }
  }

  private async moveAsked(call: Call): Promise<string> {
    const { random, faults } = this;
    if (random.chance(faults.failBefore) || this.isAimedAt(call, "fails before its effect")) {
      this.coverage.strike(callState(call), "fails before its effect");
      await this.refuse(call, new Error("the network failed"));
      return `${call.label} fails before its effect`;
    }
    if (random.chance(faults.timeout) || this.isAimedAt(call, "given up by its caller", "late effect")) {
      this.coverage.strike(callState(call), "given up by its caller");
      this.haunt(call);
      await this.refuse(call, new Error(`${call.label} took too long`));
      return `${call.label} is given up`;
    }
    if (call.isThrottled && (random.chance(faults.throttle) || this.isAimedAt(call, "throttled"))) {
      this.coverage.note("throttled");
      this.coverage.strike(callState(call), "throttled");
      call.state = "answered";
      call.answer = { ok: true, value: "throttled" };
      await this.deliver(call);
      return `${call.label} is throttled`;
    }
    call.state = "arrived";
    await call.arrive({
      ok: (value) => this.reply(call, { ok: true, value }),
      fail: (error) => this.reply(call, { ok: false, error }),
    });
    // `arrive` may have replied: the compiler cannot see that.
    const state: string = call.state;
    if (state !== "answered" || random.chance(faults.lateAnswer) || this.isAimedAt(call, "late answer")) {
      if (state === "answered") this.coverage.strike(callState(call), "late answer");
      return `${call.label} arrives`;
    }
    return `${call.label} arrives and ${await this.moveAnswered(call)}`;
  }

  private async moveAnswered(call: Call): Promise<string> {
    if (this.random.chance(this.faults.failAfter) || this.isAimedAt(call, "answer lost")) {
      this.coverage.note(`effect without an answer: ${call.label}`);
      this.coverage.strike(callState(call), "answer lost");
      await this.refuse(call, new Error("the answer was lost"));
      return `${call.label}: the answer is lost`;
    }
    await this.deliver(call);
    return `${call.label} is answered`;
  }

  private isAimedAt(call: Call, ...faults: readonly string[]): boolean {
    const { aim } = this;
    if (aim === undefined) return false;
    const state = callState(call);
    return faults.some((fault) => aim.strikes(fault, state) || (fault === "answer lost" && aim.loses(state)));
  }

  private reply(call: Call, answer: NonNullable<Call["answer"]>): void {
    if (call.state !== "arrived") return;
    call.state = "answered";
    call.answer = answer;
  }

  private async deliver(call: Call): Promise<void> {
    const { answer } = call;
    this.settle(call);
    if (!call.caller.isAlive || answer === undefined) return;
    await call.caller.run(() => {
      if (answer.ok) call.resolve(answer.value);
      else call.reject(answer.error);
    }, call.label);
  }

  private async refuse(call: Call, error: Error): Promise<void> {
    this.settle(call);
    if (call.caller.isAlive) await call.caller.run(() => call.reject(error), call.label);
  }

  private settle(call: Call): void {
    call.state = "settled";
    this.calls = this.calls.filter((other) => other !== call);
  }

  private haunt(call: Call): void {
    this.ghosts.push({ call, untilMs: this.elapsedMs + LATE_EFFECT_MAX_MS });
  }
}

/** What a call is about, for the coverage of states by faults. */
function callState({ label }: Pick<Call, "label">): string {
  return `call: ${label}`;
}

/** Until no microtask is left: nothing under test waits for anything else but calls and timers. */
export function quiet(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
