/**
 * `.dev.vars`, read: the variables and secrets of a local run. Rotation writes it (rotation/dev-vars-store.ts).
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseEnv } from "node:util";

export const DEV_VARS_FILE = ".dev.vars";

/** Empty where there is no such file. */
export function readDevVars(folder: string): Readonly<Record<string, string | undefined>> {
  const path = join(folder, DEV_VARS_FILE);
  return existsSync(path) ? parseEnv(readFileSync(path, "utf8")) : {};
}
