/**
 * Folding is lossless for each API's readers, wherever one of them comes back (folding.ts, invariant 1).
 */
import { describe, expect, it } from "vitest";

import { createFolder } from "../../durable-objects/stream/fold/folding.ts";
import { SEGMENT_MAX_BYTES } from "../../protocol/limits.ts";
import { framesOf, readWire, replay } from "../fixtures/folded-reading.ts";
import { readDeltas } from "../fixtures/transcripts/delta-readers.ts";
import { API_TRANSCRIPTS } from "../fixtures/transcripts/index.ts";

/** How many frames each transcript comes down to. Fewer would be wrong; more would be a waste. */
const FOLDED_FRAMES: Readonly<Record<string, number>> = {
  // Both roles; all content; two ends; usage; [DONE].
  "chat completions, n=2": 6,
  // Role; each call's opening and its arguments; end; usage; [DONE].
  "chat completions, tool calls, ASCII only": 8,
  // Role; reasoning; answer; refusal; end; usage; [DONE].
  "chat completions, reasoning and refusal": 7,
  // As sent.
  "chat completions, logprobs": 8,
  // Text; [DONE].
  "legacy completions": 2,
  // 4 + 2 + 4 events around the deltas of three items, which become one each; audio and the rest as sent.
  "Responses API": 22,
  // Thinking, text before and after two citations, and input become one each.
  "Messages API": 19,
  // Reasoning, text, signed text, and four turns of two tool inputs.
  "AI SDK UI message stream": 28,
  // Thoughts; three stretches that must not come to look like the end; [DONE].
  "plain text": 5,
};

describe.each(API_TRANSCRIPTS)("$name", ({ name, preset, events }) => {
  const folder = createFolder(preset);
  const frames = framesOf(events);
  const folded = folder.fold(frames);
  const whole = readDeltas(preset, events);

  it("is read the same, whole and from every cut", () => {
    for (let seq = 0; seq <= events.length; seq++) {
      const rest = readWire(replay(folder, folded, seq));
      const reading = readDeltas(preset, [...events.slice(0, seq), ...rest]);
      expect(reading, `cut after ${seq}`).toEqual(whole);
    }
  });

  it("is read the same by one that was away twice", () => {
    for (let first = 0; first < events.length; first++) {
      const second = first + Math.ceil((events.length - first) / 3);
      // What was folded at the first return is folded on by the second.
      const early = folder.fold(frames.slice(0, second));
      const seen = [...events.slice(0, first), ...readWire(replay(folder, early, first))];
      const late = folder.fold([...early, ...frames.slice(second)]);
      const reading = readDeltas(preset, [...seen, ...readWire(replay(folder, late, second))]);
      expect(reading, `away after ${first}, then after ${second}`).toEqual(whole);
    }
  });

  it("comes down to as few frames as it can, each within the limit", () => {
    expect(folded.length).toBe(FOLDED_FRAMES[name]);
    for (const frame of folded) expect(Buffer.byteLength(frame.text)).toBeLessThanOrEqual(SEGMENT_MAX_BYTES);
  });

  it("passes on what cannot be folded as the object it was", () => {
    const unfolded = folded.filter(({ steps }) => steps === undefined);
    expect(unfolded.every((frame) => frame === frames[frame.firstSeq - 1])).toBe(true);
    const folds = folded.filter(({ steps }) => steps !== undefined);
    expect(folds.map(({ steps }) => steps?.length)).toEqual(
      folds.map(({ firstSeq, lastSeq }) => lastSeq - firstSeq + 1),
    );
  });

  it("carries the id of the last event", () => {
    const ids = folded.map(({ lastSeq }) => `1-${lastSeq}`);
    expect(readWire(replay(folder, folded, 0)).map(({ id }) => id)).toEqual(ids);
  });
});
