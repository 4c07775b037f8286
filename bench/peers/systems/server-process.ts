/**
 * A server of a peer's as a process of its own: started with a log in its folder, waited for, ended by its id.
 */
import { fork, spawn, type ChildProcess } from "node:child_process";
import { closeSync, existsSync, openSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import { join, resolve } from "node:path";
import { setTimeout as wait } from "node:timers/promises";

import { killIfThere } from "../../lib/ending.ts";
import type { Program } from "../install/debian-packages.ts";

const SERVERS = resolve(import.meta.dirname, "../servers");
const START_TIMEOUT_MS = 20_000;
const STOP_TIMEOUT_MS = 5000;
const POLL_MS = 20;
const LOG_CHARS = 2000;

export interface ServerProcess {
  /** With the processes it started. */
  pids(): readonly number[];
  stop(): Promise<void>;
}

export interface NodeServer extends ServerProcess {
  readonly origin: string;
}

/** What a server program of ../servers says once it listens. */
export interface ServerReady {
  readonly port: number;
}

/** A program that is told its port. @throws with the end of its log where it does not listen there */
export async function startProgram(
  { command, env }: Program,
  { args, folder, port }: { readonly args: readonly string[]; readonly folder: string; readonly port: number },
): Promise<ServerProcess> {
  const log = openSync(join(folder, "server.log"), "a");
  const child = spawn(command, args, {
    cwd: folder,
    env: { ...process.env, ...env },
    stdio: ["ignore", log, log],
  });
  closeSync(log);
  return watched(child, folder, untilListening(child, port));
}

/**
 * A program of ../servers, which tells the port it found and ends when we do.
 *
 * @param settings told as the first argument, as JSON
 */
export async function startNodeServer(file: string, settings: object, folder: string): Promise<NodeServer> {
  const log = openSync(join(folder, "server.log"), "a");
  const child = fork(join(SERVERS, file), [JSON.stringify(settings)], {
    cwd: folder,
    env: { ...process.env, NODE_ENV: "production" },
    stdio: ["ignore", log, log, "ipc"],
  });
  closeSync(log);
  const { promise: port, resolve: isReady } = Promise.withResolvers<number>();
  // The child is ours and speaks nothing else.
  child.once("message", (message) => isReady((message as ServerReady).port));
  const server = await watched(child, folder, port);
  return { ...server, origin: `http://127.0.0.1:${await port}` };
}

async function watched(child: ChildProcess, folder: string, ready: Promise<unknown>): Promise<ServerProcess> {
  const ended = new Promise<void>((done) => child.once("exit", () => done()));
  const { promise: failed, reject: fail } = Promise.withResolvers<never>();
  child.once("error", fail);
  void ended.then(() => fail(new Error("it ended")));
  // After the start nobody waits for it any more.
  failed.catch(() => undefined);
  const pids = () => (child.pid === undefined || hasEnded(child) ? [] : [child.pid, ...childrenOf(child.pid)]);
  const endNow = () => pids().forEach(killIfThere);
  // Whatever ends the benchmark ends what it started.
  process.once("exit", endNow);
  void ended.then(() => process.removeListener("exit", endNow));

  const timeout = new AbortController();
  const late = wait(START_TIMEOUT_MS, undefined, { signal: timeout.signal }).then(() =>
    Promise.reject(new Error(`it is not ready after ${START_TIMEOUT_MS / 1000} s`)),
  );
  try {
    await Promise.race([ready, failed, late]);
  } catch (error) {
    endNow();
    throw new Error(`${child.spawnfile} did not start: ${String(error)}\n${logOf(folder)}`, { cause: error });
  } finally {
    late.catch(() => undefined);
    timeout.abort();
  }
  return { pids, stop: () => stopProcess(child, ended, endNow) };
}

async function stopProcess(child: ChildProcess, ended: Promise<void>, endNow: () => void): Promise<void> {
  if (hasEnded(child)) return;
  child.kill("SIGTERM");
  const timer = setTimeout(endNow, STOP_TIMEOUT_MS);
  await ended;
  clearTimeout(timer);
}

async function untilListening(child: ChildProcess, port: number): Promise<void> {
  while (!hasEnded(child)) {
    const isOpen = await new Promise<boolean>((done) => {
      const socket = connect(port, "127.0.0.1");
      socket.once("connect", () => done(true)).once("error", () => done(false));
      socket.once("connect", () => socket.destroy());
    });
    if (isOpen) return;
    await wait(POLL_MS);
  }
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

/** As Linux tells it; elsewhere there are none. */
function childrenOf(pid: number): number[] {
  const path = `/proc/${pid}/task/${pid}/children`;
  if (!existsSync(path)) return [];
  return readFileSync(path, "utf8").trim().split(" ").filter(Boolean).map(Number);
}

function logOf(folder: string): string {
  const path = join(folder, "server.log");
  return existsSync(path) ? readFileSync(path, "utf8").slice(-LOG_CHARS) : "";
}
