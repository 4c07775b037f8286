/**
 * The proofs of clean-up and telemetry for streams whose readers are too many, or too unlike, for a story of scene.ts.
 */
import { expect } from "vitest";

import type { LakeRecord } from "../../fixtures/duckdb-lake.ts";
import { until } from "../../fixtures/process-reader.ts";
import { answersOfGone, storageFaults, type StoredPlace } from "../fixtures/clean-up-proof.ts";
import type { ChaosScene } from "../scene.ts";

/** Telemetry is gathered for a second before it is handed over, and tried again after failures. */
const TELEMETRY_DEADLINE_MS = 20_000;

interface ProvedStream {
  readonly place: StoredPlace;
  readonly route: string;
  readonly token: string;
}

/** Storage and alarm are empty, and nobody is answered as if the stream were there. */
export async function proveGone(scene: ChaosScene, { place, ...asked }: ProvedStream): Promise<void> {
  await until(() => storageFaults(scene.folder, place).length === 0, "empty storage");
  const { faults } = await answersOfGone(scene.service, { requestId: place.requestId, ...asked });
  expect(faults).toEqual([]);
}

/** So many rows of each kind are in the table, each once; what is missing was told there as dropped. */
export async function proveTold(
  scene: ChaosScene,
  { requestId }: StoredPlace,
  told: Readonly<Record<string, number>>,
): Promise<void> {
  let missing: string[] = [];
  const isTold = async () => {
    missing = missingRows(await scene.flushedRows(), requestId, told);
    return missing.length === 0;
  };
  await until(isTold, "the telemetry", TELEMETRY_DEADLINE_MS).catch((error: unknown) => {
    throw new Error(`not in the table: ${missing.join(", ")}`, { cause: error });
  });
}

function missingRows(rows: readonly LakeRecord[], requestId: string, told: Readonly<Record<string, number>>): string[] {
  const own = rows.filter((row) => row.request_id === requestId);
  expect(new Set(own.map(({ id }) => id)).size, "each row once").toBe(own.length);
  const missing = Object.entries(told).flatMap(([kind, wanted]) => {
    const found = own.filter(({ type }) => type === kind).length;
    expect(found, kind).toBeLessThanOrEqual(wanted);
    return Array.from({ length: wanted - found }, () => kind);
  });
  // The queue of an object is bounded, too: what did not fit is counted.
  const dropped = rows.filter(({ type }) => type === "TelemetryDropped").map(({ data }) => droppedIn(data));
  return missing.slice(dropped.reduce((sum, events) => sum + events, 0));
}

function droppedIn(data: string | null): number {
  return Number((JSON.parse(data ?? "{}") as Record<string, unknown>)["events"]);
}
