/**
 * A service that archives, inside workerd: its Worker with variables of the test's own, a source that says
 * what the test tells it, the bucket as it is, and time where the test puts it.
 */
import { createExecutionContext, reset, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, vi } from "vitest";

import { decodeArchive, type ArchivedStream } from "../../durable-objects/stream/archive-file.ts";
import { sleep } from "../../protocol/timing.ts";
import worker, { RequestStream } from "../../workers/index.ts";

import { StreamReader } from "./reading.ts";

const HOUR_MS = 3_600_000;
const POLL_MS = 5;
/** Tokens live longer than what they are for, which is what an archive is there for. */
export const SNAPSHOT_TTL_MS = 60_000;
const RESUME_TTL_SEC = 7200;
const UPSTREAM = "https://upstream.test/";

const ROUTES = [
  { name: "chat", upstream: UPSTREAM, method: "GET", allowGet: true, fold: { paths: ["$.delta"] } },
  { name: "plain", upstream: UPSTREAM, method: "GET", allowGet: true, control: false, fold: { paths: ["$.delta"] } },
];

const VARS = {
  ROUTES,
  SSE_ARCHIVE: true,
  SSE_SNAPSHOT_TTL_SEC: SNAPSHOT_TTL_MS / 1000,
  SSE_RESUME_TTL_SEC: RESUME_TTL_SEC,
};

export type Call = (path: string, init?: RequestInit) => Promise<Response>;

type LogLine = Record<string, unknown>;

export interface ArchiveScene {
  readonly call: Call;
  /** The same where `SSE_ARCHIVE` is false. */
  readonly callWithout: Call;
  /** Telemetry of this name since the test began. */
  readonly told: (event: string) => LogLine[];
}

/** For all tests of a file, each with Workers, a log and an empty archive of its own, and time ahead. */
export function archiveScene(): ArchiveScene {
  let log: readonly LogLine[] = [];
  let own: { call: Call; callWithout: Call } | undefined;
  const current = () => {
    if (own === undefined) throw new Error("no test has begun");
    return own;
  };
  beforeEach(() => {
    log = watchLog();
    standAhead();
    own = { call: serviceWith(), callWithout: serviceWith({ SSE_ARCHIVE: false }) };
  });
  afterEach(async () => {
    vi.restoreAllMocks();
    vi.useRealTimers();
    await emptyArchive();
    await reset();
  });
  return {
    call: async (path, init) => current().call(path, init),
    callWithout: async (path, init) => current().callWithout(path, init),
    told: (event) => log.filter((line) => line["event"] === event),
  };
}

/** One Worker for each set of variables, and each clock: it takes up the one that it finds. */
export function serviceWith(vars: Record<string, unknown> = {}): Call {
  const bindings = { ...env, ...VARS, ...vars } as Env;
  return async (path, init) =>
    worker.fetch(
      new Request(`https://spillway.test${path}`, init) as Parameters<typeof worker.fetch>[0],
      bindings,
      createExecutionContext(),
    );
}

export interface Source {
  send(text: string): void;
  end(): void;
  fail(): void;
}

/**
 * The upstream from now on: what it has said at once, and what the test makes of it then.
 *
 * The object looks for more by itself: a stream of the test's own cannot wake another object's reader.
 */
export function upstreamSays(text: string): Source {
  const waiting = [text];
  const source: { end: "open" | "ended" | "failed" } = { end: "open" };
  const pull = async (controller: ReadableStreamDefaultController<Uint8Array>) => {
    while (waiting.length === 0 && source.end === "open") await sleep(POLL_MS);
    const next = waiting.shift();
    if (next !== undefined) controller.enqueue(new TextEncoder().encode(next));
    else if (source.end === "ended") controller.close();
    else controller.error(new Error("the upstream is gone"));
  };
  const cancel = () => void (source.end = "ended");
  vi.spyOn(globalThis, "fetch").mockImplementation(async () =>
    Promise.resolve(
      new Response(new ReadableStream({ pull, cancel }), { headers: { "Content-Type": "text/event-stream" } }),
    ),
  );
  return {
    send: (more) => void waiting.push(more),
    end: () => void (source.end = "ended"),
    fail: () => void (source.end = "failed"),
  };
}

/** Ahead of the platform's own clock, which otherwise rings alarms by itself. */
export function standAhead(): void {
  vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + HOUR_MS });
}

export function pass(ms: number): void {
  vi.setSystemTime(Date.now() + ms);
}

export function deltas(from: number, to: number): string {
  let text = "";
  for (let at = from; at <= to; at++) text += `data: {"id":"c-1","delta":" word${at}","model":"of-the-test"}\n\n`;
  return text;
}

export async function startStream(call: Call, path = "/chat/stream", init?: RequestInit): Promise<StreamReader> {
  return new StreamReader(await call(path, init));
}

/** A stream of so many deltas and a last word, read to its end. */
export async function finishedStream(
  call: Call,
  events = 40,
  path?: string,
  init?: RequestInit,
): Promise<StreamReader> {
  upstreamSays(`${deltas(1, events - 1)}event: done\ndata: [DONE]\n\n`).end();
  const reader = await startStream(call, path, init);
  await reader.toEnd();
  return reader;
}

