/**
 * Where a position stands decides what is answered (PROTOCOL.md §3.1), to the byte: at each border of what
 * is retained, inside what is folded, and outside of what there ever was.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { statusOf, type StreamAddress } from "../fixtures/folded-stream.ts";
import { liveSource, type LiveSource } from "../fixtures/live-source.ts";
import { untilLogged } from "../fixtures/log-lines.ts";
import { problemOf } from "../fixtures/problems.ts";
import { startServiceWithUpstream, type ServiceWithUpstream } from "../fixtures/service-with-upstream.ts";
import { readStream, resumeStream, type SseReading } from "../fixtures/sse-reading.ts";
import { sendChunks } from "../fixtures/upstream.ts";
import { readWire } from "../fixtures/wire-reading.ts";

const LAST = 40;
const MAX_EVENTS = 16;
/** Deltas, which fold; the others take turns in their names, and do not. */
const DELTAS_FROM = 25;
const DELTAS_THROUGH = 36;

const ROUTES = ["told", "plain"] as const;
type Route = (typeof ROUTES)[number];
const STATES = ["running", "finished"] as const;
type State = (typeof STATES)[number];

interface Stream {
  readonly address: StreamAddress;
  readonly source: LiveSource;
  readonly live: SseReading;
  readonly requestId: string;
}

let scene: ServiceWithUpstream;
const streams = new Map<string, Stream>();
/** The first event that is retained, and a fold among them; the same in all streams. */
let first: number;
let fold: { readonly first: number; readonly last: number };

beforeAll(async () => {
  const routes = [
    { name: "told", fold: "text" },
    { name: "plain", fold: "text", control: false },
    { name: "holed", control: false, priority: [{ event: "stage", priority: "critical" }] },
  ];
  // Nothing is written by the clock, so that all streams fold alike.
  const vars = { SSE_BUFFER_MAX_EVENTS: MAX_EVENTS, SSE_COMMIT_INTERVAL_MS: 10_000 };
  scene = await startServiceWithUpstream(routes, vars);
  for (const state of STATES) for (const route of ROUTES) streams.set(`${state} ${route}`, await begin(route, state));
  const retained = await replayed(streamOf("told", "running"), "0-0");
  const ids = Array.from(retained.matchAll(/^id: 1-(\d+)\n(?!retry|event: gap)/gm), ([, seq]) => Number(seq));
  first = ids[0] ?? 0;
  const at = ids.findLastIndex((seq, place) => seq - (ids[place - 1] ?? 0) > 2);
  fold = { first: (ids[at - 1] ?? 0) + 1, last: ids[at] ?? 0 };
});

afterAll(async () => {
  await scene.end();
});

function streamOf(route: Route, state: State): Stream {
  const stream = streams.get(`${state} ${route}`);
  if (stream === undefined) throw new Error(`no ${state} stream of ${route}`);
  return stream;
}

function sourceFrame(seq: number): string {
  if (seq >= DELTAS_FROM && seq <= DELTAS_THROUGH) return `data: ${seq} \n\n`;
  return `event: ${seq % 2 === 0 ? "even" : "odd"}\ndata: ${seq}\n\n`;
}

async function begin(route: Route, state: State): Promise<Stream> {
  const source = liveSource();
  scene.upstream.handle(source.handler);
  const { origin } = scene.service;
  const answer = readStream(`${origin}/${route}/stream`);
  await source.open();
  const live = await answer;
  for (let seq = 1; seq <= LAST; seq++) {
    source.send(sourceFrame(seq));
    await live.untilContent(seq);
  }
  if (state === "finished") {
    source.end();
    await live.toEnd();
  }
  return { address: { origin, route, token: live.token }, source, live, requestId: live.requestId };
}

