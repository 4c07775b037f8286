/**
 * Writes lines to the bucket in parts, each a section of its own with head, digest and end, so that every part
 * can be replayed by itself. Holds one part in memory.
 */
import { createHash, type Hash } from "node:crypto";

import { EXPORT_VERSION, exportLine } from "../../protocol/buffer-export.ts";
import type { ObjectStore } from "../iceberg/object-store.ts";

/** A replay takes 10 MiB, and a page more may still be on its way into the part. */
const PART_MAX_BYTES = 8 * 1024 * 1024;
/** Room for head and end. */
const FRAME_BYTES = 1024;

export interface PartsDeps {
  readonly objects: ObjectStore;
  readonly shard: string;
  readonly nowMs: number;
}

const encoder = new TextEncoder();

export class ExportParts {
  /** Keys of the parts that are written, or may be. */
  readonly keys: string[] = [];
  private readonly deps: PartsDeps;
  private chunks: Uint8Array[] = [];
  private bytes = 0;
  private hash: Hash = createHash("sha256");
  private events = 0;
  private unreadableRows = 0;

  constructor(deps: PartsDeps) {
    this.deps = deps;
  }

  /** @param unreadableRows how many of the lines, the last ones, are damaged rows. @throws where the bucket fails */
  async add(lines: readonly string[], unreadableRows: number): Promise<void> {
    if (lines.length === 0) return;
    const sound = lines.length - unreadableRows;
    const text = joined(lines.slice(0, sound));
    const chunk = encoder.encode(text + joined(lines.slice(sound)));
    if (this.bytes > 0 && this.bytes + chunk.byteLength > PART_MAX_BYTES - FRAME_BYTES) await this.writePart();
    this.hash.update(text);
    this.chunks.push(chunk);
    this.bytes += chunk.byteLength;
    this.events += sound;
    this.unreadableRows += unreadableRows;
  }

  /** Writes what is left. @throws where the bucket fails */
  async end(): Promise<readonly string[]> {
    if (this.bytes > 0) await this.writePart();
    return this.keys;
  }

  private async writePart(): Promise<void> {
    const { objects, shard, nowMs } = this.deps;
    const at = new Date(nowMs).toISOString();
    const { events, unreadableRows } = this;
    const head = exportLine.head({ version: EXPORT_VERSION, shards: [shard], events, at });
    const end = exportLine.end({ events, unreadable_rows: unreadableRows, sha256: this.hash.digest("hex") });
    const body = concat([encoder.encode(`${head}\n`), ...this.chunks, encoder.encode(`${end}\n`)]);
    const key = `exports/${shard}/${stampOf(nowMs)}-${this.keys.length + 1}.ndjson`;
    this.keys.push(key);
    this.chunks = [];
    this.bytes = 0;
    this.events = 0;
    this.unreadableRows = 0;
    this.hash = createHash("sha256");
    await putNew(objects, key, body);
  }
}

/** A time as part of a key: without the colons that some tools cannot have in a file's name. */
export function stampOf(timeMs: number): string {
  return new Date(timeMs).toISOString().replaceAll(":", "-");
}

/** @throws where the object is not written, or may not be, or was there before */
export async function putNew(objects: ObjectStore, key: string, bytes: Uint8Array): Promise<void> {
  const outcome = await objects.putIfAbsent(key, bytes);
  if (outcome === "throttled") throw new Error("the bucket asks for fewer writes");
  if (outcome === "exists") throw new Error("an export of this moment is there already");
}

function joined(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join("");
}

function concat(chunks: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(chunks.reduce((sum, { byteLength }) => sum + byteLength, 0));
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.byteLength;
  }
  return whole;
}
