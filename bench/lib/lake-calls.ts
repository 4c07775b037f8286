/**
 * The lake as the benchmark uses it: batches of events in, admin calls, and what the service then says.
 */
import type { AdminFlushReport, AdminStatus } from "../../protocol/admin-report.ts";
import { cloudEventText, createLakeRows } from "../../test/fixtures/lake-rows.ts";
import type { LakeService } from "../../test/fixtures/lake-service.ts";
import { TEST_SECRETS } from "../../test/fixtures/test-secrets.ts";

const INGEST_KEY = "test-ingest-key-acme";
const BATCH_TYPE = "application/cloudevents-batch+json";

/** Bodies of requests with `batch` events each, whose ids are the seed's own. */
export function createBodies(events: number, batch: number, seed: number): Uint8Array<ArrayBuffer>[] {
  const texts = createLakeRows(events, { seed }).map(cloudEventText);
  const encoder = new TextEncoder();
  return Array.from({ length: Math.ceil(events / batch) }, (_, at) =>
    encoder.encode(`[${texts.slice(at * batch, (at + 1) * batch).join(",")}]`),
  );
}

/**
 * Posts every body over `connections` connections at once.
 *
 * @returns events accepted, by the service's word
 * @throws where one is not answered 202
 */
export async function postBodies(
  url: string,
  bodies: readonly Uint8Array<ArrayBuffer>[],
  connections: number,
): Promise<number> {
  let next = 0;
  let accepted = 0;
  const work = async () => {
    for (let body = bodies[next++]; body !== undefined; body = bodies[next++]) {
      const headers = { Authorization: `Bearer ${INGEST_KEY}`, "Content-Type": BATCH_TYPE };
      const response = await fetch(url, { method: "POST", headers, body });
      if (response.status !== 202) throw new Error(`answered ${response.status}: ${await response.text()}`);
      // The service's own answer: see protocol/errors.ts.
      const answer = (await response.json()) as { accepted: number };
      // After the await: added before it, two answers at once would count as one.
      accepted += answer.accepted;
    }
  };
  await Promise.all(Array.from({ length: connections }, work));
  return accepted;
}

/** Flushes every shard and commits. @throws where something of it fails */
export async function flushLake(service: LakeService): Promise<AdminFlushReport> {
  // The service's own answer: see protocol/admin-report.ts.
  const report = (await callAdmin(service, "POST", "flush")) as AdminFlushReport;
  if (!report.ok) throw new Error(`flush failed: ${JSON.stringify(report)}`);
  return report;
}

/** Rows of the newest snapshot. */
export async function countRows(service: LakeService): Promise<number> {
  const { table } = (await callAdmin(service, "GET", "status")) as AdminStatus;
  return table?.rows ?? 0;
}

async function callAdmin({ origin }: LakeService, method: string, path: string): Promise<unknown> {
  const headers = { Authorization: `Bearer ${TEST_SECRETS.ADMIN_TOKEN}` };
  const response = await fetch(`${origin}/admin/${path}`, { method, headers });
  return response.json();
}

/** Bytes of the current metadata file, as the read-only catalog hands it out. */
export async function metadataBytes({ origin }: LakeService): Promise<number> {
  const headers = { Authorization: `Bearer ${TEST_SECRETS.ICEBERG_READ_TOKEN}` };
  const response = await fetch(`${origin}/iceberg/v1/namespaces/spillway/tables/events`, { headers });
  // Only its length is wanted: ids that a double does not hold change a digit, not the count of digits.
  const { metadata } = (await response.json()) as { metadata: object };
  return Buffer.byteLength(JSON.stringify(metadata));
}
