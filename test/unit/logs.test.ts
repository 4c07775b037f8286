/**
 * Recipes for the logs: each finds what it is for, in the output of a tail and of a local run, and its jq text
 * does the same. And docs/logs.md, which names every event with all its fields.
 */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";

import { describe, expect, test } from "vitest";

import { isOverload, ObjectSplitter, recordsOf } from "../../scripts/logs/log-records.ts";
import { findRecipe, jqCommand, jqFilter, pick, RECIPES, type Recipe } from "../../scripts/logs/recipes.ts";
import { RECORDS, SAMPLE_RUN, SAMPLE_TAIL } from "../fixtures/tail-sample.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const DOCUMENT = readFileSync(join(ROOT, "docs/logs.md"), "utf8");
/** What each is asked with, where it wants to be told something. */
const ARGUMENTS: Readonly<Record<string, string>> = { stream: "stream-1" };

function read(text: string, chunkChars = text.length): Record<string, unknown>[] {
  const splitter = new ObjectSplitter();
  const found: Record<string, unknown>[] = [];
  for (let at = 0; at < text.length; at += chunkChars) {
    for (const object of splitter.push(text.slice(at, at + chunkChars))) found.push(...recordsOf(object));
  }
  return found;
}

function found(recipe: Recipe, text: string): unknown[] {
  const records = read(text).map((record) => pick(recipe, record, ARGUMENTS[recipe.name]));
  return records.filter((record) => record !== undefined);
}

/** What jq finds; `undefined` where this machine has none. */
function foundByJq(recipe: Recipe, text: string): unknown[] | undefined {
  const { parameter } = recipe;
  const value = ARGUMENTS[recipe.name] ?? parameter?.fallback ?? "";
  const bound = parameter === undefined ? [] : [parameter.isText ? "--arg" : "--argjson", parameter.name, value];
  const { status, stdout, error } = spawnSync("jq", ["-c", ...bound, jqFilter(recipe)], {
    input: text,
    encoding: "utf8",
  });
  if (error !== undefined) return undefined;
  expect(status).toBe(0);
  return stdout.split("\n").flatMap((line) => (line === "" ? [] : [JSON.parse(line) as unknown]));
}

/** The command itself, with this on its standard input. */
function logs(args: readonly string[], input = "") {
  const script = join(ROOT, "scripts/logs.ts");
  const { status, stdout, stderr } = spawnSync(process.execPath, [script, ...args], { input, encoding: "utf8" });
  return { status, stdout, stderr };
}

describe("records are found", () => {
  test.each([1, 7, 4096])("in a tail that comes %i characters at a time", (chunkChars) => {
    expect(read(SAMPLE_TAIL, chunkChars)).toEqual(RECORDS);
  });

  test.each([1, 7, 4096])("among the lines of a local run, %i characters at a time", (chunkChars) => {
    expect(read(SAMPLE_RUN, chunkChars)).toEqual(RECORDS);
  });

  test("and the notice that a tail is overloaded", () => {
    expect(new ObjectSplitter().push(SAMPLE_TAIL).filter(isOverload)).toHaveLength(1);
  });
});

describe("recipes", () => {
  const picked: Readonly<Record<string, number>> = {
    "resume-failures": 3,
    "slow-resumes": 2,
    trims: 1,
    relief: 1,
    gaps: 1,
    "readers-removed": 1,
    stream: 12,
    ends: 1,
    degraded: 3,
    "archive-failures": 1,
    "flush-failures": 1,
    buffers: 2,
    commits: 2,
    "lost-and-set-aside": 3,
    "admin-actions": 2,
    alerts: 2,
    errors: 2,
  };

  test.each(RECIPES.map((recipe) => [recipe.name, recipe] as const))(
    "%s, and its jq text finds the same",
    (name, recipe) => {
      const records = found(recipe, SAMPLE_TAIL);
      expect(records).toHaveLength(picked[name] ?? 0);
      expect(found(recipe, SAMPLE_RUN)).toEqual(records);
      // Where there is no jq its text is held by how it is made: from the same data, by one function.
      expect(foundByJq(recipe, SAMPLE_TAIL) ?? records).toEqual(records);
      expect(DOCUMENT).toContain(`**${name}**: ${recipe.about}.\n\n\`\`\`sh\n${jqCommand(recipe)}\n\`\`\``);
    },
  );

  test("show what is asked for, null where a record lacks it", () => {
    const recipe = findRecipe("resume-failures");
    expect(recipe && found(recipe, SAMPLE_TAIL)).toEqual([
      expect.objectContaining({ event: "SseResumeFailed", code: "token_expired", reason: null, route: "chat" }),
      expect.objectContaining({ code: "token_invalid", reason: "unknown_key", request_id: null }),
      expect.objectContaining({ event: "SseStartRefused", code: "rate_limited", tenant: "acme" }),
    ]);
  });

  test("jq text, written out", () => {
    const texts = ["trims", "slow-resumes", "stream"]
      .map((name) => findRecipe(name))
      .map((recipe) => recipe && jqCommand(recipe));
    expect(texts).toEqual([
      `jq -c '.logs[].message[] | fromjson? | objects | select(.event | IN("SseBufferTrimmed")) | {time, route, priority, reason, events, bytes, request_id}'`,
      `jq -c --argjson over_ms 1000 '.logs[].message[] | fromjson? | objects | select(.event | IN("SseResumeLiveStart")) | select(.catch_up_ms >= $over_ms) | {time, catch_up_ms, position, route, request_id}'`,
      `jq -c --arg request_id "$REQUEST_ID" '.logs[].message[] | fromjson? | objects | select(.request_id == $request_id)'`,
    ]);
  });
});

