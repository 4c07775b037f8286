/**
 * The bucket as the lake sees it. Every call may throw: the outcome of a write is then unknown.
 */

export interface StoredObject {
  readonly key: string;
  readonly sizeBytes: number;
  readonly uploadedMs: number;
  /** What was put beside the object; empty where a listing does not carry it. */
  readonly metadata: Readonly<Record<string, string>>;
}

export interface ObjectPage {
  readonly objects: readonly StoredObject[];
  /** Where the next page begins; `undefined` on the last one. */
  readonly cursor: string | undefined;
}

/** `throttled`: R2 takes about one write a second and key, and then answers 429. */
export type PutOutcome = "written" | "exists" | "throttled";

export interface ObjectStore {
  /** Writes a key that does not exist yet; an existing object is never changed. */
  putIfAbsent(key: string, bytes: Uint8Array, metadata?: Readonly<Record<string, string>>): Promise<PutOutcome>;
  /** Writes or overwrites. */
  put(key: string, bytes: Uint8Array): Promise<void>;
  get(key: string): Promise<Uint8Array | undefined>;
  head(key: string): Promise<StoredObject | undefined>;
  /** In the order of their keys. */
  list(prefix: string, cursor?: string): Promise<ObjectPage>;
  delete(keys: readonly string[]): Promise<void>;
}
