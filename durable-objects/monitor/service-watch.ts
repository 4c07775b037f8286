/**
 * The monitor as a whole: looks at shards and table while anything happens, keeps the minutes, tells alerts.
 * What is platform comes in: storage, alarm, clock, randomness, network.
 *
 * - M1 an alert that fires is told once, also across restarts: that it fires and its message are one write.
 * - M2 an idle service costs nothing: with nothing happening and nothing firing no alarm is set.
 */
import type { AlertReport, MonitorReport, TestAlertReport } from "../../protocol/monitor-report.ts";
import type { MonitorSettings } from "../../protocol/monitor-settings.ts";
import { shardName } from "../../protocol/shard-choice.ts";
import type { LakeTelemetry } from "../../protocol/telemetry.ts";
import type { Alarms } from "../alarms.ts";
import { AlertBook, toAlert, type AlertBookChange } from "./alert-book.ts";
import { readAlerts } from "./alert-rules.ts";
import type { AlertChange } from "./alert-state.ts";
import { metricsText } from "./metrics.ts";
import { forgottenUpto, Minutes, spanOf, type Minute } from "./minutes.ts";
import type { MonitorRecord, MonitorStore } from "./monitor-store.ts";
import { monitorReport } from "./report.ts";
import { gaugesOf, type Sample, type ShardAnswer, type TableAnswer } from "./sample.ts";
import { isNothing, Tallies, type TallyChange } from "./tally.ts";
import { TakenCount } from "./taken-count.ts";
import { sendWebhook, webhookBody } from "./webhook.ts";
import { WebhookQueue } from "./webhook-queue.ts";
import { SlidingWindow } from "./window.ts";

/** How long nothing must happen before the monitor stops looking. */
export const IDLE_MS = 600_000;
/** Whoever asks is told what was found so recently. */
const FRESH_MS = 2000;
/** Intervals without a look after which what was about to fire begins anew. */
const PENDING_INTERVALS = 3;

/** One look at all shards and the table; never rejects. A shard that did not answer has no words of its own. */
export interface Look {
  readonly shards: readonly ShardAnswer[];
  /** Whether there is no other shard, as far as anybody knows. */
  readonly isComplete: boolean;
  readonly table: TableAnswer;
}

export interface ServiceWatchDeps {
  readonly store: MonitorStore;
  readonly settings: MonitorSettings;
  readonly alarms: Alarms;
  readonly look: () => Promise<Look>;
  readonly fetch: typeof fetch;
  readonly clock: () => number;
  /** 0 to 1. */
  readonly random: () => number;
  readonly randomUuid: () => string;
  /** To the log and into the table. */
  readonly telemetry: (event: LakeTelemetry) => void;
  /** To the log alone. */
  readonly log: (event: LakeTelemetry) => void;
}

/** What is in memory of what is stored. */
interface WatchState {
  record: MonitorRecord | undefined;
  readonly tallies: Tallies;
  readonly minutes: Minutes;
  readonly window: SlidingWindow;
  readonly book: AlertBook;
  readonly queue: WebhookQueue;
}

export class ServiceWatch {
  private readonly deps: ServiceWatchDeps;
  private state: WatchState;
  /** Last words, by shard index. */
  private readonly answers = new Map<number, ShardAnswer>();
  private readonly takenCount = new TakenCount();
  private sample: Sample | undefined;
  private looking: Promise<Sample> | undefined;
  private storedAtMs = 0;

  constructor(deps: ServiceWatchDeps) {
    this.deps = deps;
    this.state = loadState(deps);
  }

  /** Something happens in the service. */
  async wake(): Promise<void> {
    const nowMs = this.deps.clock();
    const record = { startedAtMs: nowMs, lastLookAtMs: 0, ...this.state.record, lastActivityAtMs: nowMs };
    this.deps.store.transaction(() => this.deps.store.putRecord(record));
    this.state.record = record;
    await this.arm();
  }

  async alarm(): Promise<void> {
    this.deps.alarms.noteFired();
    const dueAtMs = this.lookDueAtMs();
    if (dueAtMs !== undefined && dueAtMs <= this.deps.clock()) await this.look();
    await this.state.queue.deliverDue();
    await this.arm();
  }

