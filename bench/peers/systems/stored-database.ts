/**
 * How large the SQLite database is that workerd keeps of one object: of a copy, since workerd has it locked, with
 * what still lies in its write-ahead log brought in.
 */
import { createHash, createHmac } from "node:crypto";
import { copyFileSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

const ID_HALF_BYTES = 16;

/**
 * @param storage what the service was told as `persistTo`
 * @param className of the object
 * @param name the object's own
 */
export function storedDatabaseBytes(storage: string, className: string, name: string): number | undefined {
  const path = join(storage, "do", className, `${objectId(className, name)}.sqlite`);
  return existsSync(path) ? databaseBytes(path) : undefined;
}

/** workerd's `idFromName`: a hash of the name under the namespace's key, and one of that. */
function objectId(uniqueKey: string, name: string): string {
  const key = createHash("sha256").update(uniqueKey).digest();
  const half = (data: string | Buffer) => createHmac("sha256", key).update(data).digest().subarray(0, ID_HALF_BYTES);
  const ofName = half(name);
  return Buffer.concat([ofName, half(ofName)]).toString("hex");
}

function databaseBytes(path: string): number {
  const folder = mkdtempSync(join(tmpdir(), "spillway-database-"));
  try {
    for (const part of ["", "-wal"]) {
      if (existsSync(path + part)) copyFileSync(path + part, join(folder, `copy.sqlite${part}`));
    }
    const database = new DatabaseSync(join(folder, "copy.sqlite"));
    try {
      const pragma = (name: string) => Number(database.prepare(`PRAGMA ${name}`).get()?.[name]);
      return pragma("page_count") * pragma("page_size");
    } finally {
      database.close();
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
