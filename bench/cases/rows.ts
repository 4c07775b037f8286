/**
 * Rows that a stream writes, as SQLite counts them, with the alarm's: what storage costs in money.
 * Up to the end of the stream; clearing up after its time to live is not in it.
 */
import type { RowCounts } from "../counted-object.ts";
import type { Lab } from "../lib/lab.ts";
import { measureStream } from "../lib/measured-stream.ts";
import type { Plan } from "../lib/options.ts";

export interface RowsResult {
  readonly rate: number;
  readonly events: number;
  readonly bytes: number;
  readonly rows: number;
  readonly byKind: RowCounts;
  readonly isWhole: boolean;
}

const BYTES = 200;

export async function measureRows(
  lab: Lab,
  { events, rates }: Plan["rows"],
  note: (line: string) => void,
): Promise<RowsResult[]> {
  const service = await lab.startSystem("counted");
  note(`${events} events each at ${rates.join(" and ")} a second, side by side`);
  const results = await Promise.all(
    rates.map(async (rate): Promise<RowsResult> => {
      const script = { events, bytes: BYTES, rate, batch: 1, isHeld: false };
      const run = await measureStream(lab, { service, way: "spillway", readers: 1, script });
      const answer = await fetch(`${service.origin}/bench/rows?request_id=${String(run.requestId)}`);
      // The bundle is ours: see counted-object.ts.
      const byKind = (await answer.json()) as RowCounts;
      const rows = Object.values(byKind).reduce((sum, count) => sum + count, 0);
      return { rate, events, bytes: BYTES, rows, byKind, isWhole: run.completeReaders === 1 };
    }),
  );
  await lab.stopSystem(service);
  return results;
}
