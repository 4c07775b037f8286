/**
 * ClickHouse, as a library in this process: `clickhouse-process.ts <folder of chdb> <statement> …`. Prints
 * the last statement's rows, one JSON object a line.
 */
import { createRequire } from "node:module";
import { join } from "node:path";

interface ChdbSession {
  query(statement: string, format: string): unknown;
  cleanup(): void;
}

const [folder = "", ...statements] = process.argv.slice(2);
const { Session } = createRequire(join(folder, "package.json"))("chdb") as { Session: new () => ChdbSession };
const session = new Session();
try {
  const results = statements.map((statement) => String(session.query(statement, "JSONEachRow")));
  process.stdout.write(results.at(-1) ?? "");
} finally {
  session.cleanup();
}