/** What a replay answers; what differs from run to run is checked for its form and left out. */
async function replayed({ address }: Stream, position: string, query = ""): Promise<string> {
  const headers = { "X-Resume-Token": address.token, "Last-Event-ID": position };
  const reading = await readWire(`${address.origin}/${address.route}/resume?mode=replay${query}`, headers);
  expect({ status: reading.status, isComplete: reading.isComplete }).toEqual({ status: 200, isComplete: true });
  const resume = /"request_id":"[\w-]+","token":"[\w.-]+","expires_at":"[\d:.TZ-]+"/;
  return reading.text.replace(resume, '"resume":true').replace(/"diagnostics":\{[\w":,]+\}\}/, '"diagnostics":true}');
}

/** The whole response of a replay from `position` that brings these events. */
function wholeReplay(route: Route, state: State, position: string, events: string): string {
  const head = `: spillway\n\nid: ${position}\nretry: 1500\n\n`;
  if (route === "plain") return head + events;
  const end = `id: 1-${LAST}\nevent: end\ndata: {"status":"complete","last_id":"1-${LAST}","diagnostics":true}\n\n`;
  const resume = 'event: resume\ndata: {"resume":true,"mode":"replay"}\n\n';
  return head + resume + events + (state === "finished" ? end : "");
}

function refused(address: StreamAddress, position: string, query = ""): Promise<Response> {
  const headers = { "X-Resume-Token": address.token, "Last-Event-ID": position };
  return fetch(`${address.origin}/${address.route}/resume${query}`, { headers });
}

/** Everything after `seq` as it is sent, folds as folds. */
function framesAfter(seq: number): string {
  let text = "";
  for (let next = seq + 1; next <= LAST; next++) {
    const isDelta = next >= DELTAS_FROM && next <= DELTAS_THROUGH;
    const foldFrom = isDelta ? next : undefined;
    if (foldFrom === undefined) {
      text += `id: 1-${next}\n${sourceFrame(next)}`;
      continue;
    }
    next = foldFrom < fold.first ? fold.first - 1 : fold.last;
    const deltas = Array.from({ length: next - foldFrom + 1 }, (_, at) => `${foldFrom + at} `);
    text += `id: 1-${next}\ndata: ${deltas.join("")}\n\n`;
  }
  return text;
}

function gapFrame(from: number, to: number): string {
  const gap = { from: `1-${from}`, to: `1-${to}`, dropped: to - from + 1, reason: "buffer_trimmed" };
  return `id: 1-${to}\nevent: gap\ndata: ${JSON.stringify(gap)}\n\n`;
}

describe.each(STATES)("a %s stream", (state) => {
  describe.each(ROUTES)("of the route %s", (route) => {
    const replay = (position: string, query?: string) => replayed(streamOf(route, state), position, query);
    const whole = (position: string, events: string) => wholeReplay(route, state, position, events);

    test("holds what it takes for each case", async () => {
      expect(first).toBeGreaterThan(3);
      expect(fold).toEqual({ first: expect.any(Number), last: DELTAS_THROUGH });
      expect(fold.first).toBeGreaterThanOrEqual(DELTAS_FROM);
      const status = await statusOf(streamOf(route, state).address);
      const folded_events = fold.last - fold.first;
      expect(status).toMatchObject({ first_id: `1-${first}`, trimmed_events: first - 1, folded_events });
    });

    test("first retained − 1: all that is retained, and nothing is missing", async () => {
      expect(await replay(`1-${first - 1}`)).toBe(whole(`1-${first - 1}`, framesAfter(first - 1)));
    });

    test("first retained: what follows it", async () => {
      expect(await replay(`1-${first}`)).toBe(whole(`1-${first}`, framesAfter(first)));
    });

    test.each([
      ["before the fold's first event", -1],
      ["the fold's first event", 0],
      ["inside of the fold", 2],
    ])("%s: the rest of the fold, under its last id", async (_, offset) => {
      expect(await replay(`1-${fold.first + offset}`)).toBe(
        whole(`1-${fold.first + offset}`, framesAfter(fold.first + offset)),
      );
    });

    test("the fold's last event but one: that event alone", async () => {
      expect(await replay(`1-${fold.last - 1}`)).toBe(whole(`1-${fold.last - 1}`, framesAfter(fold.last - 1)));
      expect(framesAfter(fold.last - 1)).toMatch(new RegExp(`^id: 1-${fold.last}\ndata: ${fold.last} \n\n`));
    });

    test("the fold's last event: what follows the fold", async () => {
      expect(await replay(`1-${fold.last}`)).toBe(whole(`1-${fold.last}`, framesAfter(fold.last)));
    });

    test("the last event but one: the last", async () => {
      expect(await replay(`1-${LAST - 1}`)).toBe(whole(`1-${LAST - 1}`, framesAfter(LAST - 1)));
    });

    test.each([
      ["0-0", 0],
      ["the first event", 1],
      ["first retained − 2", -2],
    ])("%s, with events after it gone: a gap that names them, or 410", async (_, at) => {
      const seq = at < 0 ? first + at : at;
      const position = seq === 0 ? "0-0" : `1-${seq}`;
      const rest = framesAfter(first - 1);
      const told = whole(position, gapFrame(seq + 1, first - 1) + rest);
      const accepted = whole(`1-${first - 1}`, rest);
      expect(await replay(position, "&accept_gap=1")).toBe(route === "told" ? told : accepted);
      const answer = await refused(streamOf(route, state).address, position, "?mode=replay");
      const trimmed = { status: 410, code: "position_trimmed", earliest_id: `1-${first}` };
      const outcome = answer.ok ? { status: answer.status } : await problemOf(answer);
      expect(outcome).toMatchObject(route === "told" ? { status: 200 } : trimmed);
    });

    test("an empty position is none: the token's", async () => {
      const rest = framesAfter(first - 1);
      const told = whole("0-0", gapFrame(1, first - 1) + rest);
      const accepted = whole(`1-${first - 1}`, rest);
      for (const query of ["&accept_gap=1", "&accept_gap=1&last_event_id="]) {
        expect(await replay("", query)).toBe(route === "told" ? told : accepted);
      }
    });

    test.each([
      ["one beyond the last", `1-${LAST + 1}`],
      ["far beyond the last", "1-999999999999999"],
      ["an epoch to come", "2-1"],
      ["an epoch to come, at a seq there is", `2-${LAST}`],
      ["an epoch to come, beyond the last", `2-${LAST + 1}`],
      ["a huge epoch", "9999999999-1"],
      ["huge in both", "9999999999-999999999999999"],
    ])("%s: 400, for no event ever had it", async (_, position) => {
      const { address, requestId } = streamOf(route, state);
      for (const query of ["", "?accept_gap=1", "?mode=replay"]) {
        const problem = await problemOf(await refused(address, position, query));
        const detail = "last_event_id: no event of this stream has this id";
        const code = "invalid_request";
        expect(problem).toMatchObject({ status: 400, code, field: "last_event_id", detail, request_id: requestId });
      }
    });

    test.each([
      ["not a number", "abc"],
      ["a seq alone", "7"],
      ["no seq", "1-"],
      ["no epoch", "-7"],
      ["three parts", "1-7-1"],
      ["epoch 0 with a seq", "0-7"],
      ["an epoch with seq 0", "1-0"],
      ["leading zeros", "01-07"],
      ["a fraction", "1-7.5"],
      ["an exponent", "1-1e1"],
      ["hexadecimal", "1-0x7"],
      ["a sign", "1-+7"],
      ["something after it", "1-7x"],
      ["beyond what a number holds", "1-9999999999999999"],
      ["an epoch beyond what there can be", "99999999999-1"],
      ["thousands of digits", `1-${"7".repeat(4_000)}`],
      ["null", "null"],
    ])("%s: 400, for it is no id", async (_, position) => {
      const { address } = streamOf(route, state);
      const byHeader = await problemOf(await refused(address, position));
      const inQuery = new URLSearchParams({ token: address.token, last_event_id: position });
      const byQuery = await problemOf(await fetch(`${address.origin}/${route}/resume?${inQuery.toString()}`));
      const detail = "last_event_id: not an event id of this service";
      for (const problem of [byHeader, byQuery]) {
        expect(problem).toMatchObject({ status: 400, code: "invalid_request", field: "last_event_id", detail });
      }
    });
  });
});

describe("a hole between events that were kept, where no gap can say so", () => {
  const LENGTH = 60;
  const STAGE = 5;
  const firstAfterHole = LENGTH - MAX_EVENTS + 2;
  let address: StreamAddress;
  beforeAll(async () => {
    const frames = Array.from(
      { length: LENGTH },
      (_, at) => `${at === STAGE - 1 ? "event: stage\n" : ""}data: ${at + 1}\n\n`,
    );
    scene.upstream.handle(sendChunks(frames));
    const live = await readStream(`${scene.service.origin}/holed/stream`);
    await live.toEnd();
    address = { origin: scene.service.origin, route: "holed", token: live.token };
  });

  test.each([
    ["0-0", STAGE],
    ["1-3", STAGE],
    ["1-4", firstAfterHole],
    ["1-5", firstAfterHole],
    ["1-20", firstAfterHole],
  ])("%s: 410, with the first event after the first hole", async (position, earliest) => {
    const problem = await problemOf(await refused(address, position));
    expect(problem).toMatchObject({ status: 410, code: "position_trimmed", earliest_id: `1-${earliest}` });
  });

  test.each(["0-0", "1-4", "1-5", "1-20"])("%s with accept_gap=1: what is there, to its end", async (position) => {
    const headers = { "X-Resume-Token": address.token, "Last-Event-ID": position };
    const { status, text, isComplete } = await readWire(`${address.origin}/holed/resume?accept_gap=1`, headers);
    expect({ status, isComplete }).toEqual({ status: 200, isComplete: true });
    const kept = Array.from({ length: LENGTH }, (_, at) => at + 1).filter((n) => n === STAGE || n >= firstAfterHole);
    const seq = Number(position.split("-")[1]);
    const expected = kept.filter((n) => n > seq).map((n) => `data: ${n}`);
    expect(text.match(/^data: \d+$/gm)).toEqual(expected);
  });

  test("it keeps the stage and the newest", async () => {
    expect(await statusOf(address)).toMatchObject({ first_id: `1-${STAGE}`, retained_events: MAX_EVENTS });
  });

  test("the event before the last hole's end: all that follows", async () => {
    const headers = { "X-Resume-Token": address.token, "Last-Event-ID": `1-${firstAfterHole - 1}` };
    const { status, text, isComplete } = await readWire(`${address.origin}/holed/resume`, headers);
    expect({ status, isComplete }).toEqual({ status: 200, isComplete: true });
    expect(text.match(/^data: \d+$/gm)).toHaveLength(MAX_EVENTS - 1);
  });
});

describe("the last event", () => {
  test.each(ROUTES)("of a finished stream: 204 without a byte (%s)", async (route) => {
    const response = await refused(streamOf(route, "finished").address, `1-${LAST}`);
    expect({ status: response.status, text: await response.text() }).toEqual({ status: 204, text: "" });
    expect(response.headers.get("x-spillway-end")).toBe("completed");
  });

  // The last of this file: their streams go on.
  test.each(ROUTES)("of a running stream, then inside of a fold: what comes, as it comes (%s)", async (route) => {
    const { address, source, requestId } = streamOf(route, "running");
    const readings = [];
    for (const seq of [LAST, fold.first + 1]) {
      readings.push(await resumeStream(`${address.origin}/${route}/resume`, address.token, `1-${seq}`));
    }
    await untilLogged(scene.service, "SseResumeLiveStart", { request_id: requestId }, 2);
    source.send("event: done\ndata: over\n\n");
    const [atLast, inFold] = readings;
    for (const reading of readings) {
      const isOver = () => reading.content.at(-1)?.event === "done";
      await reading.until(isOver, "the live event");
    }
    expect(atLast?.content).toEqual([{ event: "done", data: "over", id: `1-${LAST + 1}` }]);
    const rest = inFold?.content ?? [];
    const deltas = Array.from({ length: fold.last - fold.first - 1 }, (_, at) => `${fold.first + 2 + at} `).join("");
    expect(rest[0]).toEqual({ event: "message", data: deltas, id: `1-${fold.last}` });
    expect(rest.map(({ id }) => id)).toEqual([fold.last, 37, 38, 39, 40, 41].map((seq) => `1-${seq}`));
    for (const reading of readings) expect(reading.control("gap")).toEqual([]);

    source.reset();
    for (const reading of readings) expect(await reading.toEnd()).toBe(route === "told" ? "closed" : "broken");
    // All there is of a stream that did not complete: only with events of ours can that be said by a close.
    const { status, text, isComplete } = await readWire(`${address.origin}/${route}/resume`, {
      "X-Resume-Token": address.token,
      "Last-Event-ID": `1-${LAST + 1}`,
    });
    const broken = { status: 200, text: expect.stringContaining(`id: 1-${LAST + 1}\nretry`), isComplete: false };
    const nothing = { status: 204, text: "", isComplete: true };
    expect({ status, text, isComplete }).toEqual(route === "told" ? nothing : broken);
    expect(await statusOf(address)).toMatchObject({ state: "failed", last_id: `1-${LAST + 1}` });
  });
});
