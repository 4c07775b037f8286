/**
 * What scripts/spillway makes of numbers, logs and exports: units, tables, tails, checksums, pieces.
 */
import { createHash } from "node:crypto";

import { expect, test } from "vitest";

import { ChunkGathering, ExportCheck, linesOf } from "../../scripts/cli/export-lines.ts";
import { OverviewChanges } from "../../scripts/cli/overview-changes.ts";
import { fits, JsonObjects, recordsOf, recordText } from "../../scripts/cli/tail-events.ts";
import { printable } from "../../scripts/cli/printable.ts";
import { bytes, count, duration, share, table } from "../../scripts/cli/units.ts";
import { exportText } from "../fixtures/export-text.ts";

test("numbers carry their units, and what is missing is a dash", () => {
  expect([bytes(0), bytes(1023), bytes(1536), bytes(5 * 2 ** 30)]).toEqual(["0 B", "1023 B", "1.5 KiB", "5.0 GiB"]);
  expect([duration(12), duration(1500), duration(90_000), duration(7_200_000), duration(3e8)]).toEqual([
    "12 ms",
    "1.5 s",
    "1 min 30 s",
    "2 h 0 min",
    "3 d 11 h",
  ]);
  expect([count(1_234_567), share(0.5)]).toEqual(["1,234,567", "50.0 %"]);
  expect([bytes(null), duration(undefined), count(null), share(null)]).toEqual(["–", "–", "–", "–"]);
});

test("columns are as wide as what they hold, numbers stand at the right", () => {
  const rows = [
    { name: "a", size: 5 },
    { name: "longer", size: 1234 },
  ];
  const columns = [
    { title: "name", cell: ({ name }: { name: string }) => name },
    { title: "size", cell: ({ size }: { size: number }) => count(size), isNumber: true },
  ];
  expect(table(rows, columns)).toBe("name     size\na           5\nlonger  1,234");
});

test("what others sent in cannot steer a terminal", () => {
  expect(printable("a\u001B[2Jb\u0007\u009B1mc\rd\ne\tf")).toBe("a\\u001b[2Jb\\u0007\\u009b1mc\\u000dd\ne\tf");
});

test("a tail is read in whatever pieces it comes, and what is no JSON is passed over", () => {
  const record = { event: "SseResumeFailed", route: "demo", code: 'a "b" {c}\\', time: "2026-11-21T10:00:00.000Z" };
  const document = { outcome: "ok", logs: [{ message: [JSON.stringify(record), "other text", 5] }, { message: [] }] };
  const text = `starting {\n⛅ wrangler\n${JSON.stringify(document, null, 2)}\nnoise\n${JSON.stringify(record)}\n`;
  for (const size of [1, 2, 3, 7, 64, text.length]) {
    const objects = new JsonObjects();
    const found = [];
    for (let at = 0; at < text.length; at += size) found.push(...objects.take(text.slice(at, at + size)));
    expect(found.flatMap(recordsOf), `pieces of ${size}`).toEqual([record, record]);
  }
});

test("filters of a tail have to fit, each of them", () => {
  const record = { event: "A", route: "demo", request_id: "r1" };
  const all = { events: [], routes: [], requestIds: [] };
  expect(fits(record, all)).toBe(true);
  expect(fits(record, { ...all, events: ["B", "A"], routes: ["demo"] })).toBe(true);
  expect(fits(record, { ...all, events: ["A"], requestIds: ["r2"] })).toBe(false);
  expect(recordText({ event: "A", time: "T", route: "demo", reason: null, n: 3 })).toBe("T  A  route=demo  n=3");
});

test("of the monitor's overview only what is new is told", () => {
  const changes = new OverviewChanges();
  const alert = { alert: "BufferFill", severity: "warning", subject: "shard-0", value: 0.7, message: "m", since: "1" };
  const first = {
    at: "2",
    now: { active_streams: 1 },
    flushes: [{ at: "0", shard: "shard-0", events: 1 }],
    alerts: { firing: [alert], recent: [] },
  };
  expect(changes.take(first).map(({ event }) => event)).toEqual(["AlertFiring", "Now"]);
  expect(changes.take({ ...first, at: "3", alerts: { firing: [{ ...alert, value: 0.8 }], recent: [] } })).toEqual([]);
  const over = { ...alert, resolved_at: "4" };
  const later = { ...first, flushes: [{ at: "3", shard: "shard-1", events: 2 }, ...first.flushes] };
  expect(changes.take({ ...later, alerts: { firing: [], recent: [over] } }).map(({ event }) => event)).toEqual([
    "Flush",
    "AlertResolved",
  ]);
});

