/**
 * Questions to the foreign engines, each in a process of its own: what one crash takes down, or one cache
 * remembers, is no other question's.
 */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const CALL_TIMEOUT_MS = 120_000;

/** What every engine is asked for. `sum` is of the member `n` of the payload. */
export interface TableSums {
  readonly rows: number;
  /** Different pairs of source and id. */
  readonly keys: number;
  readonly sum: number;
}

/**
 * Runs statements in one session.
 *
 * @param folder from `installClickHouse`
 * @returns rows of the last statement; 64-bit numbers as numbers
 */
export async function queryClickHouse(
  folder: string,
  statements: readonly string[],
): Promise<readonly Record<string, unknown>[]> {
  const script = join(import.meta.dirname, "clickhouse-process.ts");
  const { stdout } = await run(process.execPath, [script, folder, ...statements], { timeout: CALL_TIMEOUT_MS });
  return stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

/** @param from a table, or a function that gives one */
export async function sumInClickHouse(
  folder: string,
  {
    before = [],
    from,
    where = "1",
  }: { readonly before?: readonly string[]; readonly from: string; readonly where?: string },
): Promise<TableSums> {
  const select = `SELECT count() AS rows, uniqExact(source, id) AS keys, sum(JSONExtractInt(coalesce(data, ''), 'n')) AS sum`;
  const [found] = await queryClickHouse(folder, [...before, `${select} FROM ${from} WHERE ${where}`]);
  return { rows: Number(found?.["rows"]), keys: Number(found?.["keys"]), sum: Number(found?.["sum"]) };
}

export interface PyIcebergTable {
  readonly uri: string;
  readonly table: string;
  readonly s3Origin: string;
  readonly token?: string;
}

/** @param python from `installPyIceberg` */
export async function readWithPyIceberg(
  python: string,
  table: PyIcebergTable & { readonly filter?: string },
): Promise<TableSums & { readonly columns: readonly string[] }> {
  return (await callPyIceberg(python, { do: "read", ...table })) as TableSums & { columns: string[] };
}

/**
 * Appends `times` times so many rows; their payload's `n` is 0, 1, … each time.
 *
 * @returns how often another writer's commit came first
 */
export async function appendWithPyIceberg(
  python: string,
  table: PyIcebergTable & { readonly times: number; readonly rows: number },
): Promise<number> {
  const { stderr } = await runPyIceberg(python, { do: "append", ...table });
  return stderr.split("concurrent update").length - 1;
}

async function callPyIceberg(python: string, call: object): Promise<unknown> {
  return JSON.parse((await runPyIceberg(python, call)).stdout);
}

function runPyIceberg(python: string, call: object): Promise<{ stdout: string; stderr: string }> {
  const script = join(import.meta.dirname, "pyiceberg_calls.py");
  return run(python, [script, JSON.stringify(call)], { timeout: CALL_TIMEOUT_MS });
}
