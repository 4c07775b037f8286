/**
 * A nightly run with threads that are none: what it asks of them, and that nothing they do loses results.
 */
import { EventEmitter } from "node:events";

import { describe, expect, it } from "vitest";

import { UsageError, type SeedRange } from "../simulation/many-seeds.ts";
import { runNightly, tasksOf, type NightlyDeps } from "../simulation/nightly/nightly.ts";
import { readOptions } from "../simulation/nightly/options.ts";
import { SeedPool, type Thread } from "../simulation/nightly/pool.ts";
import type { Failure, Outcome, Task, ThreadMessage } from "../simulation/nightly/tasks.ts";

const FAILURE: Failure = { half: "stream", seed: 3, steps: 2, message: "B1: lost", replay: "npm run sim -- --seed 3" };
const OPTIONS = readOptions(["--seeds", "1..75", "--only", "stream", "--no-mutants", "--workers", "2"]);
const TASKS = tasksOf(OPTIONS, () => []);

function outcomeOf(task: Task): Outcome {
  const found = { steps: 1, busyMs: 1, notes: [], strikes: [], failures: [] };
  if (task.kind === "seeds") return { kind: "seeds", half: task.half, seeds: task.last - task.first + 1, ...found };
  return { ...task, finding: undefined };
}

/** A thread that does with a task what it is told to. */
class FakeThread extends EventEmitter implements Thread {
  isTerminated = false;
  private readonly act: (thread: FakeThread, task: Task) => void;

  constructor(act: (thread: FakeThread, task: Task) => void) {
    super();
    this.act = act;
  }

  postMessage(value: Task): void {
    queueMicrotask(() => this.act(this, value));
  }

  say(message: ThreadMessage): void {
    this.emit("message", message);
  }

  terminate(): Promise<number> {
    this.isTerminated = true;
    return Promise.resolve(1);
  }
}

interface Ran {
  readonly code: number;
  readonly results: readonly Record<string, unknown>[];
  readonly text: string;
  readonly threads: readonly FakeThread[];
}

async function run(act: (thread: FakeThread, task: Task) => void, deps: Partial<NightlyDeps> = {}): Promise<Ran> {
  const results: Record<string, unknown>[] = [];
  const lines: string[] = [];
  const threads: FakeThread[] = [];
  const newThread = () => {
    const thread = new FakeThread(act);
    threads.push(thread);
    return thread;
  };
  const code = await runNightly(OPTIONS, TASKS, {
    runTasks: (tasks, listener) => new SeedPool({ workers: 2, taskMaxMs: 20, newThread, ...listener }).run(tasks),
    isInterrupted: () => false,
    print: (text) => void lines.push(text),
    tell: (text) => void lines.push(text),
    write: (result) => void results.push({ ...result }),
    nowMs: () => 0,
    ...deps,
  });
  return { code, results, text: lines.join("\n"), threads };
}

const sound = (thread: FakeThread, task: Task) => thread.say({ kind: "outcome", outcome: outcomeOf(task) });

/** The second task goes wrong, after a failing seed. */
function wrong(how: (thread: FakeThread) => void): (thread: FakeThread, task: Task) => void {
  return (thread, task) => {
    if (task.kind !== "seeds" || task.first !== 26) return sound(thread, task);
    thread.say({ kind: "seed", seed: 30 });
    thread.say({ kind: "failure", failure: FAILURE });
    how(thread);
  };
}

