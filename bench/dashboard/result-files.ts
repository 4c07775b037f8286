/**
 * Stored results on the disk: found, and copied beside the page. Decides nothing about what is in them.
 */
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";

export interface ResultFile {
  /** Its folder's number and its path in there, with slashes: unique, and of no use outside. */
  readonly name: string;
  readonly path: string;
  readonly text: string;
}

/** Every JSON file in the folders, with all folders in them. One that is not there holds none. */
export function findResults(folders: readonly string[]): ResultFile[] {
  return folders.flatMap((folder, at) => {
    if (!existsSync(folder)) return [];
    const names = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".json"));
    return names.toSorted().map((name) => {
      const path = join(folder, name);
      const slashed = name.replaceAll("\\", "/");
      return { name: folders.length > 1 ? `${at + 1}/${slashed}` : slashed, path, text: readFileSync(path, "utf8") };
    });
  });
}

export function copyResult({ name, path }: ResultFile, folder: string): void {
  const to = join(folder, name);
  mkdirSync(dirname(to), { recursive: true });
  copyFileSync(path, to);
}
