/**
 * R2 as the lake sees it: strongly consistent, pages of bounded size, its own clock. The ports are the
 * callers' side, where every call is one that can go wrong.
 */
import type {
  ObjectPage,
  ObjectStore,
  PutOutcome,
  StoredObject,
} from "../../../durable-objects/iceberg/object-store.ts";
import type { Caller, Network } from "./network.ts";

interface Kept {
  readonly bytes: Uint8Array;
  readonly uploadedMs: number;
  readonly metadata: Readonly<Record<string, string>>;
}

/** R2's is 1,000; smaller, so that a sweep has several of them. */
const PAGE_KEYS = 40;

export class SimBucket {
  readonly objects = new Map<string, Kept>();
  /** Grows with every change. */
  changes = 0;
  /** Grows whenever something is deleted. */
  deletions = 0;
  /** Told of every key that is written, before it is there. */
  onWrite: (key: string) => void = () => undefined;
  /** Told how many objects a delete took. */
  onDelete: (count: number) => void = () => undefined;
  private readonly clock: () => number;

  constructor(clock: () => number) {
    this.clock = clock;
  }

  putIfAbsent(key: string, bytes: Uint8Array, metadata: Readonly<Record<string, string>>): PutOutcome {
    if (this.objects.has(key)) return "exists";
    this.put(key, bytes, metadata);
    return "written";
  }

  put(key: string, bytes: Uint8Array, metadata: Readonly<Record<string, string>> = {}): void {
    this.onWrite(key);
    this.objects.set(key, { bytes, metadata, uploadedMs: this.clock() });
    this.changes++;
  }

  head(key: string): StoredObject | undefined {
    const kept = this.objects.get(key);
    if (kept === undefined) return undefined;
    const { bytes, uploadedMs, metadata } = kept;
    return { key, sizeBytes: bytes.byteLength, uploadedMs, metadata };
  }

  keys(prefix: string): string[] {
    return [...this.objects.keys()].filter((key) => key.startsWith(prefix)).toSorted();
  }

  list(prefix: string, cursor: string | undefined): ObjectPage {
    const keys = this.keys(prefix).filter((key) => cursor === undefined || key > cursor);
    const page = keys.slice(0, PAGE_KEYS);
    const objects = page.flatMap((key) => this.head(key) ?? []).map((object) => ({ ...object, metadata: {} }));
    return { objects, cursor: keys.length > page.length ? page.at(-1) : undefined };
  }

  delete(keys: readonly string[]): number {
    let deleted = 0;
    for (const key of keys) if (this.objects.delete(key)) deleted++;
    this.onDelete(deleted);
    this.changes++;
    this.deletions++;
    return deleted;
  }
}

/** What an object is, for coverage and traces. */
function kindOf(key: string): string {
  if (key.startsWith("dead-letters/")) return "dead letters";
  if (key.endsWith(".metadata.json")) return "metadata";
  if (key.endsWith("version-hint.text")) return "hint";
  if (key.includes("/compact-")) return "compacted file";
  if (key.endsWith(".parquet")) return "data file";
  return key.includes("/snap-") ? "manifest list" : "manifest";
}

/** The bucket as one caller has it. */
export function bucketPort(bucket: SimBucket, network: Network, caller: Caller): ObjectStore {
  return {
    putIfAbsent: (key, bytes, metadata = {}) =>
      network.ask(caller, `put ${kindOf(key)}`, (reply) => reply.ok(bucket.putIfAbsent(key, bytes, metadata)), true),
    put: (key, bytes) => network.ask(caller, `put ${kindOf(key)}`, (reply) => reply.ok(bucket.put(key, bytes))),
    get: (key) => network.ask(caller, `get ${kindOf(key)}`, (reply) => reply.ok(bucket.objects.get(key)?.bytes)),
    head: (key) => network.ask(caller, `head ${kindOf(key)}`, (reply) => reply.ok(bucket.head(key))),
    list: (prefix, cursor) => network.ask(caller, "list", (reply) => reply.ok(bucket.list(prefix, cursor))),
    delete: (keys) =>
      network.ask(caller, "delete", (reply) => {
        const count = network.countDeleted(keys.length);
        bucket.delete(keys.slice(0, count));
        if (count === keys.length) reply.ok(undefined);
        else reply.fail(new Error("the bucket failed half way"));
      }),
  };
}
