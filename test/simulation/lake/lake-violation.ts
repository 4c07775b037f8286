/**
 * A broken promise of the lake, as the checker found it. L1–L3 are the shard's (shard-buffer.ts), X1–X4
 * the committer's (committer.ts).
 */
export type LakePromise =
  | "L1 nothing acknowledged is lost"
  | "L1 nothing counts twice"
  | "L1 rows are what was taken"
  | "L2 numbers are never used twice"
  | "L3 the age deadline stands"
  | "R1 nothing is dropped that is not exported"
  | "X1 commits are numbered"
  | "X3 nothing is let go too early"
  | "duplicates are recognised"
  | "the table refers to what is there"
  | "metadata has one history"
  | "maintenance moves rows and no more"
  | "telemetry is summed up exactly"
  | "work comes to its end";

export class LakeViolation extends Error {
  override readonly name = "LakeViolation";
  readonly promise: LakePromise;

  constructor(promise: LakePromise, message: string) {
    super(`${promise}: ${message}`);
    this.promise = promise;
  }
}

export function breach(promise: LakePromise, message: string): never {
  throw new LakeViolation(promise, message);
}
