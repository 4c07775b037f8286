/**
 * An R2 bucket as the lake's object store, with a time limit on every call: R2 itself sets none, and a
 * call that never returns would hold its shard's flush for ever.
 */
import type { ObjectPage, ObjectStore, PutOutcome, StoredObject } from "./iceberg/object-store.ts";
import { within } from "../protocol/timing.ts";

const CALL_TIMEOUT_MS = 30_000;
/** R2's code for "reduce your concurrent request rate for the same object" (platform documentation, 429). */
const THROTTLED_CODE = "10058";

export class R2ObjectStore implements ObjectStore {
  private readonly bucket: R2Bucket;

  constructor(bucket: R2Bucket) {
    this.bucket = bucket;
  }

  async putIfAbsent(
    key: string,
    bytes: Uint8Array,
    metadata: Readonly<Record<string, string>> = {},
  ): Promise<PutOutcome> {
    const options = { onlyIf: { etagDoesNotMatch: "*" }, customMetadata: { ...metadata } };
    try {
      const written = await within(this.bucket.put(key, bytes, options), "put", CALL_TIMEOUT_MS);
      return written === null ? "exists" : "written";
    } catch (error) {
      if (isThrottled(error)) return "throttled";
      throw error;
    }
  }

  async put(key: string, bytes: Uint8Array): Promise<void> {
    await within(this.bucket.put(key, bytes), "put", CALL_TIMEOUT_MS);
  }

  async get(key: string): Promise<Uint8Array | undefined> {
    const object = await within(this.bucket.get(key), "get", CALL_TIMEOUT_MS);
    return object === null ? undefined : within(object.bytes(), "get", CALL_TIMEOUT_MS);
  }

  async head(key: string): Promise<StoredObject | undefined> {
    const object = await within(this.bucket.head(key), "head", CALL_TIMEOUT_MS);
    return object === null ? undefined : toStored(object);
  }

  async list(prefix: string, cursor?: string): Promise<ObjectPage> {
    const page = await within(
      this.bucket.list({ prefix, ...(cursor === undefined ? {} : { cursor }) }),
      "list",
      CALL_TIMEOUT_MS,
    );
    return { objects: page.objects.map(toStored), cursor: page.truncated ? page.cursor : undefined };
  }

  async delete(keys: readonly string[]): Promise<void> {
    await within(this.bucket.delete([...keys]), "delete", CALL_TIMEOUT_MS);
  }
}

function toStored({ key, size, uploaded, customMetadata }: R2Object): StoredObject {
  return { key, sizeBytes: size, uploadedMs: uploaded.getTime(), metadata: customMetadata ?? {} };
}

function isThrottled(error: unknown): boolean {
  return error instanceof Error && error.message.includes(THROTTLED_CODE);
}
