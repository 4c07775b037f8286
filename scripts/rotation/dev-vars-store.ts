/**
 * Secrets of a local run, in `.dev.vars`.
 *
 * wrangler dev reads that file when it starts and when its configuration file changes, and does not watch the
 * file itself: so the configuration's time is touched. The service then restarts, which cuts streams that run.
 */
import { existsSync, readFileSync, realpathSync, utimesSync } from "node:fs";
import { join } from "node:path";

import { DEV_VARS_FILE, readDevVars } from "../cli/dev-vars.ts";
import { failure } from "../cli/exit-codes.ts";
import { editDevVars } from "./dev-vars-text.ts";
import type { SecretChanges } from "./plan.ts";
import type { SecretStore, StoredSecrets } from "./secret-store.ts";
import { writePrivately } from "./state-file.ts";

const WRANGLER_FILES = ["wrangler.jsonc", "wrangler.json", "wrangler.toml"];

export class DevVarsStore implements SecretStore {
  readonly place: string;
  readonly adviceIfUnseen = "Is it the service that npm start runs from this folder? Restart it, and run this again.";
  private readonly folder: string;
  private readonly path: string;

  constructor(folder: string) {
    this.folder = folder;
    this.path = join(folder, DEV_VARS_FILE);
    this.place = this.path;
  }

  async read(): Promise<StoredSecrets> {
    const variables = readDevVars(this.folder);
    const names = Object.entries(variables).flatMap(([name, value]) => (value ? [name] : []));
    const signing = variables["SSE_RESUME_SECRET"] || variables["HMAC_SECRET"] || undefined;
    if (signing === undefined) throw failure(`${this.path} has no SSE_RESUME_SECRET: npm start makes one.`);
    return { signing, names: new Set(names) };
  }

  async apply(changes: SecretChanges): Promise<void> {
    const before = existsSync(this.path) ? readFileSync(this.path, "utf8") : "";
    const after = editDevVars(before, changes);
    // A link stays one.
    if (after !== before) writePrivately(existsSync(this.path) ? realpathSync(this.path) : this.path, after);
    this.remind();
  }

  remind(): void {
    const now = new Date();
    for (const name of WRANGLER_FILES) {
      const path = join(this.folder, name);
      if (existsSync(path)) utimesSync(path, now, now);
    }
  }
}
