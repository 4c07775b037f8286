/**
 * Faults of a bucket, made for real: its files go away under the running service, and come back.
 */
import { mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** `everything`: no put succeeds, and no get; `reads`: what is there cannot be read, what is new can be put. */
export type BucketFault = "everything" | "reads";

/** @returns gives the bucket back, with what was put meanwhile */
export function breakBucket(folder: string, bucket: string, fault: BucketFault): () => void {
  const blobs = join(folder, "state", "r2", bucket, "blobs");
  const away = `${blobs}.away`;
  mkdirSync(blobs, { recursive: true });
  renameSync(blobs, away);
  if (fault === "everything") writeFileSync(blobs, "");
  else mkdirSync(blobs);
  let isBroken = true;
  return () => {
    if (!isBroken) return;
    isBroken = false;
    const meanwhile = fault === "everything" ? [] : readdirSync(blobs);
    for (const name of meanwhile) renameSync(join(blobs, name), join(away, name));
    rmSync(blobs, { recursive: true });
    renameSync(away, blobs);
  };
}
