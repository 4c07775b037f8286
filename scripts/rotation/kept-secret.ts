/**
 * The file that keeps a rotation's new secret for the next one: Cloudflare gives it to nobody.
 *
 * K1  It is written once the rotation's state is on disk, and before any secret is changed.
 * K2  It takes no other file's place unasked, and never that of the secret in use, which may be its only copy.
 */
import { accessSync, constants, existsSync, readFileSync, realpathSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";

import type { CommandContext } from "../cli/command.ts";
import { failure, usageFailure } from "../cli/exit-codes.ts";
import { writePrivately, writeState, type RotationState } from "./state-file.ts";
import { LOCAL } from "./surroundings.ts";

/** Where this run is told to keep it. */
export function fileToKeep({ values }: CommandContext): string | undefined {
  const file = values.text("save-secret");
  return file === undefined ? undefined : resolve(file);
}

/** @throws a usage failure where a rotation is not to begin: it could not keep its secret */
export function checkKeeping(state: RotationState, statePath: string, context: CommandContext): void {
  const { target, keepIn, secrets } = state;
  if (keepIn === undefined) {
    if (target === LOCAL) return;
    throw usageFailure(
      "Cloudflare gives no secret back: say with --save-secret where the new one is kept for next time.",
    );
  }
  const current = context.values.text("current-secret-file");
  if (keepIn === resolve(statePath)) throw usageFailure(`--save-secret ${keepIn}: the rotation keeps its state there.`);
  if (current !== undefined && isSameFile(keepIn, resolve(current))) {
    throw usageFailure(`--save-secret ${keepIn}: the present secret is in it. Name another file for the new one.`);
  }
  const content = contentOf(keepIn);
  if (content === secrets.oldSecret) {
    throw usageFailure(`--save-secret ${keepIn}: the present secret is in it. Name another file for the new one.`);
  }
  if (content !== "" && content !== secrets.newSecret && !context.values.flag("force")) {
    throw usageFailure(`${keepIn} is there already and holds something; --force replaces it.`);
  }
}

/** @returns the state on disk, which need not keep its secret any more */
export function keepSecret(state: RotationState, statePath: string, context: CommandContext): RotationState {
  const keepIn = fileToKeep(context) ?? state.keepIn;
  // On the way back the new secret is dropped.
  if (keepIn === undefined || state.direction === "back") return state;
  const keeping = { ...state, keepIn };
  checkKeeping(keeping, statePath, context);
  // K1. Killed from here on, the next run keeps it.
  writeState(statePath, keeping);
  try {
    if (contentOf(keepIn) !== state.secrets.newSecret) writePrivately(keepIn, `${state.secrets.newSecret}\n`);
  } catch (error) {
    throw unwritable(keepIn, error);
  }
  const kept = { ...state, keepIn: undefined };
  writeState(statePath, kept);
  return kept;
}

/** Without the white space around it; none where there is no file. */
function contentOf(path: string): string {
  try {
    const found = statSync(path, { throwIfNoEntry: false });
    if (found === undefined) accessSync(dirname(path), constants.W_OK);
    if (found?.isFile() === false) throw usageFailure(`--save-secret ${path}: that is no file.`);
    return found === undefined ? "" : readFileSync(path, "utf8").trim();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw code === undefined ? error : usageFailure(`--save-secret ${path} cannot be written: ${code}.`);
  }
}

function unwritable(path: string, error: unknown): unknown {
  const { code } = error as NodeJS.ErrnoException;
  if (code === undefined) return error;
  return failure(`--save-secret ${path} cannot be written: ${code}. No secret was changed; run this again.`);
}

/** Also by links. */
function isSameFile(one: string, other: string): boolean {
  return existsSync(one) && existsSync(other) && realpathSync(one) === realpathSync(other);
}
