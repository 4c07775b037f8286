/**
 * The states and faults of both halves, and what is known of their cells.
 */
import { STREAM_FAULTS, STREAM_PHASES } from "../phases.ts";
import {
  CALL_FAULTS,
  CALL_LABELS,
  canBeThrottled,
  PROCESS_FAULTS,
  SHARD_PHASES,
  TABLE_PHASES,
} from "../lake/lake-phases.ts";
import { AIMED_STATES } from "../lake/aims.ts";
import type { Matrix } from "./matrices.ts";

/** So many seeds reach what chance brings about now and then: half the default. */
const SEEDS = 10_000;
/** For what little time passes in, or is seldom come to: the default. */
const MORE_SEEDS = 20_000;

const FINISHED = new Set(["completed", "failed", "cancelled", "interrupted", "expired"]);
const GIVING_WAY = new Set(["eviction", "fold", "trimmed payload", "compression"]);
const OF_READERS = new Set([
  "reader stalls",
  "reader disconnects",
  "reader disconnects within an event",
  "stalled reader removed",
  "snapshot overtaken",
]);

const BY_RELIEF = new Set(["fold", "trimmed payload", "compression", "snapshot overtaken"]);
/** Little time passes in these. */
const BRIEF = new Set(["beginning", "open", "end not told yet", "asleep"]);

const STREAM: Matrix = {
  half: "stream",
  title: "Streams: what a stream was in, by what struck it",
  states: STREAM_PHASES,
  faults: STREAM_FAULTS,
  impossible(state, fault) {
    if (state === "beginning" && fault !== "refused write") {
      return "the first turn has no rows, no readers and no clock to jump; a crash in it is a stream that nobody heard of";
    }
    if (
      fault === "restart" &&
      ["asleep", "degraded", "end not told yet", "streaming, three quarters full"].includes(state)
    ) {
      return "what is restarted is told by its stored state";
    }
    if (state === "asleep" && (OF_READERS.has(fault) || fault === "reader comes back")) {
      return "readers are connected to an object in memory: one that comes back wakes it first";
    }
    if (state === "asleep" && fault === "crash between turns") return "nothing is in memory";
    if (state === "asleep" && GIVING_WAY.has(fault) && fault !== "eviction")
      return "relief begins with the turn after a restart";
    if (state === "streaming" && BY_RELIEF.has(fault))
      return "what is being taken in counts: relief begins at three quarters";
    if (state === "interrupted" && BY_RELIEF.has(fault))
      return "an append begins relief, and none comes after a restart";
    if (state === "degraded" && (fault === "trimmed payload" || fault === "compression")) {
      return "payloads of stored rows give way, and storage takes nothing";
    }
    if (state === "open" && (GIVING_WAY.has(fault) || fault === "snapshot overtaken")) return "there are no events yet";
    if (state === "open" && (fault === "refused read" || fault === "reader disconnects within an event")) {
      return "there are no events yet";
    }
    return undefined;
  },
  askedFrom(state, fault) {
    // A reader that is behind by a snapshot, at the moment at which the stream ends: no promise is apart there.
    if (fault === "snapshot overtaken" && state !== "streaming, three quarters full") return undefined;
    const isSeldom = BRIEF.has(state) || (FINISHED.has(state) && (BY_RELIEF.has(fault) || fault === "reader stalls"));
    return isSeldom || fault === "crash in the middle of a transaction" ? MORE_SEEDS : SEEDS;
  },
};

const CALLS: Matrix = {
  half: "lake",
  title: "Calls: what a call was about, by what became of it",
  states: CALL_LABELS.map((label) => `call: ${label}`),
  faults: CALL_FAULTS,
  impossible(state, fault) {
    const isOther = fault === "throttled" && !canBeThrottled(state.slice("call: ".length));
    return isOther ? "only writes that must be first are throttled" : undefined;
  },
  askedFrom: (state) => (AIMED_STATES.has(state) ? MORE_SEEDS : SEEDS),
};

const OBJECTS: Matrix = {
  half: "lake",
  title: "Objects: what a shard or the table's object was in, by what struck it",
  states: [...SHARD_PHASES, ...TABLE_PHASES],
  faults: PROCESS_FAULTS,
  impossible: () => undefined,
  askedFrom: (state) => (AIMED_STATES.has(state) ? MORE_SEEDS : SEEDS),
};

export const MATRICES: readonly Matrix[] = [STREAM, OBJECTS, CALLS];
