/**
 * The check behind the benchmark's resumes sees what is wrong, and nothing where all is right.
 */
import { expect, test } from "vitest";

import { ResumeChain, type ChainEvent } from "../../bench/lib/resume-chain.ts";

const content = (number: number): ChainEvent => ({ data: `~${number} 0 x`, id: `1-${number}` });
const gap = (from: number, to: number, id = `1-${to}`): ChainEvent => ({
  event: "gap",
  data: JSON.stringify({ dropped: to - from + 1 }),
  id,
});
const end = (status = "complete", id = "1-4"): ChainEvent => ({ event: "end", data: JSON.stringify({ status }), id });

function faultOf(events: readonly ChainEvent[]): string | undefined {
  const chain = new ResumeChain("token", 4);
  for (const event of events) chain.take(event);
  return chain.fault ?? (chain.isEnded ? undefined : "it did not end");
}

test("a whole stream is right, and so is one whose beginning a gap names", () => {
  expect(faultOf([content(1), content(2), content(3), content(4), end()])).toBeUndefined();
  expect(faultOf([gap(1, 2), content(3), content(4), end("complete", "1-5")])).toBeUndefined();
});

test.each([
  ["an event is missing", [content(1), content(3), content(4), end()], "event 3 where 2 was next"],
  ["an event comes twice", [content(1), content(1), content(2)], "id 1-1 after 1-1"],
  ["the same content comes under another id", [content(1), { ...content(1), id: "1-2" }], "event 1 where 2 was next"],
  ["a gap names one too few", [gap(1, 1, "1-2"), content(3)], "event 3 where 2 was next"],
  ["a gap names one too many", [gap(1, 3, "1-2"), content(3)], "event 3 where 4 was next"],
  ["the end comes early", [content(1), content(2), content(3), end()], "it ended after 3 of 4 events"],
  ["the end says something else", [content(1), content(2), content(3), content(4), end("error")], "it ended error"],
  ["something follows the end", [content(1), content(2), content(3), content(4), end(), content(5)], "after the end"],
  ["ids go back", [content(1), { ...content(2), id: "0-9" }], "id 0-9 after 1-1"],
])("it is seen that %s", (_, events, fault) => {
  expect(faultOf(events)).toContain(fault);
});

test("the token is the last one that was given", () => {
  const chain = new ResumeChain("first", 4);
  chain.take({ event: "resume", data: JSON.stringify({ token: "second" }) });
  expect(chain.token).toBe("second");
});
