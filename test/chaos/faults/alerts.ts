/**
 * Whether operators come to know of a fault: the alert fires while it lasts, and is resolved once it is over.
 */
import type { Alert } from "../../../protocol/monitor-report.ts";
import type { LakeService } from "../../fixtures/lake-service.ts";
import { until } from "../../fixtures/process-reader.ts";

/** Incidents take seconds instead of minutes; the rules are the same. */
export const QUICK_ALERTS = {
  MONITOR_INTERVAL_SEC: 1,
  ALERT_WINDOW_SEC: 5,
  ALERT_CLEAR_SEC: 0,
  ALERT_FILL_FOR_SEC: 1,
  ALERT_RATE_FOR_SEC: 0,
  ALERT_CATALOG_FOR_SEC: 1,
  ALERT_FLUSH_FAILURES: 1,
} as const;

const DEADLINE_MS = 60_000;

export function untilFired(service: LakeService, alert: Alert["alert"]): Promise<void> {
  return until(() => isLogged(service, "AlertFired", alert), `the alert ${alert}`, DEADLINE_MS);
}

/** Fired before, and resolved after that as often. */
export async function untilResolved(service: LakeService, alert: Alert["alert"]): Promise<void> {
  await untilFired(service, alert);
  await until(() => isLogged(service, "AlertResolved", alert), `the end of the alert ${alert}`, DEADLINE_MS);
}

function isLogged(service: LakeService, event: string, alert: string): boolean {
  return service.lines.some((line) => line.startsWith(`{"event":"${event}","alert":"${alert}"`));
}
