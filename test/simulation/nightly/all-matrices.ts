/**
 * The states and faults of both halves, and what is known of their cells.
 */
import { STREAM_FAULTS, STREAM_PHASES } from "../phases.ts";
import { CALL_FAULTS, CALL_LABELS, PROCESS_FAULTS, SHARD_PHASES, TABLE_PHASES } from "../lake/lake-phases.ts";
import type { Matrix } from "./matrices.ts";

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
  // Relief goes on after the end only where the end came in the middle of it; before the first event, between the
  // end and its announcement, and in a restart, little time passes.
  isRare: (state, fault) =>
    BRIEF.has(state) ||
    fault === "snapshot overtaken" ||
    (FINISHED.has(state) &&
      (BY_RELIEF.has(fault) || fault === "reader stalls" || fault === "crash in the middle of a transaction")),
};

const BRIEF = new Set(["beginning", "open", "end not told yet", "asleep"]);

const REST_CALLS = new Set(["load table", "commit table"]);
const THROTTLED_CALLS = new Set(["commit table"]);

const CALLS: Matrix = {
  half: "lake",
  title: "Calls: what a call was about, by what became of it",
  states: CALL_LABELS.map((label) => `call: ${label}`),
  faults: CALL_FAULTS,
  impossible(state, fault) {
    const label = state.slice("call: ".length);
    const isPutIfAbsent = label.startsWith("put ") && label !== "put hint";
    if (fault === "throttled" && !isPutIfAbsent && !THROTTLED_CALLS.has(label))
      return "only writes that must be first are throttled";
    return undefined;
  },
  isRare: (state) => RARE_CALLS.has(state.slice("call: ".length)) || REST_CALLS.has(state.slice("call: ".length)),
};
const RARE_CALLS = new Set([
  "withdraw",
  "put dead letters",
  "head data file",
  "get data file",
  "put compacted file",
  "get manifest",
  "delete",
  "head manifest",
  "get manifest list",
  "location",
]);

const OBJECTS: Matrix = {
  half: "lake",
  title: "Objects: what a shard or the table's object was in, by what struck it",
  states: [...SHARD_PHASES, ...TABLE_PHASES],
  faults: PROCESS_FAULTS,
  impossible: () => undefined,
  // A transaction is short; and of a call's answer few write anything.
  isRare: (state, fault) =>
    RARE_PHASES.has(state) ||
    fault === "crash in the middle of a transaction" ||
    (fault === "refused write" && TABLE_PHASES.includes(state)),
};
const RARE_PHASES = new Set([
  "shard: withdrawing a batch",
  "shard: writing dead letters",
  "shard: looking at a file that is there",
  "table: compacting",
]);

export const MATRICES: readonly Matrix[] = [STREAM, OBJECTS, CALLS];
