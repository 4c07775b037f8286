/**
 * The alerts that fire and those that did: steps every alert with a sample's readings. Pure but for what it
 * holds.
 */
import type { Alert, AlertName, AlertReport } from "../../protocol/monitor-report.ts";
import type { AlertReading } from "./alert-rules.ts";
import {
  alertKey,
  goneReading,
  silentReading,
  stepAlert,
  withoutPending,
  type AlertChange,
  type AlertState,
} from "./alert-state.ts";

export const RECENT_ALERTS = 50;

/** What has to be stored of one step. */
export interface AlertBookChange {
  /** States that are others now; `undefined`: nothing is held any more. */
  readonly states: ReadonlyMap<string, AlertState | undefined>;
  readonly changes: readonly AlertChange[];
  /** What was resolved. */
  readonly resolved: readonly Alert[];
}

export interface AlertLook {
  readonly nowMs: number;
  readonly clearMs: number;
  /** Nobody has looked for a while: what was about to fire begins anew. */
  readonly hasSlept: boolean;
  /** Of what nothing is read: whether that is because it is not there any more. */
  readonly isGone: (subject: string) => boolean;
}

/** Sections of RUNBOOK.md. */
const SECTIONS: Readonly<Record<AlertName, string>> = {
  BufferFill: "buffer-fills",
  ResumeSuccess: "resumes-fail",
  TrimRate: "readers-see-gaps",
  FlushFailing: "flushes-fail",
  ShardUnreachable: "a-shard-does-not-answer",
  CatalogFailing: "the-catalog-fails",
  DeadLetters: "dead-letters",
  Degraded: "storage-fails",
  TelemetryDropped: "telemetry-is-dropped",
};

export class AlertBook {
  private readonly states: Map<string, AlertState>;
  /** The newest first. */
  private recent: readonly Alert[];

  constructor(states: Iterable<readonly [string, AlertState]> = [], recent: readonly Alert[] = []) {
    this.states = new Map(states);
    this.recent = recent;
  }

  /** Whether anything fires, or is about to. */
  get isQuiet(): boolean {
    return this.states.size === 0;
  }

  step(readings: readonly AlertReading[], look: AlertLook): AlertBookChange {
    const keys = new Set(readings.map(alertKey));
    const unread = [...this.states]
      .filter(([key]) => !keys.has(key))
      .map(([, state]) => (look.isGone(state.subject) ? goneReading(state) : silentReading(state)));
    const states = new Map<string, AlertState | undefined>();
    const changes: AlertChange[] = [];
    for (const reading of [...readings, ...unread]) {
      const key = alertKey(reading);
      const before = this.states.get(key);
      const held = before !== undefined && look.hasSlept ? withoutPending(before) : before;
      const { state, change } = stepAlert(held, reading, look);
      if (change !== undefined) changes.push(change);
      if (!isSameStanding(before, state)) states.set(key, state);
      // What it says now, also where nothing has to be stored.
      this.put(key, state);
    }
    const resolved = changes
      .filter(({ kind }) => kind === "resolved")
      .map((change) => toAlert(change, new Date(look.nowMs).toISOString()));
    this.recent = [...resolved.toReversed(), ...this.recent].slice(0, RECENT_ALERTS);
    return { states, changes, resolved };
  }

  report(): AlertReport {
    const firing = [...this.states.values()].flatMap((state) => {
      const { firing: now, ...rest } = state;
      return now === null ? [] : [toAlert({ ...rest, ...now }, null)];
    });
    return { firing, recent: this.recent };
  }

  private put(key: string, state: AlertState | undefined): void {
    if (state === undefined) this.states.delete(key);
    else this.states.set(key, state);
  }
}

export function toAlert(told: Omit<AlertChange, "kind">, resolvedAt: string | null): Alert {
  const { alert, severity, subject, value, threshold, message, sinceMs } = told;
  return {
    alert,
    severity,
    subject,
    value,
    threshold,
    since: new Date(sinceMs).toISOString(),
    resolved_at: resolvedAt,
    message,
    runbook: `RUNBOOK.md#${SECTIONS[alert]}`,
  };
}

/** Whether nothing of it would be missed after a restart. */
function isSameStanding(before: AlertState | undefined, after: AlertState | undefined): boolean {
  return standingOf(before) === standingOf(after);
}

function standingOf(state: AlertState | undefined): string {
  return state === undefined ? "" : JSON.stringify([state.firing, state.overSinceMs, state.clearSinceMs]);
}
