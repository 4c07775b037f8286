/**
 * What is new in the monitor's overview since the last look at it, as records of a tail. No I/O.
 */
import type { TelemetryRecord } from "./tail-events.ts";

/** The parts of the overview that grow. */
export interface Overview {
  readonly at: string;
  readonly now: Readonly<Record<string, unknown>>;
  readonly flushes?: readonly TimedEntry[];
  readonly commits?: readonly TimedEntry[];
  readonly admin_actions?: readonly TimedEntry[];
  readonly alerts?: { readonly firing: readonly AlertEntry[]; readonly recent: readonly AlertEntry[] };
}

type TimedEntry = Readonly<Record<string, unknown>> & { readonly at: string };
type AlertEntry = Readonly<Record<string, unknown>> & { readonly since: string; readonly resolved_at?: string | null };

export class OverviewChanges {
  private readonly seen = new Set<string>();
  private lastNow = "";
  private isFirst = true;

  /** The first look tells how things stand, and what fires; what happened before it is passed over. */
  take(overview: Overview): TelemetryRecord[] {
    const records = [
      ...entries("Flush", overview.flushes),
      ...entries("Commit", overview.commits),
      ...entries("AdminAction", overview.admin_actions),
      ...alertRecords(overview),
    ];
    const fresh = records.filter((record) => !this.seen.has(JSON.stringify(record)));
    this.seen.clear();
    for (const record of records) this.seen.add(JSON.stringify(record));
    const told = this.isFirst ? fresh.filter(({ event }) => event === "AlertFiring") : fresh;
    this.isFirst = false;
    const ordered = told.toSorted((left, right) => String(left["time"]).localeCompare(String(right["time"])));
    return [...ordered, ...this.nowIfChanged(overview)];
  }

  private nowIfChanged({ at, now }: Overview): TelemetryRecord[] {
    const shown = JSON.stringify(now);
    if (shown === this.lastNow) return [];
    this.lastNow = shown;
    return [{ event: "Now", time: at, ...now }];
  }
}

function entries(event: string, list: readonly TimedEntry[] = []): TelemetryRecord[] {
  return list.map(({ at, ...fields }) => ({ event, time: at, ...fields }));
}

function alertRecords({ alerts = { firing: [], recent: [] } }: Overview): TelemetryRecord[] {
  const over = alerts.recent.filter(({ resolved_at: at }) => typeof at === "string");
  return [
    // Value and message change while it fires: each look would be news.
    ...alerts.firing.map(({ since, value: _value, message: _message, ...fields }) => ({
      ...fields,
      event: "AlertFiring",
      time: since,
    })),
    ...over.map((alert) => ({ ...alert, event: "AlertResolved", time: String(alert.resolved_at) })),
  ];
}
