/**
 * A telemetry record as an event of the table.
 */
import { MICROS_PER_MS, type LakeEvent } from "./lake-event.ts";
import type { TelemetryRecord } from "./telemetry.ts";

/** Begins every source of the service's own: nobody else's events may come from there. */
export const OWN_SOURCE_PREFIX = "spillway/";

/** Tenant of what the service does for itself. */
const OWN_TENANT = "spillway";

/**
 * `type` is the record's name, `request_id` and `tenant` have columns of their own, and everything else
 * is `data`.
 *
 * @param id unique; the same for every attempt to hand the event over
 */
export function toLakeEvent(record: TelemetryRecord, id: string): LakeEvent {
  const { event, time, request_id: requestId, tenant, ...rest } = record;
  return {
    id,
    source: record.route === undefined ? `${OWN_SOURCE_PREFIX}lake` : `${OWN_SOURCE_PREFIX}streams/${record.route}`,
    type: event,
    subject: record.correlation_id,
    timeUs: Date.parse(time) * MICROS_PER_MS,
    requestId,
    tenant: tenant ?? OWN_TENANT,
    data: JSON.stringify(rest),
    extensions: undefined,
  };
}
