/**
 * Draining an outlet: what is queued goes at once, in its order, and nothing goes twice.
 */
import { expect, test } from "vitest";

import type { LakeEvent } from "../../protocol/lake-event.ts";
import { TelemetryOutlet } from "../../protocol/telemetry-outlet.ts";
import { START_MS } from "../fixtures/lake-parts.ts";

const TIME = new Date(START_MS).toISOString();

/** An outlet whose waiting the test ends, and whose hand-offs it answers. */
function makeOutlet() {
  const sent: string[][] = [];
  const answers: PromiseWithResolvers<boolean>[] = [];
  const waits: (() => void)[] = [];
  const works: Promise<unknown>[] = [];
  let ids = 0;
  const outlet = new TelemetryOutlet({
    send: (events: readonly LakeEvent[]) => {
      sent.push(events.map(({ subject }) => subject ?? ""));
      const answer = Promise.withResolvers<boolean>();
      answers.push(answer);
      return answer.promise;
    },
    waitUntil: (work) => works.push(work),
    sleep: () => new Promise((resolve) => waits.push(resolve)),
    clock: () => START_MS,
    randomId: () => `id-${++ids}`,
    onDropped: () => undefined,
  });
  const tell = (name: string) => {
    const subject = { request_id: "r", route: "t", tenant: "", correlation_id: name };
    outlet.sink({ event: "SseStreamStarted", ...subject, time: TIME });
  };
  return { outlet, sent, answers, waits, works, tell };
}

const turns = () => new Promise((resolve) => setImmediate(resolve));

test("what is queued goes at once, without waiting for more, and is through when it was taken", async () => {
  const { outlet, sent, answers, waits, works, tell } = makeOutlet();
  tell("a");
  tell("b");
  let isThrough = false;
  const draining = outlet.drain().then(() => (isThrough = true));
  await turns();
  expect(sent).toEqual([["a", "b"]]);
  expect(isThrough).toBe(false);
  answers[0]?.resolve(true);
  await draining;
  expect(outlet.deliveredEvents).toBe(2);
  // The wait it was faster than comes to its end, and finds nothing.
  waits[0]?.();
  await Promise.all(works);
  expect(sent).toHaveLength(1);
});

test("a hand-off that is under way goes first: events arrive in their order", async () => {
  const { outlet, sent, answers, waits, tell } = makeOutlet();
  tell("a");
  waits[0]?.();
  await turns();
  tell("b");
  const draining = outlet.drain();
  await turns();
  expect(sent).toEqual([["a"]]);
  answers[0]?.resolve(true);
  await turns();
  expect(sent).toEqual([["a"], ["b"]]);
  answers[1]?.resolve(true);
  await draining;
  expect(outlet.deliveredEvents).toBe(2);
});

test("what comes while it drains waits for its own time: a busy stream's drain has an end", async () => {
  const { outlet, sent, answers, waits, works, tell } = makeOutlet();
  tell("a");
  const draining = outlet.drain();
  await turns();
  tell("b");
  answers[0]?.resolve(true);
  await draining;
  expect(sent).toEqual([["a"]]);
  waits[0]?.();
  await turns();
  expect(sent).toEqual([["a"], ["b"]]);
  answers[1]?.resolve(true);
  await Promise.all(works);
  expect(outlet.deliveredEvents).toBe(2);
});

test("more than one hand-off's worth goes in several, one after the other", async () => {
  const { outlet, sent, answers, tell } = makeOutlet();
  for (let at = 0; at < 700; at++) tell(String(at));
  const draining = outlet.drain();
  await turns();
  expect(sent.map((names) => names.length)).toEqual([500]);
  answers[0]?.resolve(true);
  await turns();
  expect(sent.map((names) => names.length)).toEqual([500, 200]);
  answers[1]?.resolve(true);
  await draining;
});

test("nothing queued, nothing sent", async () => {
  const { outlet, sent } = makeOutlet();
  await outlet.drain();
  expect(sent).toEqual([]);
});

test("what is refused is not counted, and is tried again as ever", async () => {
  const { outlet, sent, answers, waits, tell } = makeOutlet();
  tell("a");
  const draining = outlet.drain();
  await turns();
  answers[0]?.resolve(false);
  await turns();
  expect(outlet.deliveredEvents).toBe(0);
  // The wait before the second attempt; the first is the run's own, for more to come.
  waits[1]?.();
  await turns();
  answers[1]?.resolve(true);
  await draining;
  expect(sent).toEqual([["a"], ["a"]]);
  expect(outlet.deliveredEvents).toBe(1);
});
