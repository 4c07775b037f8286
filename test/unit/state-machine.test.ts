/**
 * The whole table of a stream's states and moves: what is not in it does not happen.
 */
import { describe, expect, it, test } from "vitest";

import { endStatus, isFinished, nextState, type StreamMove } from "../../durable-objects/stream/state-machine.ts";
import type { StreamState } from "../../protocol/stream-call.ts";

const STATES: readonly StreamState[] = [
  "open",
  "streaming",
  "completed",
  "failed",
  "cancelled",
  "interrupted",
  "expired",
];
const MOVES: readonly StreamMove[] = ["source_opened", "completed", "failed", "cancelled", "interrupted", "expired"];

/** Every move there is, by the state it leaves from. */
const TABLE: Readonly<Record<StreamState, readonly StreamMove[]>> = {
  open: ["source_opened", "failed", "cancelled", "interrupted", "expired"],
  streaming: ["completed", "failed", "cancelled", "interrupted", "expired"],
  completed: ["expired"],
  failed: ["expired"],
  cancelled: ["expired"],
  interrupted: ["expired"],
  expired: [],
};

describe.each(STATES)("a stream that is %s", (state) => {
  it.each(MOVES)("by %s goes where the table says, or nowhere", (move) => {
    const target = move === "source_opened" ? "streaming" : move;
    expect(nextState(state, move)).toBe(TABLE[state].includes(move) ? target : undefined);
  });
});

test("a stream that has not been opened cannot complete", () => {
  expect(nextState("open", "completed")).toBeUndefined();
});

test("no move leads out of a finished state but to expired", () => {
  for (const state of STATES.filter((candidate) => isFinished(candidate))) {
    const reached = MOVES.map((move) => nextState(state, move)).filter((next) => next !== undefined);
    expect(reached.every((next) => next === "expired")).toBe(true);
  }
});

test("open and streaming are the only states that are not finished", () => {
  expect(STATES.filter((state) => !isFinished(state))).toEqual(["open", "streaming"]);
});

test("readers are told each outcome by its own word", () => {
  const told = STATES.filter((state) => isFinished(state)).map((state) => endStatus(state));
  expect(told).toEqual(["complete", "error", "cancelled", "interrupted", "expired"]);
});