describe("npm run logs", () => {
  test("writes one line for each record, and says when a tail is a sample", () => {
    const { status, stdout, stderr } = logs(["slow-resumes", "2000"], SAMPLE_TAIL);
    expect({ status, lines: stdout.trim().split("\n") }).toMatchObject({
      status: 0,
      lines: [expect.stringContaining('"catch_up_ms":2400')],
    });
    expect(stderr).toContain("this is a sample");
  });

  test.each([
    [[], "no recipe"],
    [["nothing-known"], "no recipe"],
    [["stream"], "needs a request_id"],
    [["slow-resumes", "soon"], "is a whole number"],
    [["trims", "please"], "takes no please"],
    [["stream", "a", "b"], "too many words"],
  ])("%j is refused with 2", (args, words) => {
    const { status, stderr } = logs(args);
    expect(status).toBe(2);
    expect(stderr).toContain(words);
  });

  test("writes no character that steers a terminal or reorders what is read, and says the same", () => {
    const hostile = { reason: "a\u009B31m\u202Eb\u007F", route: "r\nn" };
    const { stdout } = logs(["trims"], `${JSON.stringify({ event: "SseBufferTrimmed", ...hostile })}\n`);
    // oxlint-disable-next-line no-control-regex
    expect(stdout).not.toMatch(/[\u007F-\u009F\u202E]/);
    expect(JSON.parse(stdout)).toMatchObject(hostile);
  });

  test("takes a stream's id that begins with a dash", () => {
    const id = "-".padEnd(27, "a");
    const line = JSON.stringify({ event: "SseStreamStarted", time: "2026-01-01T00:00:00.000Z", request_id: id });
    const { status, stdout } = logs(["stream", id], `${line}\n`);
    expect([status, stdout.includes(id)]).toEqual([0, true]);
  });

  test("explains itself, and gives its jq text", () => {
    expect(logs(["--help"])).toMatchObject({ status: 0, stdout: expect.stringContaining("lost-and-set-aside") });
    expect(logs(["errors", "--jq"]).stdout).toMatch(/^jq -c '\.logs.*"Misconfigured".*'\n$/);
  });
});

describe("docs/logs.md", () => {
  const source = readFileSync(join(ROOT, "protocol/telemetry.ts"), "utf8");

  test("names every event with all its fields, and no other", () => {
    const documented = documentedEvents();
    const declared = declaredEvents(source);
    expect(declared.size).toBeGreaterThan(30);
    expect([...documented.keys()].toSorted()).toEqual([...declared.keys()].toSorted());
    for (const [event, fields] of declared) expect(documented.get(event), event).toEqual(fields);
  });

  test("recipes pick events and fields that exist", () => {
    const declared = declaredEvents(source);
    const common = ["event", "time", "request_id", "route", "tenant", "correlation_id"];
    const logged = { InternalError: ["name", "at", "shard", "object"], Misconfigured: ["faults"] };
    const known = new Map([...declared, ...Object.entries(logged)]);
    for (const { name, events, fields } of RECIPES) {
      const possible = new Set([...common, ...events.flatMap((event) => known.get(event) ?? [])].map(withoutBrackets));
      expect(
        events.filter((event) => !known.has(event)),
        name,
      ).toEqual([]);
      expect(
        fields.filter((field) => !possible.has(field)),
        name,
      ).toEqual([]);
    }
  });
});

function withoutBrackets(field: string): string {
  return field.replace(/[[\]]/g, "");
}

/** Fields by event, optional ones in brackets, of the document's tables. */
function documentedEvents(): Map<string, string[]> {
  const [telemetry = ""] = DOCUMENT.split("## Besides telemetry");
  const rows = telemetry.matchAll(/^\| `([A-Z]\w+)` \| ([^|]*) \|/gm);
  return new Map(
    [...rows].map(([, event = "", fields = ""]) => [event, fields.replaceAll("`", "").match(/\[?\w+\]?/g) ?? []]),
  );
}

/** The same of the TypeScript source: each object type that has a member `event`, and the types it is joined with. */
function declaredEvents(source: string): Map<string, string[]> {
  const text = source.replace(/\/\*[\s\S]*?\*\//g, "").replace(/\/\/.*/g, "");
  const events = new Map<string, string[]>();
  for (const match of text.matchAll(/readonly event: "(\w+)"/g)) {
    const end = text.indexOf("}", match.index);
    const joined = /^\}\s*&\s*(\w+)/.exec(text.slice(end))?.[1];
    const more = joined === undefined ? "" : (new RegExp(`interface ${joined} \\{([^}]*)\\}`).exec(text)?.[1] ?? "");
    const members = `${text.slice(match.index + match[0].length, end)}${more}`.matchAll(/readonly (\w+)(\??):/g);
    events.set(
      match[1] ?? "",
      [...members].map(([, name = "", mark]) => (mark === "?" ? `[${name}]` : name)),
    );
  }
  return events;
}
