/**
 * A whole service on real workerd with its bucket, streams whose sources and readers a test drives, and what every
 * test of chaos has to show in the end: the readers' data, the telemetry in the table, and nothing left behind.
 *
 * {@link perform} is how a test uses it: what its story returns is what has to hold, so that none of the three can be
 * forgotten. Not for faults themselves: these are in fixtures/ and faults/.
 */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";

import { callAdmin, flushLake } from "../fixtures/lake-client.ts";
import { readRows } from "../fixtures/icebird-lake.ts";
import type { LakeRecord } from "../fixtures/duckdb-lake.ts";
import { startLakeService, type LakeService, type LakeServiceOptions } from "../fixtures/lake-service.ts";
import { startUpstream, type Upstream, type UpstreamHandler } from "../fixtures/upstream.ts";
import { answersOfGone, storageFaults } from "./fixtures/clean-up-proof.ts";
import { ChaosStream, type StreamOptions } from "./fixtures/chaos-stream.ts";
import { dataFaults, type ReaderOutcome } from "./fixtures/data-proof.ts";
import type { ReaderHistory } from "./fixtures/reader-history.ts";
import {
  expectedTelemetry,
  telemetryFaults,
  type TelemetryData,
  type TelemetryExpectation,
} from "./fixtures/telemetry-proof.ts";
import { figureFaults } from "./fixtures/telemetry-figures.ts";

/** What happens to the service's storage, or around it, while it is down. */
type Meanwhile = () => void | Promise<void>;
type Vars = Readonly<Record<string, unknown>>;

/** Waits of a day become waits of seconds; the rules are the same. */
const QUICK = {
  SSE_SNAPSHOT_TTL_SEC: 3,
  SSE_STATE_TTL_SEC: 60,
  SSE_HEARTBEAT_SEC: 1,
  SSE_RETRY_MS: 50,
  SSE_COMMIT_INTERVAL_MS: 100,
  ICEBERG_SHARDS: 1,
  ICEBERG_BUFFER_TIMEOUT_MS: 1000,
  ICEBERG_COMMIT_INTERVAL_MS: 0,
} as const;

/** Beyond the time to live: an alarm may be late, and a busy machine is. */
const CLEAN_UP_DEADLINE_MS = 30_000;
/** Telemetry is gathered for a second before it is handed over, and tried again after failures. */
const TELEMETRY_DEADLINE_MS = 20_000;
const POLL_MS = 250;

export interface SceneOptions {
  readonly vars?: Vars;
  /** Routes besides `chat` and `plain`, with what differs from a GET route to the scene's upstream. */
  readonly routes?: readonly Vars[];
  readonly lake?: Omit<LakeServiceOptions, "vars" | "persistTo" | "port" | "s3Port">;
}

interface SceneParts {
  readonly folder: string;
  readonly upstream: Upstream;
  readonly service: LakeService;
  readonly vars: Vars;
  readonly lake: LakeServiceOptions;
  readonly sources: Map<string, UpstreamHandler>;
}

export class ChaosScene {
  readonly folder: string;
  readonly upstream: Upstream;
  service: LakeService;
  /** What the service was deployed with last. */
  vars: Vars;
  private readonly lake: LakeServiceOptions;
  /** What answers the upstream's calls, by the query member `run`. */
  private readonly sources: Map<string, UpstreamHandler>;
  private runs = 0;
  /** The look at the table that has begun last, and the one that has not begun yet. */
  private latestRows: Promise<unknown> = Promise.resolve();
  private nextRows: Promise<LakeRecord[]> | undefined;

  private constructor(parts: SceneParts) {
    this.folder = parts.folder;
    this.upstream = parts.upstream;
    this.service = parts.service;
    this.vars = parts.vars;
    this.lake = parts.lake;
    this.sources = parts.sources;
  }

  static async begin({ vars = {}, routes = [], lake = {} }: SceneOptions = {}): Promise<ChaosScene> {
    const sources = new Map<string, UpstreamHandler>();
    const upstream = await startUpstream((request, response) => {
      const run = new URL(request.url ?? "", "http://upstream").searchParams.get("run") ?? "";
      const handler = sources.get(run);
      if (handler === undefined) return void response.writeHead(404).end(`no source for the run ${run}`);
      return handler(request, response);
    });
    const route = { upstream: `${upstream.origin}/`, method: "GET", allowGet: true };
    const ROUTES = [{ name: "chat" }, { name: "plain", control: false }, ...routes].map((own) => ({
      ...route,
      ...own,
    }));
    const all = { ...QUICK, ROUTES, ...vars };
    const folder = mkdtempSync(join(tmpdir(), "spillway-chaos-"));
    const service = await startLakeService({ ...lake, vars: all, persistTo: join(folder, "state") });
    return new ChaosScene({ folder: join(folder, "state"), upstream, service, vars: all, lake, sources });
  }

  /** A deployment with other variables: same storage, same addresses. */
  async redeploy(vars: Vars, meanwhile: Meanwhile = () => {}): Promise<void> {
    this.vars = { ...this.vars, ...vars };
    await this.service.stop();
    await this.startAgain(meanwhile);
  }

  /** Kills all of the service, and starts it again on what it had written. */
  async restart(meanwhile: Meanwhile = () => {}): Promise<void> {
    await this.service.kill();
    await this.startAgain(meanwhile);
  }

  /** Begins a stream; see {@link perform}, which also ends it. */
  async open(options: StreamOptions): Promise<ChaosStream> {
    return ChaosStream.begin(options, {
      origin: () => this.service.origin,
      folder: this.folder,
      serve: (handler) => this.serve(handler),
    });
  }

