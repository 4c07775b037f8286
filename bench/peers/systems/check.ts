/**
 * Whether a system does what the comparison takes for granted: every event arrives, once and in order, at a reader that
 * follows and at one that comes afterwards. What fails here is reported, and not measured.
 */
import { fork, type ChildProcess } from "node:child_process";
import { request as httpRequest, type ClientRequest } from "node:http";
import { resolve } from "node:path";
import { setTimeout as wait } from "node:timers/promises";

import type { SourceGo, SourceReady } from "../../lib/messages.ts";
import { nowUs, scriptQuery, sourceFrame, type SourceScript } from "../../lib/source-script.ts";
import { EventScanner } from "../../lib/wire-scanner.ts";
import type { PeerStream, PlannedRequest, RunningSystem, StartSystem, SystemFacts } from "../system.ts";

const SOURCE_PROCESS = resolve(import.meta.dirname, "../../source-process.ts");
const TIMEOUT_MS = 20_000;
const POLL_MS = 20;
const SETTLE_MS = 50;
/** More than a page of anything, and not a multiple of one. */
const EVENTS = 300;
const SCRIPT: SourceScript = { events: EVENTS, bytes: 200, rate: 1000, batch: 1, isHeld: true, staysOpen: true };
const READERS = 3;
const OK_FROM = 200;
const OK_TO = 299;

export type CheckResult =
  | { readonly isRight: true; readonly facts: SystemFacts; readonly storedBytes: number | undefined }
  | { readonly isRight: false; readonly reason: string };

/**
 * Starts the system, and ends it again.
 *
 * @param folder a folder of the check's own, empty
 */
export async function checkSystem(start: StartSystem, folder: string): Promise<CheckResult> {
  const source = await startSource();
  let system: RunningSystem | undefined;
  try {
    const home = { folder, maxReaders: READERS + 2, maxEvents: EVENTS, sourceOrigin: source.origin };
    system = await start(home);
    const storedBytes = await checkRunning(system, source);
    return { isRight: true, facts: system.facts, storedBytes };
  } catch (error) {
    return { isRight: false, reason: error instanceof Error ? error.message : String(error) };
  } finally {
    await system?.stop();
    source.child.kill();
  }
}

async function checkRunning(system: RunningSystem, source: Source): Promise<number | undefined> {
  const sourceUrl = `${source.origin}/?${scriptQuery(SCRIPT)}`;
  const stream = await system.createStream({ name: "check-1", sourceUrl, maxEvents: EVENTS });
  const cannotReplay = system.facts.cannot.includes("replay");
  const followers = await Promise.all(Array.from({ length: READERS }, () => openReader(stream.follow())));
  try {
    await produce(stream, source);
    await Promise.all(followers.map((reader, index) => untilComplete(reader, `live reader ${index + 1}`)));
    if (!cannotReplay) {
      const late = await openReader(stream.readFromStart());
      followers.push(late);
      await untilComplete(late, "the reader that came afterwards");
    }
    const storedBytes = await stream.storedBytes();
    if (storedBytes !== undefined && !(storedBytes > 0)) throw new Error(`${storedBytes} bytes are said to be stored`);
    return storedBytes;
  } finally {
    for (const { call } of followers) call.destroy();
  }
}

async function produce(stream: PeerStream, source: Source): Promise<void> {
  if (stream.append() === undefined) {
    source.go();
    return;
  }
  for (let number = 1; number <= EVENTS; number++) {
    const planned = stream.append();
    if (planned === undefined) throw new Error("it appended, and does not any more");
    const { origin, method, path, headers } = planned;
    const body = dataOf(sourceFrame(SCRIPT, number, nowUs()));
    const { status } = await fetch(origin + path, { method, headers, body, signal: AbortSignal.timeout(TIMEOUT_MS) });
    if (status < OK_FROM || status > OK_TO) throw new Error(`an append was answered ${status}`);
  }
}

/** What an SSE frame of the source's carries. */
function dataOf(frame: string): string {
  return frame.slice("data: ".length).trimEnd();
}

interface Reader {
  readonly scanner: EventScanner;
  readonly call: ClientRequest;
}

/** @returns once the response head is there */
async function openReader({ origin, method, path, headers }: PlannedRequest): Promise<Reader> {
  const scanner = new EventScanner(() => undefined);
  const { promise, resolve: done, reject: fail } = Promise.withResolvers<Reader>();
  const call = httpRequest(origin + path, { method, headers, agent: false }, (response) => {
    const { statusCode } = response;
    response.on("data", (chunk: Buffer) => scanner.scan(chunk, 0, chunk.byteLength));
    // What is missing then is told by who counts.
    response.on("error", () => undefined);
    if (statusCode === OK_FROM) done({ scanner, call });
    else fail(new Error(`${method} ${path} was answered ${statusCode}`));
  });
  call.on("error", fail);
  call.setTimeout(TIMEOUT_MS, () => call.destroy(new Error(`${method} ${path}: no word for ${TIMEOUT_MS / 1000} s`)));
  call.end();
  return promise;
}

async function untilComplete({ scanner }: Reader, name: string): Promise<void> {
  const deadlineMs = Date.now() + TIMEOUT_MS;
  const isDone = () => scanner.events >= EVENTS || (scanner.lastNumber >= EVENTS && !scanner.isContiguous);
  while (!isDone() && Date.now() < deadlineMs) await wait(POLL_MS);
  // What comes twice comes now.
  await wait(SETTLE_MS);
  if (scanner.isContiguous && scanner.events === EVENTS) return;
  const order = scanner.isContiguous ? "" : ", not in order";
  throw new Error(`${name} received ${scanner.events} of ${EVENTS} events${order}`);
}

interface Source {
  readonly origin: string;
  readonly child: ChildProcess;
  go(): void;
}

async function startSource(): Promise<Source> {
  const child = fork(SOURCE_PROCESS, { stdio: ["ignore", "ignore", "inherit", "ipc"] });
  const port = await new Promise<number>((done, fail) => {
    // The child is ours and speaks nothing else.
    child.once("message", (message) => done((message as SourceReady).port));
    child.once("exit", () => fail(new Error("the source's process ended")));
  });
  const word: SourceGo = { kind: "go" };
  return { origin: `http://127.0.0.1:${port}`, child, go: () => void child.send(word) };
}
