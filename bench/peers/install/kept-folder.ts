/**
 * Folders in `.peers/` that are filled once for each version and used by every later run.
 */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

/** Ignored by git. */
export const PEERS_FOLDER = resolve(import.meta.dirname, "../../../.peers");
const MARKER = "installed-version";

export interface KeptFolder {
  readonly name: string;
  /** Another one is installed anew. */
  readonly version: string;
  /** Told only where there is something to do, which takes its time. */
  readonly announce: () => void;
  /** @param folder empty; it is moved afterwards, so nothing in it may name it */
  readonly fill: (folder: string) => Promise<void>;
}

/** Filled aside and moved when it is whole: a run that is broken off leaves nothing half installed. */
export async function keptFolder({ name, version, announce, fill }: KeptFolder): Promise<string> {
  const folder = join(PEERS_FOLDER, name);
  if (markerOf(folder) === version) return folder;
  announce();
  const draft = `${folder}.${process.pid}.partial`;
  try {
    rmSync(draft, { recursive: true, force: true });
    mkdirSync(draft, { recursive: true });
    await fill(draft);
    writeFileSync(join(draft, MARKER), version);
    rmSync(folder, { recursive: true, force: true });
    renameSync(draft, folder);
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
  return folder;
}

function markerOf(folder: string): string | undefined {
  const path = join(folder, MARKER);
  return existsSync(path) ? readFileSync(path, "utf8") : undefined;
}
