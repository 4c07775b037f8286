/**
 * When an alert fires, changes its severity and is resolved. Pure: a state, a reading and the time in, the next
 * state and what is to be told out.
 *
 * - A1 it fires at a level only after that level has been exceeded for the alert's time, at every look.
 * - A2 it leaves a level only after it has been clearly back from it for so long; what hovers changes nothing.
 * - A3 each change is told once: firing, another severity, resolution.
 */
import { SEVERITIES, type AlertName, type Severity } from "../../protocol/monitor-report.ts";
import type { AlertReading, LevelReading } from "./alert-rules.ts";

/** What fires. */
interface Firing {
  readonly severity: Severity;
  readonly threshold: number;
  readonly sinceMs: number;
}

export interface AlertState {
  readonly alert: AlertName;
  readonly subject: string;
  readonly firing: Firing | null;
  /** Since when each level has been exceeded. */
  readonly overSinceMs: Readonly<Partial<Record<Severity, number>>>;
  /** Since when the level that fires has been clear. */
  readonly clearSinceMs: number | null;
  /** As of the last change. */
  readonly value: number | null;
  readonly message: string;
}

export interface AlertChange {
  readonly kind: "fired" | "resolved";
  readonly alert: AlertName;
  readonly subject: string;
  readonly severity: Severity;
  readonly threshold: number;
  readonly value: number | null;
  readonly message: string;
  readonly sinceMs: number;
}

export interface AlertStep {
  /** `undefined`: nothing is held against it. */
  readonly state: AlertState | undefined;
  readonly change: AlertChange | undefined;
}

export function stepAlert(
  before: AlertState | undefined,
  reading: AlertReading,
  { nowMs, clearMs }: { readonly nowMs: number; readonly clearMs: number },
): AlertStep {
  const overSinceMs = heldSince(before, reading, nowMs);
  const firing = before?.firing ?? null;
  const due = reading.levels.findLast(({ severity }) => isHeld(overSinceMs[severity], nowMs, reading.forMs));
  const common = { alert: reading.alert, subject: reading.subject, value: reading.value, message: reading.message };
  const told = (kind: AlertChange["kind"], { severity, threshold, sinceMs }: Firing): AlertChange => {
    return { kind, ...common, severity, threshold, sinceMs };
  };
  const next = (now: Firing | null, clearSinceMs: number | null): AlertState | undefined => {
    const isQuiet = now === null && Object.keys(overSinceMs).length === 0;
    return isQuiet ? undefined : { ...common, firing: now, overSinceMs, clearSinceMs };
  };

  if (due !== undefined && (firing === null || rank(due.severity) > rank(firing.severity))) {
    const raised = { severity: due.severity, threshold: due.threshold, sinceMs: firing?.sinceMs ?? nowMs };
    return { state: next(raised, null), change: told("fired", raised) };
  }
  if (firing === null) return { state: next(null, null), change: undefined };
  const level = reading.levels.find(({ severity }) => severity === firing.severity);
  // A level that is not configured any more cannot be exceeded.
  const clearSinceMs = level === undefined || level.isClear ? (before?.clearSinceMs ?? nowMs) : null;
  if (!isHeld(clearSinceMs ?? undefined, nowMs, clearMs))
    return { state: next(firing, clearSinceMs), change: undefined };
  const below = milderLevel(reading.levels, firing.severity);
  if (below === undefined) return { state: next(null, null), change: told("resolved", firing) };
  const fallen = { severity: below.severity, threshold: below.threshold, sinceMs: firing.sinceMs };
  return { state: next(fallen, null), change: told("fired", fallen) };
}

/** What was pending while nobody looked has not held: only what fires is kept. */
export function withoutPending(state: AlertState): AlertState | undefined {
  return state.firing === null ? undefined : { ...state, overSinceMs: {}, clearSinceMs: null };
}

export function alertKey({ alert, subject }: Pick<AlertReading, "alert" | "subject">): string {
  return `${alert} ${subject}`;
}

/** An alert of which nothing is read any more: its shard is gone. */
export function goneReading({ alert, subject }: AlertState): AlertReading {
  return { alert, subject, value: null, levels: [], forMs: 0, message: `${subject} is not there any more.` };
}

/** An alert of which nothing can be read just now: what fires goes on, as it was last told; what was pending has not held. */
export function silentReading({ alert, subject, value, message, firing }: AlertState): AlertReading {
  const levels = firing === null ? [] : [{ ...firing, isOver: false, isClear: false }];
  return { alert, subject, value, levels, forMs: 0, message };
}

function heldSince(before: AlertState | undefined, { levels }: AlertReading, nowMs: number): AlertState["overSinceMs"] {
  const over = levels.filter(({ isOver }) => isOver);
  return Object.fromEntries(over.map(({ severity }) => [severity, before?.overSinceMs[severity] ?? nowMs]));
}

function isHeld(sinceMs: number | undefined, nowMs: number, forMs: number): boolean {
  return sinceMs !== undefined && nowMs - sinceMs >= forMs;
}

/** The most severe level below that it is not clearly back from. */
function milderLevel(levels: readonly LevelReading[], severity: Severity): LevelReading | undefined {
  return levels.findLast((level) => rank(level.severity) < rank(severity) && !level.isClear);
}

function rank(severity: Severity): number {
  return SEVERITIES.indexOf(severity);
}
