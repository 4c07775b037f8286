/**
 * What the comparison asks of each system: the same of Spillway and of its peers.
 *
 * Events are those of ../lib/source-script.ts (`~<number> <sent at, µs> ` and padding as the data of an SSE
 * event, or as the body of an append), so that one scanner (../lib/wire-scanner.ts) reads them all: it looks
 * for one byte, checks that no number is missing, and knows how long each was on its way.
 */

export const SYSTEM_NAMES = [
  "spillway",
  "bare-do",
  "nchan",
  "resumable-stream",
  "redis-streams",
  "durable-streams-memory",
  "durable-streams-file",
  "orpc-publisher",
] as const;

export type SystemName = (typeof SYSTEM_NAMES)[number];

/** What is told of a system beside its figures. */
export interface SystemFacts {
  readonly name: SystemName;
  /** As tables and charts call it. */
  readonly label: string;
  /** Of all that runs: `nchan 1.3.6, nginx 1.22.1`. */
  readonly versions: string;
  /** Where an event is once it counts as taken: `SQLite on disk, within 1 s`, `memory`. */
  readonly durability: string;
  /**
   * How events come in. `source`: the system reads an SSE source, as it does in front of an AI API.
   * `append`: a producer sends each event as a request of its own, and is answered.
   */
  readonly producing: "source" | "append";
  /** What the system does not do at all, and is therefore not measured: `replay`, `fan-out`. */
  readonly cannot: readonly Ability[];
  /** What a reader of the figures has to know: limits set for the run, parts written by hand. */
  readonly notes: readonly string[];
}

export type Ability = "replay" | "fan-out" | "many-streams" | "stored-bytes";

/** A system that could not be had on this machine, and why. */
export interface MissingSystem {
  readonly name: SystemName;
  readonly reason: string;
}

/** A request as text of HTTP/1.1 needs it. */
export interface PlannedRequest {
  readonly origin: string;
  readonly method: "GET" | "POST" | "PUT";
  /** With its query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** One stream of a running system. */
export interface PeerStream {
  /** The SSE request that reads from the first event on and then follows: for replays and late readers. */
  readFromStart(): PlannedRequest;
  /** The SSE request of a reader that wants what comes from now on. */
  follow(): PlannedRequest;
  /**
   * Of `append` systems: the request that appends one event, whose data is the body.
   *
   * Of `source` systems `undefined`: the source given to `createStream` produces.
   */
  append(): PlannedRequest | undefined;
  /** What is stored of the stream, once it has been written out. `undefined` where it cannot be told. */
  storedBytes(): Promise<number | undefined>;
}

export interface StreamPlan {
  /** Unique in the run. */
  readonly name: string;
  /** URL of the SSE source, which holds its events until told to go; `source` systems begin to read it. */
  readonly sourceUrl: string;
  /** Events the stream will hold at most: limits are set so that none is dropped. */
  readonly maxEvents: number;
}

/** A system that runs, with empty storage. */
export interface RunningSystem {
  readonly facts: SystemFacts;
  /** Processes that are the system's: servers, and the app server where the peer is a library. */
  pids(): readonly number[];
  createStream(plan: StreamPlan): Promise<PeerStream>;
  stop(): Promise<void>;
}

/** What systems are started with. */
export interface SystemHome {
  /** A folder of the system's own, empty, on disk. */
  readonly folder: string;
  /** Raised for fan-out: readers that one stream must take. */
  readonly maxReaders: number;
  /** The most events that any stream will hold: some systems are told when they start. */
  readonly maxEvents: number;
  /** Where every `sourceUrl` begins, `http://127.0.0.1:1234`: Spillway's routes are fixed when it starts. */
  readonly sourceOrigin: string;
}

/** @throws where the system is installed and does not start */
export type StartSystem = (home: SystemHome) => Promise<RunningSystem>;

export interface Installed {
  readonly systems: ReadonlyMap<SystemName, StartSystem>;
  readonly missing: readonly MissingSystem[];
}
