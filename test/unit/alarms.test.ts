/**
 * Named deadlines over the one alarm: never too late, and set anew only where it must be.
 */
import * as fc from "fast-check";
import { expect, test } from "vitest";

import { Alarms } from "../../durable-objects/alarms.ts";

/** An object's alarm, as the platform keeps it. */
class FakeAlarm {
  setForMs: number | undefined;
  timesSet = 0;

  setAlarm(timeMs: number): Promise<void> {
    this.setForMs = timeMs;
    this.timesSet++;
    return Promise.resolve();
  }
}

test("the alarm is set for the earliest deadline there is", async () => {
  const alarm = new FakeAlarm();
  await new Alarms(alarm).arm({ sweep: 300, expire: undefined, keepAlive: 200 });
  expect(alarm.setForMs).toBe(200);
});

test("without a deadline no alarm is set", async () => {
  const alarm = new FakeAlarm();
  await new Alarms(alarm).arm({ sweep: undefined });
  expect(alarm.timesSet).toBe(0);
});

test("a later deadline does not move the alarm: a move is billed as a row", async () => {
  const alarm = new FakeAlarm();
  const alarms = new Alarms(alarm);
  await alarms.arm({ sweep: 200 });
  await alarms.arm({ sweep: 500 });
  await alarms.arm({ sweep: 200 });
  expect(alarm).toMatchObject({ setForMs: 200, timesSet: 1 });
});

test("an earlier deadline moves it", async () => {
  const alarm = new FakeAlarm();
  const alarms = new Alarms(alarm);
  await alarms.arm({ sweep: 500 });
  await alarms.arm({ sweep: 500, expire: 100 });
  expect(alarm.setForMs).toBe(100);
});

test("once it has gone off it is set again, also for a time that was set before", async () => {
  const alarm = new FakeAlarm();
  const alarms = new Alarms(alarm);
  await alarms.arm({ sweep: 200 });
  alarms.noteFired();
  alarm.setForMs = undefined;
  await alarms.arm({ sweep: 200 });
  expect(alarm).toMatchObject({ setForMs: 200, timesSet: 2 });
});

test("an alarm that storage refused is not taken for set", async () => {
  const alarm = new FakeAlarm();
  const refusing = { setAlarm: () => Promise.reject(new Error("storage is full")) };
  let port: { setAlarm(timeMs: number): Promise<void> } = refusing;
  const alarms = new Alarms({ setAlarm: (timeMs) => port.setAlarm(timeMs) });
  await expect(alarms.arm({ expire: 100 })).rejects.toThrow("storage is full");
  port = alarm;
  await alarms.arm({ expire: 100 });
  expect(alarm.setForMs).toBe(100);
});

test("whatever happens in whatever order, no deadline is without an alarm at or before it", async () => {
  const deadlines = fc.record({
    a: fc.option(fc.nat(100), { nil: undefined }),
    b: fc.option(fc.nat(100), { nil: undefined }),
  });
  const step = fc.oneof(deadlines, fc.constant("fired" as const));
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
      const alarm = new FakeAlarm();
      const alarms = new Alarms(alarm);
      for (const next of steps) {
        if (next === "fired") {
          alarms.noteFired();
          alarm.setForMs = undefined;
          continue;
        }
        await alarms.arm(next);
        const due = Object.values(next).filter((time) => time !== undefined);
        expect(due.filter((time) => alarm.setForMs === undefined || alarm.setForMs > time)).toEqual([]);
      }
    }),
    { seed: 3 },
  );
});
