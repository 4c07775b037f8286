/**
 * The peers that come from npm, at the versions of ../npm/package-lock.json, outside the project's own
 * `node_modules`: nobody who only builds Spillway should have to fetch them.
 */
import { createHash } from "node:crypto";
import { cpSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";

import { runCommand } from "./command.ts";
import { keptFolder } from "./kept-folder.ts";

const MANIFESTS = resolve(import.meta.dirname, "../npm");
const FILES = ["package.json", "package-lock.json", ".npmrc"];
/**
 * No package runs anything; by itself npm tries for more than a minute where there is no registry. Under
 * `npm run --silent` an npm within inherits the silence, and would fail without saying why.
 */
export const NPM_CI = [
  "ci",
  "--ignore-scripts",
  "--no-audit",
  "--no-fund",
  "--fetch-retries=1",
  "--loglevel=error",
] as const;

/** @returns the folder that has them in its `node_modules`. @throws where they cannot be fetched */
export async function installNpmPackages(note: (line: string) => void): Promise<string> {
  return keptFolder({
    name: "npm",
    version: createHash("sha256")
      .update(FILES.map((file) => readFileSync(join(MANIFESTS, file), "utf8")).join("\n"))
      .digest("hex"),
    announce: () => note("installing peers from npm (40 MB)"),
    fill: async (folder) => {
      for (const file of FILES) cpSync(join(MANIFESTS, file), join(folder, file));
      await runCommand("npm", NPM_CI, folder);
    },
  });
}

/** Version of an installed package, as it says itself. */
export function packageVersion(npmFolder: string, name: string): string {
  const manifest = readFileSync(join(npmFolder, "node_modules", name, "package.json"), "utf8");
  return (JSON.parse(manifest) as { readonly version: string }).version;
}