describe("a nightly run", () => {
  it("ends with 0 where all is done and holds", async () => {
    const { code, results, threads } = await run(sound);
    expect(code).toBe(0);
    expect(results.at(-1)).toMatchObject({ ok: true, is_complete: true, seeds: { stream: 75 }, range: { last: 75 } });
    expect(threads.map(({ isTerminated }) => isTerminated)).toEqual([true, true]);
  });

  it.each<[string, "hung" | "died", (thread: FakeThread) => void]>([
    ["hangs", "hung", () => undefined],
    ["runs out of memory", "died", (thread) => thread.emit("error", new Error("out of memory"))],
    ["ends by itself", "died", (thread) => thread.emit("exit", 1)],
    ["cannot run its task", "died", (thread) => thread.say({ kind: "error", error: "there is no method" })],
  ])("goes on without a thread that %s, and keeps all that was found", async (_, kind, how) => {
    const { code, results, text, threads } = await run(wrong(how));
    expect(code).toBe(1);
    expect(results.at(-1)).toMatchObject({
      ok: false,
      seeds: { stream: 50 },
      failures: [FAILURE],
      troubles: [{ kind, seed: 30 }],
    });
    expect(text).toContain("stream seed 3 fails: npm run sim");
    expect(threads.every(({ isTerminated }) => isTerminated)).toBe(true);
  });

  it("tells of a failing seed before its task is done", async () => {
    const told: string[] = [];
    const isToldAtOnce: boolean[] = [];
    await run(
      (thread, task) => {
        thread.say({ kind: "failure", failure: FAILURE });
        isToldAtOnce.push(told.some((text) => text.includes("seed 3 fails")));
        sound(thread, task);
      },
      { tell: (text) => void told.push(text) },
    );
    expect(isToldAtOnce).toEqual([true, true, true]);
  });

  it("does not go on for ever where every thread dies", async () => {
    const options = readOptions(["--seeds", "1..2500", "--only", "lake", "--no-mutants"]);
    let asked = 0;
    const newThread = () =>
      new FakeThread((thread) => {
        asked++;
        thread.emit("error", new Error("no such file"));
      });
    const troubles: unknown[] = [];
    const listener = { onOutcome: () => undefined, onFailure: () => undefined };
    const onTrouble = (trouble: unknown) => void troubles.push(trouble);
    await new SeedPool({ workers: 2, taskMaxMs: 1000, newThread, onTrouble, ...listener }).run(
      tasksOf(options, () => []),
    );
    expect(asked).toBeLessThan(25);
    expect(troubles).toHaveLength(asked);
  });

  it("writes its results where the pool itself breaks, and when it is interrupted", async () => {
    const broken = await run(sound, { runTasks: () => Promise.reject(new Error("no threads")) });
    expect(broken.code).toBe(1);
    expect(broken.results.at(-1)).toMatchObject({ ok: false, is_complete: false });
    expect(broken.text).toContain("THE RUN BROKE OFF: Error: no threads");
    const interrupted = await run(sound, { isInterrupted: () => true });
    expect(interrupted.code).toBe(130);
    expect(interrupted.results.at(-1)).toMatchObject({ ok: false, is_complete: false });
  });
});

function rangeOf(...args: string[]): SeedRange {
  return readOptions(args, Date.UTC(2026, 10, 21, 23)).range;
}

describe("the seeds of a night", () => {
  it("are the same each night, unless moved on by a date or a number", () => {
    expect(rangeOf()).toEqual({ first: 1, last: 20_000 });
    expect(rangeOf("--offset", "20000")).toEqual({ first: 20_001, last: 40_000 });
    const today = rangeOf("--from-date", "today");
    expect(today).toEqual(rangeOf("--from-date", "2026-11-21"));
    expect(today.last - today.first).toBe(19_999);
    expect(rangeOf("--from-date", "2026-11-22").first).toBe(today.last + 1);
    expect(rangeOf("--from-date", "1970-01-02", "--seeds", "5..14")).toEqual({ first: 15, last: 24 });
  });

  it.each([
    ["--from-date", "tomorrow"],
    ["--from-date", "2026-13-01"],
    ["--from-date", "2026-11-21", "--offset", "1"],
    ["--offset", "half"],
    ["--offset", "5000000000"],
  ])("are refused: %s %s", (...args) => {
    expect(() => rangeOf(...args)).toThrow(UsageError);
  });
});
