/**
 * Whether the service is ready, dependency by dependency: what is asked, how long it may take, how long an
 * answer holds, and what follows from it. Knows no platform.
 *
 * An answer holds for {@link FRESH_MS} in one isolate, and only one request at a time asks: a storm of probes
 * reaches no object. Nothing of why a check failed is told, since anybody may ask.
 */

/** `not_used`: this configuration has none. `not_checked`: only a deep look asks it. */
export type CheckResult = "ok" | "failed" | "not_checked" | "not_used";

export interface ReadinessChecks {
  readonly configuration: CheckResult;
  readonly stream_objects: CheckResult;
  readonly event_shards: CheckResult;
  readonly table: CheckResult;
  readonly catalog: CheckResult;
  readonly bucket: CheckResult;
}

export interface ReadinessReport {
  readonly status: "ready" | "degraded" | "unavailable";
  readonly checks: ReadinessChecks;
}

/** Streams need these; everything else is the lake, without which they work. */
const NEEDED_BY_STREAMS = ["configuration", "stream_objects"] as const satisfies readonly (keyof ReadinessChecks)[];

export function judge(checks: ReadinessChecks): ReadinessReport {
  if (NEEDED_BY_STREAMS.some((name) => checks[name] === "failed")) return { status: "unavailable", checks };
  const isDegraded = Object.values(checks).includes("failed");
  return { status: isDegraded ? "degraded" : "ready", checks };
}

/** What is asked. Each rejects where its dependency cannot be used. */
export interface ReadinessAsks {
  readonly streamObjects: () => Promise<unknown>;
  readonly eventShards: (isDeep: boolean) => Promise<unknown>;
  readonly table: () => Promise<unknown>;
  /** What the table stands on, asked through the table object. */
  readonly foundations: () => Promise<{ readonly catalog: CheckResult; readonly bucket: CheckResult }>;
}

export interface ReadinessDeps {
  readonly asks: ReadinessAsks;
  /** Whether events go to a table of ours. */
  readonly hasTable: boolean;
  readonly clock: () => number;
  readonly sleep: (ms: number) => Promise<void>;
  /** Rejects what is not back in time. */
  readonly within: <T>(call: Promise<T>, name: string, timeoutMs: number) => Promise<T>;
}

/** How long an answer holds. */
export const FRESH_MS = 5000;
const ASK_TIMEOUT_MS = 3000;
/** Longer than the table object itself waits for a catalog. */
const FOUNDATIONS_TIMEOUT_MS = 7000;
/** How often a request looks whether the one that asks has its answer. */
const WAIT_MS = 25;

interface Look {
  readonly startedMs: number;
  /** `undefined` while it is being asked. */
  report: ReadinessReport | undefined;
}

export class Readiness {
  private readonly deps: ReadinessDeps;
  private readonly lookByDepth = new Map<boolean, Look>();

  constructor(deps: ReadinessDeps) {
    this.deps = deps;
  }

  /** @param isDeep whether catalog and bucket are asked, and every shard instead of one */
  async look(isDeep: boolean): Promise<ReadinessReport> {
    for (;;) {
      const known = this.lookByDepth.get(isDeep);
      if (known === undefined || this.isOver(known)) return this.ask(isDeep);
      if (known.report !== undefined) return known.report;
      // Its promise is of no use here: one request cannot wait for another's, which may be gone by then.
      await this.deps.sleep(WAIT_MS);
    }
  }

  /** Too old; or asked by a request that did not live to tell. */
  private isOver({ startedMs, report }: Look): boolean {
    const ageMs = this.deps.clock() - startedMs;
    return ageMs < 0 || ageMs >= (report === undefined ? FOUNDATIONS_TIMEOUT_MS + WAIT_MS : FRESH_MS);
  }

  private async ask(isDeep: boolean): Promise<ReadinessReport> {
    const look: Look = { startedMs: this.deps.clock(), report: undefined };
    this.lookByDepth.set(isDeep, look);
    const report = judge(await this.check(isDeep));
    this.lookByDepth.set(isDeep, { startedMs: this.deps.clock(), report });
    return report;
  }

  private async check(isDeep: boolean): Promise<ReadinessChecks> {
    const { asks, hasTable } = this.deps;
    const [streamObjects, eventShards, table, foundations] = await Promise.all([
      this.answers(asks.streamObjects(), "a stream object"),
      this.answers(asks.eventShards(isDeep), "a shard"),
      hasTable ? this.answers(asks.table(), "the table object") : ("not_used" as const),
      isDeep ? this.foundations() : ({ catalog: "not_checked", bucket: "not_checked" } as const),
    ]);
    return {
      configuration: "ok",
      stream_objects: streamObjects,
      event_shards: eventShards,
      table,
      catalog: hasTable ? foundations.catalog : "not_used",
      bucket: foundations.bucket,
    };
  }

  private async answers(call: Promise<unknown>, name: string): Promise<CheckResult> {
    try {
      await this.deps.within(call, name, ASK_TIMEOUT_MS);
      return "ok";
    } catch {
      // Why is for the logs of whoever failed: here it is only told that it did.
      return "failed";
    }
  }

  private async foundations(): Promise<{ readonly catalog: CheckResult; readonly bucket: CheckResult }> {
    try {
      return await this.deps.within(this.deps.asks.foundations(), "the table object", FOUNDATIONS_TIMEOUT_MS);
    } catch {
      // Whatever they are, events do not get there.
      return { catalog: "failed", bucket: "failed" };
    }
  }
}
