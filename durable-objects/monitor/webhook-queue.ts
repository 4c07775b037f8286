/**
 * Messages on their way to the alert webhook: kept in storage, sent one after the other, tried again with
 * growing waits.
 *
 * - W1 a message is sent until it is taken, or given up after {@link TRIES_MAX} tries, and that is told; also
 *   across restarts. One that was taken in the moment of a crash is sent again, under the same id.
 * - W2 messages about one alert go in their order: a later one waits until the one before was taken or given up. Or
 *   its receiver would end with an alert that fires, and is over.
 */
import type { WebhookSettings } from "../../protocol/monitor-settings.ts";
import { backoffMs, type BackoffSettings } from "../backoff.ts";
import { earliest } from "../earliest.ts";
import { aboutOf, sendWebhook, type WebhookMessage } from "./webhook.ts";

export const TRIES_MAX = 8;
const BACKOFF: BackoffSettings = { firstMs: 10_000, maxMs: 1_800_000 };
/** Whoever waits for a delivery, and looks only afterwards, waits no longer. */
const RUN_MAX_MS = 20_000;
/** More than that wait for nobody: the oldest are given up. */
const WAITING_MAX = 100;

export interface WaitingMessage extends WebhookMessage {
  /** Tries that were begun. */
  readonly tries: number;
  readonly nextAtMs: number;
}

export interface WebhookQueueDeps {
  /** `undefined`: there is no webhook, and nothing is kept for it. */
  readonly settings: WebhookSettings | undefined;
  readonly store: { putMessage(message: WaitingMessage): void; dropMessage(id: string): void };
  readonly fetch: typeof fetch;
  readonly clock: () => number;
  /** 0 to 1. */
  readonly random: () => number;
  readonly onGivenUp: (message: { readonly id: string; readonly tries: number; readonly reason: string }) => void;
}

export class WebhookQueue {
  private readonly deps: WebhookQueueDeps;
  /** The oldest first. */
  private readonly waiting: Map<string, WaitingMessage>;
  private running: Promise<void> | undefined;

  constructor(deps: WebhookQueueDeps, waiting: readonly WaitingMessage[] = []) {
    this.deps = deps;
    this.waiting = new Map(waiting.map((message) => [message.id, message]));
  }

  get size(): number {
    return this.waiting.size;
  }

  /** Keeps it for the next {@link deliverDue}; within the caller's transaction. */
  add(message: WebhookMessage): void {
    if (this.deps.settings === undefined) return;
    this.put({ ...message, tries: 0, nextAtMs: this.deps.clock() });
    for (const oldest of [...this.waiting.values()].slice(0, Math.max(0, this.waiting.size - WAITING_MAX))) {
      this.giveUp(oldest, "too many wait");
    }
  }

  dueAtMs(): number | undefined {
    if (this.deps.settings === undefined) return undefined;
    return earliest(this.listFirst().map(({ nextAtMs }) => nextAtMs));
  }

  /** Sends what is due. One at a time, whoever asks. Never throws for what a webhook does. */
  async deliverDue(): Promise<void> {
    this.running ??= this.run().finally(() => {
      this.running = undefined;
    });
    return this.running;
  }

  private async run(): Promise<void> {
    const { settings, clock } = this.deps;
    if (settings === undefined) return;
    const startedAtMs = clock();
    // What is left after that time is due, and the next run's.
    while (clock() - startedAtMs < RUN_MAX_MS) {
      const message = this.listFirst().find(({ nextAtMs }) => nextAtMs <= clock());
      if (message === undefined) return;
      await this.attempt(settings, message);
    }
  }

  /** The oldest about each alert. */
  private listFirst(): WaitingMessage[] {
    const first = new Map<string, WaitingMessage>();
    for (const message of this.waiting.values()) {
      const about = aboutOf(message);
      if (!first.has(about)) first.set(about, message);
    }
    return [...first.values()];
  }

  private async attempt(settings: WebhookSettings, message: WaitingMessage): Promise<void> {
    const { fetch, clock, random } = this.deps;
    const tries = message.tries + 1;
    // Before it is sent: a crash in the middle is a try, too.
    const begun = { ...message, tries, nextAtMs: clock() + backoffMs(tries, random(), BACKOFF) };
    this.put(begun);
    const outcome = await sendWebhook(settings, message, { fetch, nowMs: clock() });
    if (outcome.ok) this.drop(message.id);
    else if (outcome.isGone || tries >= TRIES_MAX) this.giveUp(begun, outcome.reason);
  }

  private giveUp({ id, tries }: WaitingMessage, reason: string): void {
    this.drop(id);
    this.deps.onGivenUp({ id, tries, reason });
  }

  private put(message: WaitingMessage): void {
    this.deps.store.putMessage(message);
    this.waiting.set(message.id, message);
  }

  private drop(id: string): void {
    this.deps.store.dropMessage(id);
    this.waiting.delete(id);
  }
}
