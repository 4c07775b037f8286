/**
 * Priorities: the route's rules in order, then the field's conventions.
 */
import { expect, test } from "vitest";

import { createClassifier } from "../../durable-objects/stream/classify.ts";
import { PriorityRule } from "../../protocol/priority.ts";

const LOW = 0;
const NORMAL = 1;
const HIGH = 2;
const CRITICAL = 3;

function classify(rules: readonly PriorityRule[], event: string | undefined, data: unknown = "") {
  const text = typeof data === "string" ? data : JSON.stringify(data);
  return createClassifier(rules)({ event, data: text, retryMs: undefined });
}

test("without rules the names that the field has agreed on decide, and all else is normal", () => {
  const names: Readonly<Record<number, readonly (string | undefined)[]>> = {
    [CRITICAL]: ["error", "stage", "done", "end", "complete"],
    [HIGH]: ["result", "final"],
    [NORMAL]: [undefined, "token", "message", "toString", "__proto__"],
    [LOW]: ["debug", "trace", "progress", "ping"],
  };
  for (const [priority, alike] of Object.entries(names)) {
    expect(alike.filter((name) => classify([], name) !== Number(priority))).toEqual([]);
  }
});

test("names are told apart by case, as EventSource does", () => {
  expect(classify([], "Error")).toBe(NORMAL);
});

test("[DONE] is the end, whatever its name, and only as the whole of the data", () => {
  expect(classify([], undefined, "[DONE]")).toBe(CRITICAL);
  expect(classify([], "debug", "[DONE]")).toBe(CRITICAL);
  expect(classify([], undefined, "[DONE] ")).toBe(NORMAL);
});

test("a rule by name overrides the conventions", () => {
  const rules = [{ event: "error", priority: "low" }] satisfies PriorityRule[];
  expect(classify(rules, "error")).toBe(LOW);
  expect(classify(rules, "done")).toBe(CRITICAL);
});

test("a rule for message means events without a name", () => {
  const rules = [{ event: "message", priority: "high" }] satisfies PriorityRule[];
  expect(classify(rules, undefined)).toBe(HIGH);
  expect(classify(rules, "message")).toBe(HIGH);
});

test("a rule overrides [DONE] too", () => {
  expect(classify([{ event: "message", priority: "low" }], undefined, "[DONE]")).toBe(LOW);
});

test("the first rule that matches decides", () => {
  const rules = [
    { path: "$.a", priority: "high" },
    { path: "$.b", priority: "low" },
  ] satisfies PriorityRule[];
  expect(classify(rules, undefined, { a: 1, b: 1 })).toBe(HIGH);
  expect(classify(rules, undefined, { b: 1 })).toBe(LOW);
  expect(classify(rules, undefined, { c: 1 })).toBe(NORMAL);
});

test("a path without a value wants anything but null", () => {
  const rules = [{ path: "$.finish_reason", priority: "critical" }] satisfies PriorityRule[];
  expect(classify(rules, undefined, { finish_reason: "stop" })).toBe(CRITICAL);
  expect(classify(rules, undefined, { finish_reason: "" })).toBe(CRITICAL);
  expect(classify(rules, undefined, { finish_reason: 0 })).toBe(CRITICAL);
  expect(classify(rules, undefined, { finish_reason: false })).toBe(CRITICAL);
  expect(classify(rules, undefined, { finish_reason: null })).toBe(NORMAL);
  expect(classify(rules, undefined, {})).toBe(NORMAL);
});

test("a path with a value wants that value, of that type", () => {
  const rules = [{ path: "$.n", equals: 1, priority: "high" }] satisfies PriorityRule[];
  expect(classify(rules, undefined, { n: 1 })).toBe(HIGH);
  expect(classify(rules, undefined, { n: "1" })).toBe(NORMAL);
  expect(classify(rules, undefined, { n: true })).toBe(NORMAL);
});

test("paths lead through members and array elements", () => {
  const rules = [{ path: "$.choices[0].delta.tool-call", equals: "x", priority: "high" }] satisfies PriorityRule[];
  expect(classify(rules, undefined, { choices: [{ delta: { "tool-call": "x" } }] })).toBe(HIGH);
  expect(classify(rules, undefined, { choices: [] })).toBe(NORMAL);
  expect(classify(rules, undefined, { choices: { 0: { delta: { "tool-call": "x" } } } })).toBe(HIGH);
  expect(classify(rules, undefined, { choices: [{ delta: null }] })).toBe(NORMAL);
});

test("a path may begin with an index", () => {
  expect(classify([{ path: "$[1]", equals: 2, priority: "high" }], undefined, [1, 2])).toBe(HIGH);
});

test("what an object inherits is not there", () => {
  const rules = [{ path: "$.constructor", priority: "high" }] satisfies PriorityRule[];
  expect(classify(rules, undefined, {})).toBe(NORMAL);
  expect(classify([{ path: "$.length", priority: "high" }], undefined, '"text"')).toBe(NORMAL);
});

test("data that is not JSON matches no path and breaks nothing", () => {
  const rules = [{ path: "$.a", priority: "high" }] satisfies PriorityRule[];
  const odd = ["", "{", "[DONE", "null", "1", "\u0000"];
  expect(odd.filter((data) => classify(rules, undefined, data) !== NORMAL)).toEqual([]);
});

test("a rule by name and path wants both", () => {
  const rules = [{ event: "delta", path: "$.last", equals: true, priority: "critical" }] satisfies PriorityRule[];
  expect(classify(rules, "delta", { last: true })).toBe(CRITICAL);
  expect(classify(rules, "delta", { last: false })).toBe(NORMAL);
  expect(classify(rules, "other", { last: true })).toBe(NORMAL);
});

test("a rule that could not work is refused when it is read", () => {
  const bad: unknown[] = [
    { priority: "low" },
    { event: "a", priority: "urgent" },
    { event: "", priority: "low" },
    { event: "a", equals: 1, priority: "low" },
    { path: "choices", priority: "low" },
    { path: "$", priority: "low" },
    { path: "$..a", priority: "low" },
    { path: "$.a[*]", priority: "low" },
    { path: "$.a['b']", priority: "low" },
    { event: "a", priority: "low", colour: "red" },
  ];
  expect(bad.filter((rule) => PriorityRule.safeParse(rule).success)).toEqual([]);
  expect(PriorityRule.safeParse({ path: "$.a[0].b-c", equals: "x", priority: "low" }).success).toBe(true);
});
