/**
 * What scripts/spillway makes of hostile values, which neither steer a terminal nor pass for something else, and of
 * answers that say that only a part was done.
 */
import { writeFileSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { describe, expect, test } from "vitest";

import { EXIT } from "../../scripts/cli/exit-codes.ts";
import { escapeJson, printable, printableField, printableJson, printableValue } from "../../scripts/cli/printable.ts";
import { recordText } from "../../scripts/cli/tail-events.ts";
import { list, table } from "../../scripts/cli/units.ts";
import { runHere } from "../fixtures/cli-run.ts";
import { exportText } from "../fixtures/export-text.ts";

/** Steers, reorders, and makes up a line: C1, bidirectional controls, line ends, escape sequences. */
const HOSTILE = "a\u009B31m\u202Eb\u2066c\u061Cd\u200F\n2026-11-21T10:00:00Z  AdminAction  actor=eve\te\u001B[1mf";
/** Whatever of it reached a terminal would do harm. */
// oxlint-disable-next-line no-control-regex
const HARMFUL = /[\u0000-\u0008\u000B-\u001F\u007F-\u009F\u061C\u200E\u200F\u2028-\u202E\u2066-\u2069]/;

describe("P1, P3 no output has a character that steers or reorders", () => {
  test("escapes, written out", () => {
    expect(printable("a\u001B[2J\u009B1m\u202E\u2069\u200E\u061C\n\t")).toBe(
      "a\\u001b[2J\\u009b1m\\u202e\\u2069\\u200e\\u061c\n\t",
    );
    expect(printableValue("a\nb\tc\u001B[1md")).toBe("a\\u000ab\\u0009c\\u001b[1md");
  });

  test("JSON says the same by its escapes, and needs no others", () => {
    const value = { [HOSTILE]: [HOSTILE, 1] };
    expect(printableJson(value)).not.toMatch(HARMFUL);
    expect(JSON.parse(printableJson(value))).toEqual(value);
    expect(escapeJson('{"a":"ü 你 🙂"}')).toBe('{"a":"ü 你 🙂"}');
  });

  test.each([[[]], [["--json"]]])("of a tail, a list and a refusal, with %j", async (args) => {
    const record = { event: `E${HOSTILE}`, time: HOSTILE, [HOSTILE]: HOSTILE, reason: HOSTILE };
    const letter = { ...LETTER, reason: HOSTILE, event: { type: HOSTILE, id: HOSTILE } };
    const problem = { title: HOSTILE, code: HOSTILE, detail: HOSTILE, request_id: HOSTILE, expected: HOSTILE };
    const outcomes = [
      await runHere(["tail", "-", ...args], { input: JSON.stringify(record) }),
      await runHere(["dead-letters", "list", ...args], { answer: () => Response.json(lettersOf(letter)) }),
      await runHere(["status", ...args], { answer: () => Response.json(problem, { status: 400 }) }),
    ];
    for (const { stdout, stderr } of outcomes) expect(stdout + stderr).not.toMatch(HARMFUL);
    expect(outcomes.map(({ stdout, stderr }) => (stdout + stderr).trim().split("\n").length)).toEqual(
      args.length === 0 ? [1, 4, 2] : [1, 1, 1],
    );
  });

  test("an export is byte for byte what the service sent, but on a terminal, where it says the same", async () => {
    const text = exportText(1).replace('"source":"test/cli"', '"source":"a\u009B31m\u202E"');
    const options = { answer: () => new Response(text) };
    const piped = await runHere(["export"], options);
    expect(piped.stdout).toBe(text);
    const shown = await runHere(["export"], { ...options, isTerminal: true });
    expect(shown.stdout).not.toMatch(HARMFUL);
    expect(values(shown.stdout)).toEqual(values(text));
  });
});

function values(lines: string): unknown[] {
  return lines
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as unknown);
}

describe("P2 a value stays where it stands", () => {
  test("in its cell, and beside its name", () => {
    const columns = [
      { title: "id", cell: ({ id }: { id: string }) => id },
      { title: "n", cell: () => "1", isNumber: true },
    ];
    expect(table([{ id: "a\nb" }, { id: "c" }], columns)).toBe("id        n\na\\u000ab  1\nc         1");
    expect(list([["name", "a\nother  b"]])).toBe("name  a\\u000aother  b");
  });

  test("in its field: what would end it puts it in quotes", () => {
    expect(["plain", "/a-b:c", "", "a b", "a=b", 'a"b', "a\\b"].map(printableField)).toEqual([
      "plain",
      "/a-b:c",
      '""',
      '"a b"',
      '"a=b"',
      '"a\\"b"',
      '"a\\\\b"',
    ]);
    const record = { event: "A", time: "T", reason: "x  actor=eve", list: ["y  actor=eve"], actor: "me" };
    expect(recordText(record)).toBe('T  A  reason="x  actor=eve"  list=["y  actor=eve"]  actor=me');
    expect(recordText({ event: "A\nB", "r  actor=eve": 1 })).toBe('-  "A\\nB"  "r  actor=eve"=1');
  });
});

const LETTER = { shard_index: 0, shard: "0-ab", letter_id: 1, reason: "r", attempts: 1, at: "t", event: null };

function lettersOf(letter: object) {
  return { letters: [letter], next: null, total: 1 };
}

const REDRIVEN = { redriven: 0, remaining: 0, unreadable: 0, full: [], failed: [] };
const FLUSHED = {
  ok: false,
  shards: [],
  failed: [],
  snapshot_id: null,
  committed_files: 0,
  committed_records: 0,
  remaining_events: 0,
  staged_files: 0,
  commit_error: null,
};
const RESET = { shard: "0-ab", events: 5, bytes: 9, exports: ["exports/x"], delivered_events: 2, kept_events: 3 };

