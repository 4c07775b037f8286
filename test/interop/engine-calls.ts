/**
 * Questions to the foreign engines, each in a process of its own: what one crash takes down, or one cache
 * remembers, is no other question's.
 */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";

import { installClickHouse, installDuckDb, installPyIceberg } from "./installation.ts";

const run = promisify(execFile);
const CALL_TIMEOUT_MS = 120_000;

/** What every engine is asked for. */
export interface TableSums {
  readonly rows: number;
  /** Different pairs of source and id. */
  readonly keys: number;
  /** Of the member `n` of the payload. */
  readonly sum: number;
  /** Rows that have extensions. */
  readonly marked: number;
  /** Sum of `n` over the rows whose extension `mark` is the same number. */
  readonly marks: number;
}

const CLICKHOUSE_SUMS = `count() AS rows, uniqExact(source, id) AS keys, sum(JSONExtractInt(coalesce(data, ''), 'n')) AS sum,
  count(extensions) AS marked,
  sumIf(JSONExtractInt(coalesce(data, ''), 'n'), JSONHas(coalesce(extensions, ''), 'mark')
    AND JSONExtractInt(coalesce(extensions, ''), 'mark') = JSONExtractInt(coalesce(data, ''), 'n')) AS marks`;

const DUCKDB_SUMS = `count(*) AS rows, count(DISTINCT (source, id)) AS keys, sum((data->>'n')::INT) AS sum,
  count(extensions) AS marked, coalesce(sum((data->>'n')::INT) FILTER ((extensions->>'mark') = (data->>'n')), 0) AS marks`;

export type EngineRow = Readonly<Record<string, unknown>>;

/**
 * Runs statements in one session of ClickHouse.
 *
 * @returns rows of the last statement; 64-bit numbers as text
 */
export async function queryClickHouse(statements: readonly string[]): Promise<readonly EngineRow[]> {
  const script = join(import.meta.dirname, "clickhouse-process.ts");
  const call = [script, await installClickHouse(), ...statements];
  const { stdout } = await run(process.execPath, call, { timeout: CALL_TIMEOUT_MS });
  const lines = stdout.split("\n").filter((line) => line !== "");
  return lines.map((line) => JSON.parse(line) as EngineRow);
}

/**
 * Runs statements in one session of DuckDB, its extension for Iceberg loaded.
 *
 * @returns rows of the last statement
 */
export async function queryDuckDb(statements: readonly string[]): Promise<readonly EngineRow[]> {
  const script = join(import.meta.dirname, "duckdb_calls.py");
  const { stdout } = await run(await installDuckDb(), [script, ...statements], { timeout: CALL_TIMEOUT_MS });
  return JSON.parse(stdout) as EngineRow[];
}

export interface SqlSums {
  /** Statements that come first in the session. */
  readonly before?: readonly string[];
  /** A table, or a function that gives one. */
  readonly from: string;
  readonly where: string;
}

export async function sumInClickHouse({ before = [], from, where }: SqlSums): Promise<TableSums> {
  return toSums(await queryClickHouse([...before, `SELECT ${CLICKHOUSE_SUMS} FROM ${from} WHERE ${where}`]));
}

export async function sumInDuckDb({ before = [], from, where }: SqlSums): Promise<TableSums> {
  return toSums(await queryDuckDb([...before, `SELECT ${DUCKDB_SUMS} FROM ${from} WHERE ${where}`]));
}

function toSums([found = {}]: readonly EngineRow[]): TableSums {
  const number = (name: keyof TableSums) => Number(found[name]);
  return {
    rows: number("rows"),
    keys: number("keys"),
    sum: number("sum"),
    marked: number("marked"),
    marks: number("marks"),
  };
}

export interface PyIcebergTable {
  readonly uri: string;
  readonly table: string;
  readonly s3Origin: string;
  readonly token?: string;
}

export async function sumInPyIceberg(table: PyIcebergTable & { readonly filter: string }): Promise<TableSums> {
  return JSON.parse((await runPyIceberg({ do: "read", ...table })).stdout) as TableSums;
}

/**
 * Appends `times` times so many rows of one source; their payload's `n` is 0, 1, … each time. Where another
 * writer's commit comes first it goes on until its own is in.
 */
export async function appendWithPyIceberg(
  table: PyIcebergTable & { readonly source: string; readonly times: number; readonly rows: number },
): Promise<void> {
  await runPyIceberg({ do: "append", ...table });
}

/** Runs a program that may import PyIceberg. @returns its standard output */
export async function runPython(program: string): Promise<string> {
  return (await run(await installPyIceberg(), ["-c", program], { timeout: CALL_TIMEOUT_MS })).stdout;
}

async function runPyIceberg(call: object): Promise<{ stdout: string; stderr: string }> {
  const script = join(import.meta.dirname, "pyiceberg_calls.py");
  return run(await installPyIceberg(), [script, JSON.stringify(call)], { timeout: CALL_TIMEOUT_MS });
}
