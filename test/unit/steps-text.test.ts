import { array, assert, constant, integer, oneof, property, uniqueArray } from "fast-check";
import { describe, expect, it, test } from "vitest";

import { readSteps, writeSteps } from "../../durable-objects/stream/fold/steps-text.ts";

describe("the text of a fold's steps", () => {
  it.each([
    [[3, 4, 0, 0, 0], { width: 0, text: "3,4,0*3" }],
    [
      [
        [-1, 7],
        [3, 2],
        [-1, -1],
      ],
      { width: 2, text: "1:7,0:3+1:2,_" },
    ],
    [[[5]], { width: 1, text: "0:5" }],
  ])("%j", (steps, text) => {
    expect(writeSteps(steps)).toEqual(text);
    expect(readSteps(text)).toEqual(steps);
  });

  it("reads back what was written, whatever it is", () => {
    const length = integer({ min: 0, max: 20 });
    const bare = array(length, { minLength: 1 });
    const wide = integer({ min: 1, max: 9 }).chain((width) =>
      array(array(oneof(length, constant(-1)), { minLength: width, maxLength: width }), { minLength: 1 }),
    );
    assert(
      property(oneof(bare, wide), (steps) => {
        expect(readSteps(writeSteps(steps))).toEqual(steps);
      }),
    );
  });
});

test("64 choices that take turns cost a few bytes an event, empty deltas next to none", () => {
  const turns = Array.from({ length: 256 }, (_, at) => Array.from({ length: 64 }, (__, n) => (n === at % 64 ? 4 : -1)));
  expect(writeSteps(turns).text.length).toBeLessThan(6 * 256);
  expect(writeSteps(Array.from({ length: 16_000 }, () => 0)).text).toBe("0*16000");
  assert(
    property(uniqueArray(integer({ min: 0, max: 63 })), (touched) => {
      const step = Array.from({ length: 64 }, (_, n) => (touched.includes(n) ? 1 : -1));
      expect(
        writeSteps([step])
          .text.split("+")
          .filter((word) => word !== "_"),
      ).toHaveLength(touched.length);
    }),
  );
});
