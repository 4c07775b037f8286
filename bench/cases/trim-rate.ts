/**
 * A model's long answer through the service at its defaults, with folding and without: what is dropped, what
 * it costs, and what somebody gets who comes when all is over.
 */
import { createParser } from "eventsource-parser";

import type { StreamStatus } from "../../protocol/stream-call.ts";
import type { Service } from "../../test/fixtures/workerd-service.ts";
import type { RowCounts } from "../counted-object.ts";
import { chatText } from "../lib/chat-script.ts";
import type { Lab } from "../lib/lab.ts";
import type { Plan } from "../lib/options.ts";
import { cpuSecondsOf } from "../lib/process-meter.ts";
import { scriptQuery } from "../lib/source-script.ts";
import { spreadOf, type Spread } from "../lib/statistics.ts";

export interface TrimRateResult {
  readonly tokens: number;
  /** Events a second; 0 is as fast as they are taken. */
  readonly rate: number;
  readonly rounds: number;
  readonly folded: ChatRun;
  readonly plain: ChatRun;
  /** CPU of workerd with folding over that without, round by round. */
  readonly cpuRatio: Spread;
}

/** The same stream several times: sums where each is the same, spreads where not. */
interface ChatRun {
  /** Events of the source that nobody can get any more. */
  readonly droppedEvents: number;
  /** Telemetry of the service: evictions, and folding steps. */
  readonly trims: number;
  readonly foldedEvents: number;
  readonly rows: number;
  readonly retainedEvents: number;
  readonly retainedBytes: number;
  /** CPU time of workerd from the start to the end of the live reader, ms. */
  readonly cpuMs: Spread;
  /** Whether the reader who was there got every token, in every round. */
  readonly isLiveWhole: boolean;
  /** A reader who comes afterwards, from the beginning. */
  readonly late: LateReading;
}

interface LateReading {
  readonly bytes: number;
  readonly ms: number;
  /** Of the answer's text, what share it has: 1 is all, and then it is the same to the letter. */
  readonly share: number;
  readonly isWhole: boolean;
  /** Events that it was told are missing. */
  readonly missingEvents: number;
}

interface Once extends Omit<ChatRun, "cpuMs"> {
  readonly cpuMs: number;
}

interface Reading {
  readonly text: string;
  readonly bytes: number;
  readonly missingEvents: number;
  readonly headers: Headers;
}

const MS_PER_SEC = 1000;
const BATCH = 4;

export async function measureTrimRate(
  lab: Lab,
  { tokens, loads }: Plan["trimRate"],
  note: (line: string) => void,
): Promise<TrimRateResult[]> {
  const folding = await lab.startSystem("counted", {}, { fold: "openai" });
  const plain = await lab.startSystem("counted", { SSE_BUFFER_FOLD: false }, { fold: "openai" });
  const results: TrimRateResult[] = [];
  for (const { rate, rounds } of loads) {
    note(`${tokens} tokens, ${rate === 0 ? "unthrottled" : `${rate} a second`}, with fold and without`);
    const runs = { folded: new Array<Once>(), plain: new Array<Once>() };
    for (let round = rate === 0 ? -1 : 0; round < rounds; round++) {
      const folded = await runOnce(folding, tokens, rate);
      const unfolded = await runOnce(plain, tokens, rate);
      // The first one of all finds code that has never run.
      if (round < 0) continue;
      runs.folded.push(folded);
      runs.plain.push(unfolded);
    }
    const ratios = runs.folded.map(({ cpuMs }, round) => cpuMs / (runs.plain[round]?.cpuMs ?? Number.NaN));
    const [folded, unfolded] = [summarize(runs.folded), summarize(runs.plain)];
    results.push({ tokens, rate, rounds, folded, plain: unfolded, cpuRatio: spreadOf(ratios) });
  }
  await lab.stopSystem(folding);
  await lab.stopSystem(plain);
  return results;
}

async function runOnce(service: Service, tokens: number, rate: number): Promise<Once> {
  const whole = chatText(tokens);
  const script = { events: tokens, bytes: 0, rate, batch: BATCH, isHeld: false, kind: "chat" } as const;
  const trimsBefore = service.telemetry("SseBufferTrimmed").length;
  const cpuBefore = cpuSecondsOf(service.pid) ?? Number.NaN;
  const live = await readChat(`${service.origin}/b/stream?${scriptQuery(script)}`, { method: "POST" });
  const cpuMs = ((cpuSecondsOf(service.pid) ?? Number.NaN) - cpuBefore) * MS_PER_SEC;
  const token = live.headers.get("X-Resume-Token") ?? "";
  const requestId = live.headers.get("X-Request-Id") ?? "";
  const began = performance.now();
  const headers = { "X-Resume-Token": token, "Last-Event-ID": "0-0" };
  const late = await readChat(`${service.origin}/b/resume?mode=replay`, { headers });
  const lateMs = performance.now() - began;
  // The service's own answers: see protocol/stream-call.ts and counted-object.ts.
  const status = (await (await fetch(`${service.origin}/b/status`, { headers })).json()) as StreamStatus;
  const answer = await fetch(`${service.origin}/bench/rows?request_id=${requestId}`);
  const rows = (await answer.json()) as RowCounts;
  return {
    droppedEvents: status.trimmed_events,
    trims: service.telemetry("SseBufferTrimmed").length - trimsBefore,
    foldedEvents: status.folded_events,
    rows: Object.values(rows).reduce((sum, count) => sum + count, 0),
    retainedEvents: status.retained_events,
    retainedBytes: status.retained_bytes,
    cpuMs,
    isLiveWhole: live.text === whole && live.missingEvents === 0,
    late: {
      bytes: late.bytes,
      ms: lateMs,
      share: late.text.length / whole.length,
      isWhole: late.text === whole,
      missingEvents: late.missingEvents,
    },
  };
}

/** Reads a stream as a chat client does: deltas are appended. */
async function readChat(url: string, init: RequestInit): Promise<Reading> {
  const response = await fetch(url, init);
  if (response.status !== 200) throw new Error(`${url} answered ${response.status}`);
  let text = "";
  let bytes = 0;
  let missingEvents = 0;
  const parser = createParser({
    onEvent: ({ event, data }) => {
      if (event === "gap") missingEvents += droppedIn(data);
      else if (event === undefined && data !== "[DONE]") text += contentIn(data);
    },
  });
  const decoder = new TextDecoder();
  for await (const chunk of response.body ?? []) {
    bytes += chunk.byteLength;
    parser.feed(decoder.decode(chunk, { stream: true }));
  }
  return { text, bytes, missingEvents, headers: response.headers };
}

function contentIn(data: string): string {
  // Made by chat-script.ts.
  const chunk = JSON.parse(data) as { choices: { delta: { content?: string } }[] };
  return chunk.choices[0]?.delta.content ?? "";
}

function droppedIn(data: string): number {
  // The service's own: see protocol/control-events.ts.
  return (JSON.parse(data) as { dropped: number }).dropped;
}

function summarize(runs: readonly Once[]): ChatRun {
  const last = runs.at(-1);
  if (last === undefined) throw new Error("no round was run");
  const worst = runs.reduce((one, other) => (other.late.share < one.late.share ? other : one));
  return {
    ...last,
    droppedEvents: Math.max(...runs.map(({ droppedEvents }) => droppedEvents)),
    cpuMs: spreadOf(runs.map(({ cpuMs }) => cpuMs)),
    isLiveWhole: runs.every(({ isLiveWhole }) => isLiveWhole),
    late: worst.late,
  };
}
