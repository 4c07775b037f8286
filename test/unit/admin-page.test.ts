/**
 * The parts of the operators' page that decide without a page: numbers in words, chart data, the lines of an
 * export, polling. In a browser, against the service: test/blackbox/admin-page.test.ts.
 */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";

import * as fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import type { MonitorPoint } from "../../protocol/monitor-report.ts";
import { CHARTS, chartData, chartSummary } from "../../public/admin/chart-specs.js";
import { ExportCheck, kindOf, linesOf } from "../../public/admin/export-lines.js";
import { count, duration, percent, size } from "../../public/admin/format.js";
import { backoffMs, LivePoll } from "../../public/admin/polling.js";
import { Sha256 } from "../../public/admin/sha256.js";
import { ADMIN_PAGE_PATHS } from "../../workers/routes/admin/page.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const PAGE = join(ROOT, "public/admin");

describe("the page's files", () => {
  test.each([
    ["uplot.js", "dist/uPlot.esm.js"],
    ["uplot.css", "dist/uPlot.min.css"],
    ["LICENSE", "LICENSE"],
  ])("vendor/%s is what npm brings, byte for byte", (name, original) => {
    const brought = readFileSync(join(ROOT, "node_modules/uplot", original));
    expect(readFileSync(join(PAGE, "vendor", name)).equals(brought)).toBe(true);
  });

  test("are served each, and nothing else is", () => {
    const there = readdirSync(PAGE, { recursive: true, encoding: "utf8" }).filter((name) =>
      /\.(js|css|svg)$|LICENSE/.test(name),
    );
    const served = ADMIN_PAGE_PATHS.filter((path) => path.startsWith("/admin/assets/")).map((path) =>
      path.replace("/admin/assets/", ""),
    );
    expect(served.toSorted()).toEqual(there.map((name) => name.replaceAll("\\", "/")).toSorted());
  });

  test("hold no inline script or style, name no other origin, and never make markup out of text", () => {
    const shell = readFileSync(join(PAGE, "index.html"), "utf8");
    expect(shell).not.toMatch(/<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=/i);
    expect(shell).not.toMatch(/(?:src|href)="(?!\/admin\/assets\/|#)/);
    for (const name of readdirSync(PAGE).filter((name) => name.endsWith(".js"))) {
      const source = readFileSync(join(PAGE, name), "utf8");
      expect(source, name).not.toMatch(
        /innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|\beval\b/,
      );
      expect(source, name).not.toMatch(/sessionStorage|document\.cookie|indexedDB/);
    }
  });
});

describe("numbers in words", () => {
  test("a share is cut, never rounded up to what it is not", () => {
    expect([1, 0.9996, 0.98, 0.0031, 0.00009, 0, null].map(percent)).toEqual([
      "100 %",
      "99.9 %",
      "98.0 %",
      "0.31 %",
      "0.00 %",
      "0 %",
      "–",
    ]);
  });

  test("sizes and durations carry their unit", () => {
    expect([0, 1023, 1536, 1572864].map(size)).toEqual(["0 B", "1,023 B", "1.50 KiB", "1.50 MiB"]);
    expect([0, 999, 1500, 61_000, 7_260_000, null].map(duration)).toEqual([
      "0 ms",
      "999 ms",
      "1.5 s",
      "1 min 1 s",
      "2 h 1 min",
      "–",
    ]);
    expect([12_345, undefined].map(count)).toEqual(["12,345", "–"]);
  });
});

describe("chart data", () => {
  const minuteMs = 60_000;
  const points = [0, 1, 5].map((minutes) =>
    point(minutes * minuteMs, { resume_attempts: minutes, resume_successes: minutes }),
  );

  test("a line breaks where nobody looked, and where there is nothing to divide by", () => {
    const spec = CHARTS.find(({ title }) => title === "Resume success");
    if (spec === undefined) throw new Error("no such chart");
    expect(chartData(points, spec)).toEqual([
      [0, 60, 180, 300],
      [null, 1, null, 1],
    ]);
  });

  test("every chart says in words what it shows, also without a point", () => {
    for (const spec of CHARTS) {
      expect(chartSummary([], spec)).toMatch(/no points yet/);
      expect(chartSummary(points, spec)).toMatch(/Points: 3\.$/);
    }
  });
});

describe("the lines of an export", () => {
  test("come out whole however the bytes are cut", async () => {
    const cuts = fc.array(fc.nat({ max: 400 }), { maxLength: 8 });
    const texts = fc.array(fc.string({ unit: fc.constantFrom("a", "ü", "€", "🌊", '"'), maxLength: 12 }), {
      minLength: 1,
      maxLength: 12,
    });
    await fc.assert(
      fc.asyncProperty(texts, cuts, async (lines, places) => {
        const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(""));
        const found: Uint8Array[] = [];
        for await (const line of linesOf(cutAt(bytes, places))) found.push(line);
        expect(Buffer.concat(found).equals(bytes)).toBe(true);
        expect(found.length).toBe(lines.length);
      }),
      { seed: 5, numRuns: 60 },
    );
  });

  test("are held against their end: whole, cut, changed", () => {
    const events = ['{"shard":"0-a","seq":1,"event":{}}\n', '{"shard":"0-a","seq":2,"event":{"data":"ü"}}\n'];
    const sha256 = createHash("sha256").update(events.join("")).digest("hex");
    const end = `${JSON.stringify({ end: { events: 2, sha256 } })}\n`;
    const progress = '{"progress":{"events":1,"of":2}}\n';
    expect(verdictOf(['{"export":{"version":1,"events":2}}\n', events[0], progress, events[1], end])).toBe("whole");
    expect(verdictOf(events)).toBe("cut");
    expect(verdictOf([events[0], end])).toBe("different");
    expect(verdictOf([events[1], events[0], end])).toBe("different");
    // Several sections, as files that a reset has written; one of them may have broken off.
    const head = '{"export":{"version":1,"events":2}}\n';
    expect(verdictOf([head, ...events, end, head, ...events, '{"unreadable":{"seq":3}}\n', end])).toBe("whole");
    expect(verdictOf([head, ...events, head, ...events, end])).toBe("cut");
    expect(verdictOf([head, ...events, end, head, events[0]])).toBe("cut");
  });

  test("give the same SHA-256 as Node's own, at every length around a block", () => {
    for (let length = 0; length < 200; length++) {
      const bytes = Buffer.alloc(length, length);
      const sum = new Sha256();
      for (let from = 0; from < length; from += 7) sum.update(bytes.subarray(from, from + 7));
      expect(sum.hex()).toBe(createHash("sha256").update(bytes).digest("hex"));
    }
  });
});

