/**
 * Spillway's own object and Worker with a counter in between: how many rows a stream has written, as
 * SQLite itself tells it of each statement. Nothing else about them changes.
 *
 * lib/bundles.ts puts the real ones in: their types are the platform's, and these here are not.
 */

/** Rows written so far, by what they were. */
export type RowCounts = Readonly<Record<RowKind, number>>;

type RowKind = "tables" | "state" | "segments" | "deletes" | "alarms" | "other";

interface Storage {
  readonly sql: { exec(query: string, ...bindings: unknown[]): { readonly rowsWritten: number } };
  setAlarm(...args: unknown[]): Promise<void>;
}

type Context = object & { readonly storage: Storage };
type ObjectClass = new (context: Context, env: object) => { fetch(request: Request): Promise<Response> };

interface Env {
  readonly REQUEST_STREAM: {
    getByName(name: string): { fetch(url: string, init: RequestInit): Promise<Response> };
  };
}

interface Worker {
  fetch(request: Request, env: Env, context: object): Promise<Response>;
}

const COUNT_HEADER = "x-bench-row-counts";
const COUNT_PATH = "/bench/rows";

/** @returns the class with a call more: {@link RowCounts} as JSON */
export function countedObject(base: ObjectClass): ObjectClass {
  return class extends base {
    private readonly counts: RowCounts;

    constructor(context: Context, env: object) {
      const counts = countWrites(context.storage);
      super(context, env);
      this.counts = counts;
    }

    override async fetch(request: Request): Promise<Response> {
      return request.headers.has(COUNT_HEADER) ? Response.json(this.counts) : super.fetch(request);
    }
  };
}

/** @returns the Worker with a path more: `/bench/rows?request_id=…` */
export function countedWorker(base: Worker): Worker {
  return {
    async fetch(request, env, context) {
      const { pathname, searchParams } = new URL(request.url);
      if (pathname !== COUNT_PATH) return base.fetch(request, env, context);
      const stub = env.REQUEST_STREAM.getByName(searchParams.get("request_id") ?? "");
      return stub.fetch("https://stream.internal/", { headers: { [COUNT_HEADER]: "1" } });
    },
  };
}

/** Setting the alarm is billed as one row. */
function countWrites(storage: Storage): RowCounts {
  const counts: Record<RowKind, number> = { tables: 0, state: 0, segments: 0, deletes: 0, alarms: 0, other: 0 };
  const { sql } = storage;
  const exec = sql.exec.bind(sql);
  sql.exec = (query, ...bindings) => {
    const cursor = exec(query, ...bindings);
    // A statement that returns no rows has run to its end when exec returns.
    counts[kindOf(query)] += cursor.rowsWritten;
    return cursor;
  };
  const setAlarm = storage.setAlarm.bind(storage);
  storage.setAlarm = (...args) => {
    counts.alarms++;
    return setAlarm(...args);
  };
  return counts;
}

function kindOf(query: string): RowKind {
  if (/^\s*CREATE/i.test(query)) return "tables";
  if (/^\s*DELETE/i.test(query)) return "deletes";
  if (/\bINTO stream\b/i.test(query)) return "state";
  if (/\b(INTO|UPDATE) segment\b/i.test(query)) return "segments";
  return "other";
}