describe("what was not done is told, by text and by exit code", () => {
  test.each([
    [["dead-letters", "redrive"], { ...REDRIVEN, failed: ["shard-1"] }, EXIT.partial, "Failed: shard-1"],
    [["dead-letters", "redrive"], { ...REDRIVEN, full: ["shard-0"] }, EXIT.partial, "No room for all: shard-0"],
    [["dead-letters", "redrive"], { ...REDRIVEN, unreadable: 2 }, EXIT.ok, "2 cannot be read as events"],
    [["alerts", "test"], { has_webhook: true, delivered: false, status: null }, EXIT.failed, "could not be reached"],
    [["alerts", "test"], { has_webhook: true, delivered: false, status: 500 }, EXIT.failed, "refused it with 500"],
    [["alerts", "test"], { has_webhook: false, delivered: false, status: null }, EXIT.ok, "No webhook is set"],
    [["reset", "--shard", "0", "--yes"], RESET, EXIT.ok, "3 events are in the shard still"],
    [["reset", "--shard", "0", "--yes"], RESET, EXIT.ok, "2 events were on their way into the table"],
    [
      ["streams", "list", "--state", "stuck"],
      { state: "stuck", at: "t", streams: [], missing_shards: ["shard-1"] },
      EXIT.partial,
      "shard-1 did not answer",
    ],
    [
      ["flush", "--request-id", "r1"],
      { ...FLUSHED, stream: { request_id: "r1", stored: false, telemetry_events: 0, error: "storage is full" } },
      EXIT.partial,
      "NOT written, 0 telemetry events handed over. storage is full",
    ],
  ])("%j answered by %j ends with %i", async (args, body, code, text) => {
    const ran = await runHere(args, { answer: () => Response.json(body, { status: 207 }) });
    expect([ran.code, ran.stdout], ran.stderr).toEqual([code, expect.stringContaining(text)]);
  });

  test("rows that could not be read, in an export to a file", async () => {
    const row = JSON.stringify({ unreadable: { shard: "s", seq: 9, events: 1, text: "" } });
    const out = join(mkdtempSync(join(tmpdir(), "spillway-cli-")), "x.ndjson");
    const answer = () => new Response(exportText(1).replace('{"end"', `${row}\n{"end"`));
    expect((await runHere(["export", "--out", out], { answer })).stdout).toContain("1 rows could not be read");
  });
});

test("alerts are told with rounded figures, and until when those that are over", async () => {
  const alert = { alert: "TrimRate", severity: "critical", subject: "s", threshold: 0.5, message: "m", runbook: "R" };
  const firing = [{ ...alert, value: 0.9946341507703762, since: "1", resolved_at: null }];
  const still = await runHere(["alerts"], { answer: () => Response.json({ firing, recent: [] }) });
  expect(still.stdout).toContain(" 0.995 ");
  expect(still.stdout).not.toContain("until");
  const recent = [{ ...alert, value: 2, since: "1", resolved_at: "2026-11-21T10:00:00Z" }];
  const over = await runHere(["alerts"], { answer: () => Response.json({ firing: [], recent }) });
  expect(over.stdout).toMatch(/until[^]*2026-11-21T10:00:00Z/);
});

test("what a reset has written is read by the service itself, part by part", async () => {
  const asked: string[] = [];
  const answer = (request: Request) => {
    asked.push(new URL(request.url).searchParams.get("export") ?? "");
    const rejected = asked.length === 2 ? [{ line: 3, detail: "bad" }] : [];
    return Response.json({ events: 2, accepted: 2, duplicates: 0, rejected, rejected_lines: rejected.length });
  };
  const keys = ["exports/0-ab/x-1.ndjson", "exports/0-ab/x-2.ndjson"];
  const ran = await runHere(["replay", ...keys.flatMap((key) => ["--export", key])], { answer });
  expect([ran.code, asked]).toEqual([EXIT.partial, keys]);
  expect(ran.stdout).toContain("4 events sent: 4 accepted, 0 duplicates, 1 rejected.");
  expect(ran.stdout).toContain("line 3: exports/0-ab/x-2.ndjson: bad");
  expect((await runHere(["replay", "file", "--export", "x"])).code).toBe(EXIT.usage);
  const missing = await runHere(["replay", "--export", "x"], {
    answer: () => Response.json(NOT_FOUND, { status: 404 }),
  });
  expect(missing.code).toBe(EXIT.failed);
});

const NOT_FOUND = { title: "Not found", code: "not_found", detail: "", request_id: "r" };

test("a replay that broke off goes on from the line that it named, and sends nothing of before", async () => {
  const file = join(mkdtempSync(join(tmpdir(), "spillway-cli-")), "large.ndjson");
  const wide = exportText(4)
    .split(/(?<=\n)/)
    .slice(1, 5)
    .map((line) => line.replace("test/cli", "x".repeat(5_000_000)));
  writeFileSync(file, wide.join(""));
  const seqs: number[] = [];
  let answers = 2;
  const answer = async (request: Request) => {
    if (answers-- === 0) return new Response("", { status: 500 });
    seqs.push((JSON.parse(await request.text()) as { seq: number }).seq);
    return Response.json({ events: 1, accepted: 1, duplicates: 0, rejected: [], rejected_lines: 0 });
  };
  const broken = await runHere(["replay", file, "--without-checksum"], { answer });
  expect([broken.code, broken.stderr]).toEqual([EXIT.partial, expect.stringContaining("--from-line 3.")]);
  answers = 9;
  const done = await runHere(["replay", file, "--without-checksum", "--from-line", "3"], { answer });
  expect([done.code, seqs], done.stderr).toEqual([EXIT.ok, [1, 2, 3, 4]]);
});
