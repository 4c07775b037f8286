/**
 * Stored results on the disk: found, and copied beside the page. Decides nothing about what is in them.
 */
import { mkdirSync, readdirSync, readFileSync, realpathSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";

export interface ResultFile {
  /** Its folder's number and its path in there, with slashes: unique, and of no use outside. */
  readonly name: string;
  readonly path: string;
  readonly text: string;
}

/** Something that could not be read. */
export interface UnreadFile {
  readonly name: string;
  readonly path: string;
  readonly problem: string;
}

export interface FoundFiles {
  readonly files: readonly ResultFile[];
  readonly unread: readonly UnreadFile[];
}

/**
 * Every JSON file in the folders, with all folders in them.
 * @param except a folder that is passed over: what is written there is no result of its own
 */
export function findResults(folders: readonly string[], except: string): FoundFiles {
  const files: ResultFile[] = [];
  const unread: UnreadFile[] = [];
  for (const [at, folder] of folders.entries()) {
    const nameOf = (path: string) => {
      const slashed = (relative(folder, path) || ".").replaceAll("\\", "/");
      return folders.length > 1 ? `${at + 1}/${slashed}` : slashed;
    };
    const read = (path: string, take: () => void) => {
      try {
        take();
      } catch (error) {
        unread.push({ name: nameOf(path), path, problem: error instanceof Error ? error.message : String(error) });
      }
    };
    const search = (inside: string): void => {
      if (realPathOf(inside) === realPathOf(except)) return;
      const entries = readdirSync(inside, { withFileTypes: true });
      for (const entry of entries.toSorted((left, right) => (left.name < right.name ? -1 : 1))) {
        const path = join(inside, entry.name);
        if (entry.isDirectory()) read(path, () => search(path));
        else if (entry.name.endsWith(".json")) {
          read(path, () => files.push({ name: nameOf(path), path, text: readFileSync(path, "utf8") }));
        }
      }
    };
    read(folder, () => search(folder));
  }
  return { files, unread };
}

export function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

/** Whether it is that folder, or in it, whatever links lead there. */
export function isWithin(path: string, folder: string): boolean {
  const way = relative(realPathOf(folder), realPathOf(path));
  return way === "" || !/^\.\.(?:[\\/]|$)/.test(way);
}

/** From memory: the file may be gone by now. */
export function copyResult({ name, text }: ResultFile, folder: string): void {
  const to = join(folder, name);
  mkdirSync(dirname(to), { recursive: true });
  writeFileSync(to, text);
}

/** With what is not there yet as it will be. */
function realPathOf(path: string): string {
  const whole = resolve(path);
  try {
    return realpathSync(whole);
  } catch {
    // Not there: what is above it may be.
    const above = dirname(whole);
    return above === whole ? whole : join(realPathOf(above), relative(above, whole));
  }
}
