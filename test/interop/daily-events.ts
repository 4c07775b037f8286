/**
 * Events of several days whose values depend on each other: a reader, or a writer, that mixes up rows or
 * columns is found out by sums.
 */
import type { LakeRow } from "../../protocol/lake-event.ts";
import { callAdmin, sendEvents } from "../fixtures/lake-client.ts";
import type { LakeService } from "../fixtures/lake-service.ts";
import type { TableSums } from "./engine-calls.ts";

const DAY_MS = 86_400_000;
/** One of so many has extensions. */
const MARKED_EVERY = 5;

/** Times of the first event of each day: three days, with a partition between them that stays empty. */
const DAYS = ["2026-11-16", "2026-11-17", "2026-11-19"].map((day) => Date.parse(`${day}T12:00:00.123Z`));

const timeOf = (n: number): number => (DAYS[n % DAYS.length] ?? 0) + (n % (DAY_MS / 4));
const typeOf = (n: number): string => `com.example.type${n % 7}`;
const dataOf = (n: number) => ({ n, text: `é "${n}"` });

/** Sends so many events of one source, spread over {@link DAYS}; the payload's `n` is 0, 1, … */
export async function sendDailyEvents(service: LakeService, source: string, count: number): Promise<void> {
  const events = Array.from({ length: count }, (_, n) => ({
    specversion: "1.0",
    id: `e${n}`,
    source,
    type: typeOf(n),
    time: new Date(timeOf(n)).toISOString(),
    ...(n % MARKED_EVERY === 0 && { region: "北", mark: n }),
    data: dataOf(n),
  }));
  const answer = await sendEvents(service, events);
  if (answer.accepted !== count) throw new Error(`not all were taken: ${JSON.stringify(answer)}`);
}

/** The same events as rows that a shard took, before there were extensions. */
export function createDailyRows(source: string, count: number): LakeRow[] {
  return Array.from({ length: count }, (_, n) => ({
    id: `e${n}`,
    source,
    type: typeOf(n),
    subject: undefined,
    timeUs: timeOf(n) * 1000,
    requestId: undefined,
    tenant: "acme",
    data: JSON.stringify(dataOf(n)),
    extensions: undefined,
    ingestTimeUs: Date.parse("2026-11-20T00:00:00Z") * 1000,
    shard: "0-00c0ffee",
    seq: n + 1,
  }));
}

/** What every engine has to find of the events numbered so, sent `times` times under different sources. */
export function sumsOf(numbers: readonly number[], times = 1): TableSums {
  const add = (some: readonly number[]) => times * some.reduce((total, n) => total + n, 0);
  const marked = numbers.filter((n) => n % MARKED_EVERY === 0);
  const rows = times * numbers.length;
  return { rows, keys: rows, sum: add(numbers), marked: times * marked.length, marks: add(marked) };
}

/** Of {@link createDailyRows}. */
export function withoutMarks(sums: TableSums): TableSums {
  return { ...sums, marked: 0, marks: 0 };
}

export function numbersBelow(count: number): number[] {
  return Array.from({ length: count }, (_, n) => n);
}

/** Calls an operator's action; it must succeed. @returns its report */
export async function administer(service: LakeService, action: string): Promise<Record<string, unknown>> {
  const response = await callAdmin(service, action);
  const report = (await response.json()) as Record<string, unknown>;
  if (response.status !== 200) throw new Error(`${action} was answered ${response.status}: ${JSON.stringify(report)}`);
  return report;
}
