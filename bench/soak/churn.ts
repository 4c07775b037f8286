/**
 * Readers that behave as readers do: most read to the end, many are cut and come back, some leave for ever, some
 * cancel, some never come, and some sources fall silent behind a reader that has left.
 */
import { setTimeout as wait } from "node:timers/promises";

import type { Random } from "../../test/fixtures/process-random.ts";
import { benchDialect, type StreamScript } from "../gate/dialect.ts";
import { GateReader, type ReaderPlan } from "../gate/gate-reader.ts";
import type { SampleLog } from "../gate/samples.ts";
import { scriptQuery } from "../lib/source-script.ts";

const BEHAVIOURS = ["read", "cut", "leave", "cancel", "unread", "abandoned"] as const;
export type Behaviour = (typeof BEHAVIOURS)[number];

/** In hundredths. */
const WEIGHTS: Readonly<Record<Behaviour, number>> = {
  read: 30,
  cut: 40,
  leave: 10,
  cancel: 10,
  unread: 5,
  abandoned: 5,
};
const MIN_EVENTS = 10;
const MAX_EVENTS = 50;
const RATE = 50;
const EVENT_BYTES = 200;
const MAX_CUT_DELAY_MS = 40;
const SILENCE_MS = 30_000;
const RAMP_MS = 2000;

export interface ChurnParts {
  /** Address of the route. */
  readonly route: string;
  readonly log: SampleLog;
  readonly random: Random;
}

export class Churn {
  /** Streams by what their readers did; those that are over. */
  readonly done: Record<Behaviour, number> = { read: 0, cut: 0, leave: 0, cancel: 0, unread: 0, abandoned: 0 };
  /** Calls that were not answered as they should be. */
  readonly refusals: string[] = [];
  private readonly parts: ChurnParts;
  private readonly readers = new Set<GateReader>();
  private resumes = 0;
  private marks = 0;
  private isStopped = false;

  constructor(parts: ChurnParts) {
    this.parts = parts;
  }

  get streams(): number {
    return Object.values(this.done).reduce((sum, count) => sum + count, 0);
  }

  /** So many readers at once, each followed by another; ends with none under way. */
  async run(readers: number, seconds: number): Promise<void> {
    const isOver = () => this.isStopped || this.parts.log.nowMs() >= seconds * 1000;
    await Promise.all(
      Array.from({ length: readers }, async (_, at) => {
        await wait((RAMP_MS * at) / readers);
        while (!isOver()) await this.one(this.choose());
      }),
    );
  }

  /** No more begin, and whoever reads leaves. */
  stop(): void {
    this.isStopped = true;
    for (const reader of this.readers) reader.close();
  }

  /** To be called each second: nobody waits for what does not come. */
  checkSilence(): void {
    for (const reader of this.readers) reader.checkSilence(SILENCE_MS);
  }

  private choose(): Behaviour {
    let left = this.parts.random.int(1, 100);
    for (const behaviour of BEHAVIOURS) {
      left -= WEIGHTS[behaviour];
      if (left <= 0) return behaviour;
    }
    return "read";
  }

  private async one(behaviour: Behaviour): Promise<void> {
    const { random } = this.parts;
    const script = { events: random.int(MIN_EVENTS, MAX_EVENTS), rate: RATE, bytes: EVENT_BYTES };
    if (behaviour === "read" || behaviour === "cut") await this.read(script, behaviour === "cut");
    else if (behaviour === "unread") await this.startOnly(script);
    else await this.readSome(script, behaviour);
    this.done[behaviour]++;
  }

  private async read(unmarked: StreamScript, isCut: boolean): Promise<void> {
    const script = { ...unmarked, mark: `s${++this.marks}` };
    const { random, log, route } = this.parts;
    const cut = () => ({ afterEvents: random.int(0, script.events), delayMs: random.int(0, MAX_CUT_DELAY_MS) });
    const plan: ReaderPlan = {
      startUrl: `${route}/stream?${benchDialect.startQuery(script)}`,
      resumeUrl: `${route}/resume`,
      headers: {},
      dialect: benchDialect,
      script,
      cuts: isCut ? [cut()] : [],
    };
    const reader = new GateReader(plan, { log, nextResume: () => this.resumes++ });
    this.readers.add(reader);
    await reader.over;
    this.readers.delete(reader);
  }

  /** Begun, and never read. */
  private async startOnly(script: StreamScript): Promise<void> {
    await this.call("unread", 202, () =>
      fetch(this.startUrl(script), { method: "POST", headers: { Prefer: "respond-async" } }),
    );
  }

  private async readSome(script: StreamScript, behaviour: "leave" | "cancel" | "abandoned"): Promise<void> {
    const leaving = new AbortController();
    const response = await this.call(behaviour, 200, () =>
      fetch(this.startUrl(script, behaviour === "abandoned"), { method: "POST", signal: leaving.signal }),
    );
    if (response === undefined) return;
    await wait(this.parts.random.int(0, (script.events / RATE) * 1000));
    const token = response.headers.get("x-resume-token") ?? "";
    if (behaviour === "cancel") {
      const cancelled = await this.call("cancel", 200, () =>
        fetch(`${this.parts.route}/stream`, { method: "DELETE", headers: { "X-Resume-Token": token } }),
      );
      await cancelled?.arrayBuffer();
    }
    leaving.abort();
    await response.body?.cancel().catch(() => undefined);
  }

  private startUrl({ events, rate, bytes }: StreamScript, staysOpen = false): string {
    return `${this.parts.route}/stream?${scriptQuery({ events, rate, bytes, batch: 1, isHeld: false, staysOpen })}`;
  }

  private async call(what: Behaviour, status: number, send: () => Promise<Response>): Promise<Response | undefined> {
    const response = await send().catch((error: unknown) => String(error));
    if (typeof response !== "string" && response.status === status) return response;
    this.refusals.push(`${what}: ${typeof response === "string" ? response : `status ${response.status}`}`);
    return undefined;
  }
}