  async overview(): Promise<MonitorReport> {
    const sample = await this.freshSample();
    const { record, minutes, book } = this.state;
    return monitorReport({
      sample,
      minutes: minutes.list(),
      alerts: book.report(),
      startedAtMs: record?.startedAtMs ?? sample.atMs,
      windowMs: this.deps.settings.alerts.windowMs,
    });
  }

  async metrics(): Promise<string> {
    const sample = await this.freshSample();
    const { tallies, book, queue } = this.state;
    return metricsText({ sample, sums: tallies.total(), alerts: book.report(), webhooksWaiting: queue.size });
  }

  async alerts(): Promise<AlertReport> {
    await this.freshSample();
    return this.state.book.report();
  }

  /** Tells an alert that means nothing, to see whether alerts arrive; at once, and once. */
  async testAlert(): Promise<TestAlertReport> {
    const { settings, clock, log, fetch, randomUuid } = this.deps;
    const nowMs = clock();
    const at = new Date(nowMs).toISOString();
    const message = "An operator wants to see whether alerts arrive.";
    const test = { alert: "Test", severity: "info", subject: "service", value: null, threshold: 0, message } as const;
    log({ event: "AlertFired", ...test });
    if (settings.webhook === undefined) return { has_webhook: false, delivered: false, status: null };
    const body = webhookBody("alert.test", { ...test, since: at, resolved_at: null, runbook: "RUNBOOK.md" }, at);
    const outcome = await sendWebhook(settings.webhook, { id: `msg_${randomUuid()}`, body }, { fetch, nowMs });
    return { has_webhook: true, delivered: outcome.ok, status: outcome.status };
  }

  private async freshSample(): Promise<Sample> {
    const { sample } = this;
    if (sample !== undefined && this.deps.clock() - sample.atMs < FRESH_MS) return sample;
    const looked = await this.look();
    await this.arm();
    return looked;
  }

  /** One look at a time, whoever wants it. */
  private async look(): Promise<Sample> {
    this.looking ??= this.lookOnce().finally(() => {
      this.looking = undefined;
    });
    return this.looking;
  }

  private async lookOnce(): Promise<Sample> {
    const { shards, ...look } = await this.deps.look();
    for (const answer of shards) this.note(answer);
    try {
      const known = [...this.answers.values()].toSorted((left, right) => left.index - right.index);
      return this.take({ ...look, shards: known });
    } catch (error) {
      // Storage refuses: what it does not have has not happened, and is found again.
      this.state = loadState(this.deps);
      throw error;
    }
  }

  /** A shard out of reach keeps its last words. */
  private note(answer: ShardAnswer): void {
    const known = answer.isReachable ? undefined : this.answers.get(answer.index);
    this.answers.set(answer.index, known === undefined ? answer : { ...known, isReachable: false });
  }

  /** One turn, and one write: what was found, what follows from it, and what is to be told of that. */
  private take({ shards, isComplete, table }: Look): Sample {
    const { clock, settings } = this.deps;
    const { tallies, minutes, book } = this.state;
    const nowMs = clock();
    let eventsTaken = 0;
    const grown = shards.flatMap((answer) => {
      const { index, digest } = answer;
      const change = digest === undefined ? undefined : tallies.take(index, digest.tally);
      eventsTaken += this.takenCount.take(answer, change);
      return change === undefined ? [] : [{ index, ...change }];
    });
    const minute = minutes.add(nowMs, { shards: grown, eventsTaken, gauges: gaugesOf(shards) });
    const window = this.state.window.add(nowMs, grown);
    const sample: Sample = { atMs: nowMs, shards, table, window };
    const subjects = new Set(shards.map(({ index }) => shardName(index)));
    const step = book.step(readAlerts(sample, settings.alerts), {
      nowMs,
      clearMs: settings.alerts.clearMs,
      hasSlept: this.hasSlept(nowMs),
      isGone: (subject) => isComplete && !subjects.has(subject),
    });
    const { startedAtMs = nowMs, lastActivityAtMs = 0 } = this.state.record ?? {};
    const hasGrown = grown.some((change) => !isNothing(change.grown));
    const record = { startedAtMs, lastLookAtMs: nowMs, lastActivityAtMs: hasGrown ? nowMs : lastActivityAtMs };
    // Of looks that find nothing new, however often somebody asks, few are worth a write.
    if (grown.length > 0 || step.states.size > 0 || nowMs - this.storedAtMs >= settings.intervalMs / 2) {
      this.storeLook({ record, grown, minute, step });
    }
    this.state.record = record;
    this.sample = sample;
    for (const change of step.changes) this.tell(change);
    return sample;
  }