describe("polling", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  test("goes on at its pace, stops while hidden, and asks at once when seen again", async () => {
    const { poll, asked } = polling(() => Promise.resolve(1));
    poll.start();
    await vi.advanceTimersByTimeAsync(6500);
    expect(asked()).toBe(3);
    poll.pause();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(asked()).toBe(3);
    poll.resume();
    await vi.advanceTimersByTimeAsync(0);
    expect(asked()).toBe(4);
    poll.stop();
    poll.resume();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(asked()).toBe(4);
  });

  test("asks ever more seldom while it fails, and says when again", async () => {
    const { poll, states } = polling(() => Promise.reject(new Error("unreachable")));
    poll.start();
    await vi.advanceTimersByTimeAsync(120_000);
    poll.stop();
    expect(
      states.filter(({ kind }) => kind === "lost").map((state) => "retryInMs" in state && state.retryInMs),
    ).toEqual([3000, 6000, 12_000, 24_000, 30_000, 30_000, 30_000]);
    expect(backoffMs(50, 3000)).toBe(30_000);
  });

  test("waits as long as a refusal asks for", async () => {
    const { poll, asked } = polling(() => Promise.reject(Object.assign(new Error("later"), { retryAfterSec: 40 })));
    poll.start();
    await vi.advanceTimersByTimeAsync(39_000);
    expect(asked()).toBe(1);
    await vi.advanceTimersByTimeAsync(2000);
    expect(asked()).toBe(2);
    poll.stop();
  });

  test("takes no answer that comes after it was stopped", async () => {
    const answer = Promise.withResolvers<number>();
    const { poll, data } = polling(() => answer.promise);
    poll.start();
    poll.stop();
    answer.resolve(1);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(data).toEqual([]);
  });
});

function polling(answer: () => Promise<number>) {
  let asked = 0;
  const data: number[] = [];
  const states: { kind: string }[] = [];
  const poll = new LivePoll<number>({
    ask: () => {
      asked += 1;
      return answer();
    },
    onData: (given: number) => void data.push(given),
    onState: (state: { kind: string }) => void states.push(state),
    everyMs: 3000,
  });
  return { poll, data, states, asked: () => asked };
}

async function* cutAt(bytes: Uint8Array, places: readonly number[]): AsyncGenerator<Uint8Array> {
  let from = 0;
  for (const place of places.map((place) => place % (bytes.length + 1)).toSorted((a, b) => a - b)) {
    yield bytes.subarray(from, place);
    from = place;
  }
  yield bytes.subarray(from);
}

function verdictOf(lines: readonly (string | undefined)[]): string {
  const check = new ExportCheck();
  for (const line of lines.map((line) => Buffer.from(line ?? ""))) check.take(line, kindOf(line));
  return check.verdict().kind;
}

function point(atMs: number, values: Partial<MonitorPoint>): MonitorPoint {
  return {
    at: new Date(atMs).toISOString(),
    streams_started: 0,
    streams_ended: 0,
    active_streams: 0,
    active_readers: 0,
    resume_attempts: 0,
    resume_successes: 0,
    resume_failures: 0,
    source_events: 0,
    trimmed_events: 0,
    lost_events: 0,
    folded_events: 0,
    gaps: 0,
    events_taken: 0,
    buffered_events: 0,
    buffer_fill_rate: 0,
    flushes: 0,
    flush_failures: 0,
    commits: 0,
    commit_failures: 0,
    resume_latency_p95_ms: null,
    ...values,
  };
}
