/**
 * What a rotation has to remember between runs, in a file of its owner's alone: it holds both secrets.
 *
 * Written before a step is done, and again once it is confirmed: a run that was killed in between does the step again.
 */
import {
  closeSync,
  existsSync,
  fsyncSync,
  linkSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";

import { CommandFailure, failure } from "../cli/exit-codes.ts";
import { STEPS, type Direction, type RotationSecrets, type Step } from "./plan.ts";

export const STATE_FILE = ".spillway-rotation.json";
const VERSION = 1;

export interface RotationState {
  readonly version: typeof VERSION;
  /** `local`, or the environment's name. */
  readonly target: string;
  readonly origin: string;
  readonly route: string;
  readonly tokenLifeSec: number;
  readonly marginSec: number;
  readonly secrets: RotationSecrets;
  readonly direction: Direction;
  readonly step: Step;
  /** The step before it; none at the beginning. */
  readonly previousStep?: Step | undefined;
  readonly startedAt: string;
  /** The file in which the new secret is still to be kept (kept-secret.ts); none once it is there. */
  readonly keepIn?: string | undefined;
  /** When the present step was confirmed; none while it is not. */
  readonly confirmedAt?: string | undefined;
}

/** `undefined` where no rotation is under way. */
export function readState(path: string): RotationState | undefined {
  if (!existsSync(path)) return undefined;
  try {
    const state = JSON.parse(readFileSync(path, "utf8")) as Partial<RotationState>;
    const isWhole =
      state.version === VERSION &&
      STEPS.some((step) => step === state.step) &&
      typeof state.secrets?.oldSecret === "string" &&
      typeof state.secrets.newSecret === "string";
    if (isWhole) return state as RotationState;
  } catch {
    // Told below, without a word of what it holds.
  }
  throw failure(
    `${path} is damaged or of another version. It may hold the only copy of a secret: look before you delete it.`,
  );
}

/** Whole or not at all, also when the machine dies meanwhile. */
export function writeState(path: string, state: RotationState): void {
  writePrivately(path, `${JSON.stringify(state, null, 2)}\n`);
}

export function removeState(path: string): void {
  rmSync(path, { force: true });
}

/** Replaces a file by one that only its owner may read. */
export function writePrivately(path: string, text: string): void {
  const fresh = `${path}.${process.pid}.tmp`;
  rmSync(fresh, { force: true });
  const file = openSync(fresh, "wx", 0o600);
  try {
    writeSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(fresh, path);
}

/** One run at a time: two would undo each other's steps. @returns what gives it up again */
export function lock(path: string): () => void {
  const lockPath = `${path}.lock`;
  const own = `${lockPath}.${process.pid}`;
  try {
    // Made whole, then put in its place, which one alone can do: whoever finds it also finds who holds it.
    writePrivately(own, String(process.pid));
    try {
      if (!putInPlace(own, lockPath) && !takeOver(own, lockPath)) throw held(lockPath);
    } finally {
      rmSync(own, { force: true });
    }
  } catch (error) {
    if (error instanceof CommandFailure) throw error;
    throw failure(`${lockPath} cannot be written: ${(error as NodeJS.ErrnoException).code ?? "unknown"}.`);
  }
  return () => rmSync(lockPath, { force: true });
}

/** The lock of a run that was killed. One alone looks whether it is, and takes it away. */
function takeOver(own: string, lockPath: string): boolean {
  const takingOver = `${lockPath}.taking-over`;
  if (!putInPlace(own, takingOver)) return false;
  try {
    const holder = holderOf(lockPath);
    if (holder > 0 && isRunning(holder)) return false;
    rmSync(lockPath, { force: true });
    return putInPlace(own, lockPath);
  } finally {
    rmSync(takingOver, { force: true });
  }
}

function putInPlace(own: string, lockPath: string): boolean {
  try {
    linkSync(own, lockPath);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

function held(lockPath: string): CommandFailure {
  return failure(
    `Another run is at it (process ${holderOf(lockPath)}). If that is none of a rotation, delete ${lockPath}*.`,
  );
}

/** 0 where there is none any more. */
function holderOf(lockPath: string): number {
  try {
    return Number(readFileSync(lockPath, "utf8"));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return 0;
    throw error;
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
