/**
 * Absolute paths of the table's files and the bucket's keys for them.
 */

const MS_PER_DAY = 86_400_000;

/** Key within the bucket of `s3://bucket/key`. @throws where the path has no bucket and key */
export function keyOf(path: string): string {
  const match = /^[a-z][a-z0-9]*:\/\/[^/]+\/(.+)$/.exec(path);
  const key = match?.[1];
  if (key === undefined) throw new Error(`not a path in a bucket: ${path}`);
  return key;
}

/**
 * A partition's folder, such as `2026-11-21`. Without `=`: keys with it break the signature check of local
 * S3 endpoints.
 *
 * @param day days since 1970
 */
export function dayText(day: number): string {
  return new Date(day * MS_PER_DAY).toISOString().slice(0, 10);
}
