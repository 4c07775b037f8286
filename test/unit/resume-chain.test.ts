/**
 * The check behind the benchmark's resumes sees what is wrong, and nothing where all is right.
 */
import { expect, test } from "vitest";

import { ResumeChain, type ChainEvent } from "../../bench/lib/resume-chain.ts";

const content = (number: number): ChainEvent => ({ data: `~${number} 0 x`, id: `1-${number}` });
const gap = (from: number, to: number, dropped = to - from + 1): ChainEvent => ({
  event: "gap",
  data: JSON.stringify({ from: `1-${from}`, to: `1-${to}`, dropped }),
  id: `1-${to}`,
});
const end = (status = "complete", id = "1-4"): ChainEvent => ({ event: "end", data: JSON.stringify({ status }), id });

function faultOf(events: readonly ChainEvent[]): string | undefined {
  const chain = new ResumeChain("token", 4);
  for (const event of events) chain.take(event);
  return chain.fault ?? (chain.isEnded ? undefined : "it did not end");
}

test("a whole stream is right, and so is one whose beginning a gap names", () => {
  expect(faultOf([content(1), content(2), content(3), content(4), end()])).toBeUndefined();
  expect(faultOf([gap(1, 2), content(3), content(4), end()])).toBeUndefined();
});

test.each([
  ["an event is missing", [content(1), content(3), content(4), end()], "id 1-3 where seq 2 was due"],
  ["an event comes twice", [content(1), content(1), content(2)], "id 1-1 where seq 2 was due"],
  ["the same content comes under another id", [content(1), { ...content(1), id: "1-2" }], "event 1 where 2 was next"],
  ["another content comes under an id", [content(1), { ...content(3), id: "1-2" }], "event 3 where 2 was next"],
  ["a gap begins too late", [gap(2, 3)], "a gap from 1-2 to 1-3 of 2"],
  ["a gap ends too early for what it counts", [gap(1, 2, 3)], "a gap from 1-1 to 1-2 of 3"],
  ["a gap names one too few", [gap(1, 1), content(3)], "id 1-3 where seq 2 was due"],
  ["a gap names one too many", [gap(1, 3), content(3)], "id 1-3 where seq 4 was due"],
  ["the end comes early", [content(1), content(2), content(3), end("complete", "1-3")], "it ended after 3 of 4 events"],
  ["the end says something else", [content(1), content(2), content(3), content(4), end("error")], "it ended error"],
  ["something follows the end", [content(1), content(2), content(3), content(4), end(), content(5)], "after the end"],
  ["an id is none", [content(1), { ...content(2), id: "2" }], "id 2 where seq 2 was due"],
])("it is seen that %s", (_, events, fault) => {
  expect(faultOf(events)).toContain(fault);
});

test("nothing left is right for a reader that has all, and for no other", () => {
  const chain = new ResumeChain("token", 2);
  chain.take(content(1));
  chain.take(content(2));
  chain.takeNothingLeft();
  expect([chain.isEnded, chain.fault]).toEqual([true, undefined]);
  const short = new ResumeChain("token", 2);
  short.take(content(1));
  short.takeNothingLeft();
  expect(short.fault).toContain("it ended after 1 of 2 events");
});

test("the token is the last one that was given", () => {
  const chain = new ResumeChain("first", 4);
  chain.take({ event: "resume", data: JSON.stringify({ token: "second" }) });
  expect(chain.token).toBe("second");
});