  /** Has a stream stored and all that was told of it brought into the table: what comes now loses nothing of it. */
  async settle({ requestId }: ChaosStream): Promise<void> {
    const response = await callAdmin(this.service, `flush?request_id=${requestId}`);
    const text = await response.text();
    const { stream } = JSON.parse(text) as { readonly stream?: { readonly stored: boolean } };
    if (response.status !== 200 || stream?.stored !== true) throw new Error(`the stream is not settled: ${text}`);
  }

  /** Answers calls of the upstream by a handler. @returns the query member that names it */
  serve(handler: UpstreamHandler): string {
    this.runs++;
    const run = `run-${this.runs}`;
    this.sources.set(run, handler);
    return run;
  }

  /** All rows of the table, after everything that waits was flushed. Who asks while others wait for their turn waits with them. */
  flushedRows(): Promise<LakeRecord[]> {
    this.nextRows ??= this.latestRows
      .catch(() => undefined)
      .then(async () => {
        this.nextRows = undefined;
        await flushLake(this.service);
        return readRows(this.service);
      });
    this.latestRows = this.nextRows;
    return this.nextRows;
  }

  async end(): Promise<void> {
    await this.service.stop();
    await this.upstream.stop();
    const folder = join(this.folder, "..");
    if (existsSync(folder)) rmSync(folder, { recursive: true, force: true });
  }

  private async startAgain(meanwhile: Meanwhile): Promise<void> {
    await meanwhile();
    const { origin, s3Origin } = this.service;
    const [port, s3Port] = [origin, s3Origin].map((address) => Number(new URL(address).port));
    this.service = await startLakeService({
      ...this.lake,
      vars: this.vars,
      persistTo: this.folder,
      port: port ?? 0,
      s3Port: s3Port ?? 0,
    });
  }
}

/** A reader that has everything in the end, or one with what it has instead. */
type ReaderClaim = ReaderHistory | ({ readonly reader: ReaderHistory } & ReaderOutcome);

/** What has to hold once a story is over. */
export interface StoryEnd {
  /** All who have read the stream. */
  readonly readers: readonly ReaderClaim[];
  /** Members of SseStreamEnded; completed where they are not given. */
  readonly ended?: TelemetryData;
  /** Kinds that do not follow from what readers did, or not so. */
  readonly telemetry?: TelemetryExpectation;
}

/**
 * Plays a story about one stream from its start to its deletion, then holds what it says against the readers' data,
 * what is left of the stream, and the rows of the table.
 */
export async function perform(
  scene: ChaosScene,
  options: StreamOptions,
  story: (stream: ChaosStream) => Promise<StoryEnd>,
): Promise<void> {
  const fromMs = Date.now();
  const stream = await scene.open(options);
  try {
    const end = await story(stream);
    expectNone("data", stream, dataFaultsOf(stream, end));
    // Storage first: a call wakes the object, and could make it do what its alarm should have done.
    const left = await untilNone(() => storageFaults(scene.folder, stream.place), CLEAN_UP_DEADLINE_MS);
    const askedAt = new Date().toISOString();
    const { faults, resumeCode } = await answersOfGone(scene.service, stream);
    expectNone("clean-up", stream, [...left, ...faults]);
    const laterFailures = resumeCode === "stream_expired" ? [{ code: resumeCode }] : [];
    expectNone("telemetry", stream, await tableFaults(scene, stream, { end, fromMs, askedAt, laterFailures }));
  } finally {
    await stream.close();
  }
}

function dataFaultsOf({ source }: ChaosStream, { readers }: StoryEnd): readonly string[] {
  if (readers.length === 0) return ["the story names no reader"];
  return readers.flatMap((claim) =>
    "reader" in claim ? dataFaults(claim.reader, source.sent, claim) : dataFaults(claim, source.sent),
  );
}

interface TableClaims {
  readonly end: StoryEnd;
  readonly fromMs: number;
  /** When the stream was asked for after its deletion, and what that has to have told. */
  readonly askedAt: string;
  readonly laterFailures: readonly TelemetryData[];
}

async function tableFaults(
  scene: ChaosScene,
  { requestId, route, source }: ChaosStream,
  { end: { readers: claims, ended, telemetry }, fromMs, askedAt, laterFailures }: TableClaims,
): Promise<readonly string[]> {
  const readers = claims.map((claim) => ("reader" in claim ? claim.reader : claim));
  const expected = {
    ...expectedTelemetry({
      readers,
      events: source.sent.length,
      ended: { state: "completed", reason: null, ...ended },
    }),
    ...telemetry,
  };
  return untilNone(async () => {
    const rows = (await scene.flushedRows()).filter((row) => row.request_id === requestId);
    return [
      ...telemetryFaults(
        rows.filter((row) => !isFailureSince(row, askedAt)),
        expected,
      ),
      ...telemetryFaults(
        rows.filter((row) => isFailureSince(row, askedAt)),
        { SseResumeFailed: laterFailures },
      ),
      ...figureFaults(rows, { route, readers, sent: source.sent, fromMs, toMs: Date.now() }),
    ];
  }, TELEMETRY_DEADLINE_MS);
}

function isFailureSince({ type, time }: LakeRecord, since: string): boolean {
  return type === "SseResumeFailed" && time >= since;
}

async function untilNone(
  look: () => readonly string[] | Promise<readonly string[]>,
  deadlineMs: number,
): Promise<readonly string[]> {
  const deadline = Date.now() + deadlineMs;
  for (;;) {
    const faults = await look();
    if (faults.length === 0 || Date.now() > deadline) return faults;
    await wait(POLL_MS);
  }
}

function expectNone(what: string, { requestId, source }: ChaosStream, faults: readonly string[]): void {
  if (faults.length === 0) return;
  throw new Error(`${what} of stream ${requestId} (seed ${source.seed}):\n  ${faults.join("\n  ")}`);
}
