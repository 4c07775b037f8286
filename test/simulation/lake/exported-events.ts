/**
 * R1: what a reset has dropped lies in the bucket, as a replay would read it there.
 */
import type { EventPlace } from "../../../protocol/lake-call.ts";
import type { LakeEvent } from "../../../protocol/lake-event.ts";
import { readExportedLine } from "../../../workers/replay/exported-line.ts";
import type { Taken } from "./lake-model.ts";
import { breach } from "./lake-violation.ts";
import type { SimBucket } from "./sim-bucket.ts";

export interface ExportedEvent {
  readonly event: LakeEvent;
  readonly place: EventPlace | undefined;
}

/** Events of one export of the shard, whichever reset made it. */
export function eventsOfExport(bucket: SimBucket, key: string): ExportedEvent[] {
  const text = new TextDecoder().decode(bucket.objects.get(key)?.bytes);
  return text
    .trimEnd()
    .split("\n")
    .flatMap((line) => {
      const reading = readExportedLine(line);
      return reading?.ok === true ? [{ event: reading.event, place: reading.place }] : [];
    });
}

/** @returns the dropped events that a replay can send again: those that were neither damaged nor never sound */
export function exportedEvents(bucket: SimBucket, shard: string, dropped: readonly Taken[]): ExportedEvent[] {
  const lines = new Map<number, string>();
  const damaged: { readonly seq: number; readonly events: number }[] = [];
  for (const key of bucket.keys(`exports/${shard}/`)) {
    const text = new TextDecoder().decode(bucket.objects.get(key)?.bytes);
    for (const line of text.trimEnd().split("\n")) {
      // Written by export-parts.ts.
      const { seq, unreadable } = JSON.parse(line) as { seq?: number; unreadable?: { seq: number; events: number } };
      if (seq !== undefined) lines.set(seq, line);
      if (unreadable !== undefined) damaged.push(unreadable);
    }
  }
  return dropped.flatMap(({ event, seq, isDamaged }) => {
    const line = lines.get(seq);
    const isThere = isDamaged
      ? damaged.some((row) => seq >= row.seq && seq < row.seq + row.events)
      : line !== undefined;
    if (!isThere) breach("R1 nothing is dropped that is not exported", `${shard}/${seq} is in no export`);
    if (isDamaged || line === undefined || !Number.isSafeInteger(event.timeUs)) return [];
    const reading = readExportedLine(line);
    if (reading?.ok !== true) return breach("R1 nothing is dropped that is not exported", `${shard}/${seq}: ${line}`);
    if (JSON.stringify(reading.event) !== JSON.stringify(event)) {
      breach("L1 rows are what was taken", `${shard}/${seq} is exported as ${line}`);
    }
    return [{ event: reading.event, place: reading.place }];
  });
}
