/**
 * Faults of an object's storage, made for real on the files of a running service.
 *
 * Not for looking at what is stored: that is test/fixtures/process-storage.ts, which reads copies.
 */
import { execFileSync } from "node:child_process";
import { chmodSync, globSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

import { WORKERD } from "../../fixtures/workerd-service.ts";

export type ObjectClass = "RequestStream" | "EventBuffer" | "IcebergTable" | "ServiceMonitor";

/** An object of the service whose transactions cannot begin: SQLITE_BUSY for every write, reads go on. */
export interface StorageLock extends Disposable {
  release(): void;
}

/** How long a transaction of the service, which is over in milliseconds, is waited for. */
const LOCK_WAIT_MS = 5000;
const OBJECT_FILE = /[\da-f]{64}\.sqlite$/;

/** The files of all objects of a class. */
export function objectFiles(folder: string, of: ObjectClass): string[] {
  const files = globSync(join(objectFolder(folder, of), "*.sqlite"));
  return files.filter((file) => OBJECT_FILE.test(file));
}

/** The file of one object. */
export function objectFile(folder: string, of: ObjectClass, objectId: string): string {
  return join(objectFolder(folder, of), `${objectId}.sqlite`);
}

/**
 * This process takes the one lock that writers of a SQLite file in WAL mode share, and keeps it: what a backup,
 * a stuck neighbour or a lost lease does to a database.
 */
export function lockFiles(files: readonly string[]): StorageLock {
  if (files.length === 0) throw new Error("there is no file to lock");
  const held: DatabaseSync[] = [];
  const release = () => {
    for (const database of held.splice(0)) {
      database.exec("ROLLBACK");
      database.close();
    }
  };
  try {
    for (const file of files) {
      const database = new DatabaseSync(file, { timeout: LOCK_WAIT_MS });
      held.push(database);
      database.exec("BEGIN IMMEDIATE");
    }
  } catch (error) {
    for (const database of held) database.close();
    throw error;
  }
  return { release, [Symbol.dispose]: release };
}

/** What no file of a process may grow beyond, as on a full disk: `unlimited` gives the room back. */
export function limitFiles(pid: number, fileMaxBytes: number | "unlimited"): void {
  execFileSync("prlimit", ["--pid", String(pid), `--fsize=${fileMaxBytes}:`]);
}

/**
 * Makes services that this process starts from now on survive {@link limitFiles}: a file that may not grow is then
 * an error of a write, as on a full disk, and not a signal that ends the process.
 *
 * @returns puts it back
 */
export function surviveFullDisk(): () => void {
  const folder = mkdtempSync(join(tmpdir(), "spillway-workerd-"));
  const script = join(folder, "workerd.sh");
  // A signal that is ignored stays so in what the shell becomes.
  writeFileSync(script, `#!/bin/sh\ntrap "" XFSZ\nexec '${WORKERD}' "$@"\n`);
  chmodSync(script, 0o755);
  process.env["MINIFLARE_WORKERD_PATH"] = script;
  return () => {
    delete process.env["MINIFLARE_WORKERD_PATH"];
    rmSync(folder, { recursive: true, force: true });
  };
}

function objectFolder(folder: string, of: ObjectClass): string {
  return join(folder, "state", "do", `spillway-${of}`);
}