  private storeLook({ record, grown, minute, step }: Findings): void {
    const { store } = this.deps;
    const nowMs = record.lastLookAtMs;
    store.transaction(() => {
      store.putRecord(record);
      for (const { index, tally, ended } of grown) {
        store.putTally(index, tally);
        if (ended !== undefined) store.putEnded(ended);
      }
      store.putMinute(minute, forgottenUpto(nowMs));
      for (const [key, state] of step.states) store.putAlert(key, state);
      for (const alert of step.resolved) store.addResolved(alert);
      for (const change of step.changes) this.enqueue(change, nowMs);
    });
    this.storedAtMs = nowMs;
  }

  private hasSlept(nowMs: number): boolean {
    const { intervalMs } = this.deps.settings;
    return nowMs - (this.state.record?.lastLookAtMs ?? 0) > PENDING_INTERVALS * intervalMs;
  }

  private enqueue(change: AlertChange, nowMs: number): void {
    const at = new Date(nowMs).toISOString();
    const isResolved = change.kind === "resolved";
    const body = webhookBody(`alert.${change.kind}`, toAlert(change, isResolved ? at : null), at);
    this.state.queue.add({ id: `msg_${this.deps.randomUuid()}`, body });
  }

  private tell({ kind, alert, severity, subject, value, threshold, message }: AlertChange): void {
    const event = kind === "fired" ? "AlertFired" : "AlertResolved";
    this.deps.telemetry({ event, alert, severity, subject, value, threshold, message });
  }

  /** `undefined`: nothing happens, and nothing fires. */
  private lookDueAtMs(): number | undefined {
    const { record, book } = this.state;
    if (record === undefined) return undefined;
    const isActive = this.deps.clock() - record.lastActivityAtMs < IDLE_MS;
    return isActive || !book.isQuiet ? record.lastLookAtMs + this.deps.settings.intervalMs : undefined;
  }

  private async arm(): Promise<void> {
    const nowMs = this.deps.clock();
    const lookAtMs = this.lookDueAtMs();
    const webhookAtMs = this.state.queue.dueAtMs();
    await this.deps.alarms.arm({
      look: lookAtMs === undefined ? undefined : Math.max(lookAtMs, nowMs),
      webhook: webhookAtMs === undefined ? undefined : Math.max(webhookAtMs, nowMs),
    });
  }
}

/** What one look has found, as it is stored. */
interface Findings {
  readonly record: MonitorRecord;
  readonly grown: readonly (TallyChange & { readonly index: number })[];
  readonly minute: Minute;
  readonly step: AlertBookChange;
}

function loadState(deps: ServiceWatchDeps): WatchState {
  const { settings, store, fetch, clock, random, telemetry } = deps;
  const stored = store.load();
  const before = stored.minutes.map((minute) => spanOf(minute, clock()));
  const queueDeps = {
    settings: settings.webhook,
    store,
    fetch,
    clock,
    random,
    onGivenUp: ({ id, tries, reason }: { id: string; tries: number; reason: string }) =>
      telemetry({ event: "AlertWebhookFailed", message_id: id, tries, reason }),
  };
  return {
    record: stored.record,
    tallies: new Tallies(stored.ended, stored.tallies),
    minutes: new Minutes(stored.minutes),
    window: new SlidingWindow(settings.alerts.windowMs, before),
    book: new AlertBook(stored.alerts, stored.recent),
    queue: new WebhookQueue(queueDeps, stored.messages),
  };
}