test("lines are cut from whatever pieces come, also inside a character", async () => {
  const text = Buffer.from('{"a":"ü"}\n\n{"b":"€"}\nrest');
  for (const size of [1, 2, 5, text.length]) {
    const lines: string[] = [];
    for await (const line of linesOf(piecesOf(text, size))) lines.push(line.toString("utf8"));
    expect(lines).toEqual(['{"a":"ü"}\n', "\n", '{"b":"€"}\n', "rest"]);
  }
});

async function* piecesOf(text: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < text.length; at += size) yield text.subarray(at, at + size);
}

function check(text: string): ExportCheck {
  const taken = new ExportCheck();
  for (const line of text.split(/(?<=\n)/)) taken.take(Buffer.from(line));
  return taken;
}

test("an export that is whole is found so", () => {
  const taken = check(exportText(2500));
  expect([taken.fault(), taken.events, taken.announced]).toEqual([undefined, 2500, 2500]);
  expect(check(exportText(0)).fault()).toBeUndefined();
});

test("an export is not whole with an event lost, changed or twice, or without its end", () => {
  const lines = exportText(3).split(/(?<=\n)/);
  const without = (at: number) => lines.filter((_, index) => index !== at).join("");
  expect(check(without(2)).fault()).toContain("says 3 events, and there are 2");
  expect(check(lines.join("").replace('"n\\":1', '"n\\":7')).fault()).toContain("checksum");
  expect(check([...lines.slice(0, 3), ...lines.slice(2)].join("")).fault()).toContain("there are 4");
  expect(check(without(lines.length - 1)).fault()).toContain("broke off after 3 events");
  expect(() => check(`${exportText(1)}{"shard":"s","seq":1,"event":{}}\n`)).toThrow("after the end");
  expect(() => check(exportText(1).slice(0, -3))).toThrow("cut short");
  expect(() => check('{"something":1}\n')).toThrow("Line 1 is none of an export");
});

test("sections one after the other are each checked, and a row that could not be read is in no checksum", () => {
  const unreadable = JSON.stringify({ unreadable: { shard: "s", seq: 9, events: 2, text: "" } });
  const second = exportText(2).replace('{"end"', `${unreadable}\n{"end"`);
  const taken = check(exportText(3) + second);
  expect([taken.fault(), taken.events, taken.unreadable, taken.announced]).toEqual([undefined, 5, 1, 5]);
  expect(check(exportText(3).replace('n\\":1', 'n\\":7') + second).fault()).toContain("checksum");
  expect(check(exportText(3).replace(/{"end".*\n/, "") + second).fault()).toContain("has no end");
});

test("pieces stay within their size, keep order, and know their lines of the file", () => {
  const gathering = new ChunkGathering(30);
  const lines = ["0123456789\n", "0123456789\n", "0123456789\n", `${"x".repeat(50)}\n`, "0\n"];
  const pieces = lines.flatMap((line, at) => gathering.add(Buffer.from(line), at + 2) ?? []);
  const last = gathering.flush();
  const all = last === undefined ? pieces : [...pieces, last];
  expect(all.map(({ fileLines }) => fileLines)).toEqual([[2, 3], [4], [5], [6]]);
  expect(all.map(({ body }) => Buffer.from(body).toString()).join("")).toBe(lines.join(""));
  expect(gathering.flush()).toBeUndefined();
});

test("the checksum is that of the event lines with their newlines", () => {
  const events = exportText(5)
    .split(/(?<=\n)/)
    .filter((line) => line.includes('"event"'));
  const sha256 = createHash("sha256").update(events.join("")).digest("hex");
  expect(exportText(5)).toContain(sha256);
});