/** @param path from the route's name on, with a query where there is one */
export function resumeWith(call: Call, token: string, lastEventId?: string, path = "chat/resume") {
  const headers = { "X-Resume-Token": token, ...(lastEventId === undefined ? {} : { "Last-Event-ID": lastEventId }) };
  return call(`/${path}`, { headers });
}

/** What a resume is sent, whole, without the tokens, which are new each time. */
export async function readResumed(...args: Parameters<typeof resumeWith>): Promise<string> {
  const response = await resumeWith(...args);
  return `${response.status}\n${(await response.text()).replaceAll(/"token":"[^"]+","expires_at":"[^"]+"/g, "…")}`;
}

export async function statusOf(call: Call, token: string, route = "chat"): Promise<Record<string, unknown>> {
  return (await call(`/${route}/status`, { headers: { "X-Resume-Token": token } })).json();
}

export function stubOf(requestId: string) {
  return env.REQUEST_STREAM.getByName(requestId);
}

/** Rings the alarm, if there is one. */
export function ring(requestId: string): Promise<boolean> {
  return runDurableObjectAlarm(stubOf(requestId));
}

export function alarmOf(requestId: string): Promise<number | null> {
  return runInDurableObject(stubOf(requestId), (_, state) => state.storage.getAlarm());
}

export function tablesOf(requestId: string): Promise<unknown[]> {
  return runInDurableObject(stubOf(requestId), (_, state) =>
    state.storage.sql.exec("SELECT name FROM sqlite_master WHERE name NOT LIKE '_cf_%'").toArray(),
  );
}

/** Its end of life has come, and been dealt with. */
export async function expire(requestId: string): Promise<void> {
  pass(SNAPSHOT_TTL_MS + 1);
  await ring(requestId);
}

export async function archivedKeys(): Promise<string[]> {
  const { objects } = await env.ARCHIVE_BUCKET.list();
  return objects.map(({ key }) => key);
}

export async function archived(requestId: string): Promise<ArchivedStream | undefined> {
  const object = await env.ARCHIVE_BUCKET.get(`streams/${requestId}`);
  return object === null ? undefined : decodeArchive(await object.bytes());
}

async function emptyArchive(): Promise<void> {
  for (const key of await archivedKeys()) await env.ARCHIVE_BUCKET.delete(key);
}

/** Telemetry lines from now on. */
function watchLog(): readonly LogLine[] {
  const lines: LogLine[] = [];
  vi.spyOn(console, "log").mockImplementation((line: string) => void lines.push(JSON.parse(line) as LogLine));
  return lines;
}

type Bucket = Pick<R2Bucket, "put" | "get">;
type Fault = (real: () => Promise<unknown>) => Promise<unknown>;

/**
 * Lets the next calls of one kind to the archive's bucket go through these, one each; later ones are real.
 *
 * @returns how many were met, and how many there were
 */
export function meetCalls(method: "put" | "get", ...faults: readonly Fault[]): { met: number; calls: number } {
  const bucket = Object.getPrototypeOf(env.ARCHIVE_BUCKET) as Bucket;
  if (vi.isMockFunction(bucket[method])) bucket[method].mockRestore();
  const original = bucket[method] as (this: Bucket, ...args: unknown[]) => Promise<unknown>;
  const waiting = [...faults];
  const seen = { met: 0, calls: 0 };
  const faulty = function (this: Bucket, ...args: unknown[]): Promise<unknown> {
    const real = () => original.apply(this, args);
    const fault = String(args[0]).startsWith("streams/") ? waiting.shift() : undefined;
    seen.calls++;
    if (fault === undefined) return real();
    seen.met++;
    return fault(real);
  };
  vi.spyOn(bucket, method).mockImplementation(faulty as never);
  return seen;
}

/** R2's answer when it is out of order (platform documentation, error 10001). */
export const failing =
  (call: string): Fault =>
  async () =>
    Promise.reject(new Error(`${call}: We encountered an internal error. Please try again. (10001)`));

/** Sends so many resumes that all of them wait for the same fetch, which then ends in this way. */
export async function resumeTogether(count: number, fault: Fault, resume: () => Promise<Response>) {
  const held = heldBack(fault);
  const gets = meetCalls("get", held.fault);
  const arrivals = vi.spyOn(RequestStream.prototype, "fetch");
  const responses = Promise.all(Array.from({ length: count }, resume));
  await vi.waitUntil(() => held.isWaiting && arrivals.mock.calls.length === count);
  held.letGo();
  return { responses: await responses, gets: gets.calls };
}

/** Holds a call back until it is let go; looked at by the object itself, as a source is. */
export function heldBack(then: Fault = async (real) => real()): {
  readonly fault: Fault;
  isWaiting: boolean;
  letGo(): void;
} {
  const held = {
    isWaiting: false,
    isFree: false,
    fault: async (real: () => Promise<unknown>) => {
      held.isWaiting = true;
      while (!held.isFree) await sleep(POLL_MS);
      return then(real);
    },
    letGo: () => void (held.isFree = true),
  };
  return held;
}
