/**
 * What objects do while the configuration is at fault: the Worker admits no request then, but alarms come
 * all the same, and defaults in the place of what was meant would send events to another table.
 */
import type { ConfigFault } from "../protocol/errors.ts";

/** @returns why nothing may be delivered, or `undefined` */
export function blockedByFaults(faults: readonly ConfigFault[]): string | undefined {
  const names = faults.map(({ variable }) => variable);
  return names.length === 0 ? undefined : `the configuration is at fault: ${names.join(", ")}`;
}
