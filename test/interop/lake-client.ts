/**
 * The service under test as its producers and its operator use it.
 */
import type { LakeService } from "../fixtures/lake-service.ts";
import { TEST_SECRETS } from "../fixtures/test-secrets.ts";

const INGEST_KEY = "test-ingest-key-acme";
const DAY_MS = 86_400_000;

/** Times of the first event of each day: three days, with a partition between them that stays empty. */
export const DAYS = ["2026-11-16", "2026-11-17", "2026-11-19"].map((day) => Date.parse(`${day}T12:00:00.123Z`));

/** Sends so many events of one source, spread over {@link DAYS}; the payload's `n` is 0, 1, … */
export async function sendEvents(service: LakeService, source: string, count: number): Promise<void> {
  const events = Array.from({ length: count }, (_, n) => ({
    specversion: "1.0",
    id: `e${n}`,
    source,
    type: `com.example.type${n % 7}`,
    time: new Date((DAYS[n % DAYS.length] ?? 0) + (n % (DAY_MS / 4))).toISOString(),
    ...(n % 5 === 0 && { region: "北" }),
    data: { n, text: `é "${n}"` },
  }));
  const response = await fetch(`${service.origin}/events`, {
    method: "POST",
    headers: { authorization: `Bearer ${INGEST_KEY}`, "content-type": "application/cloudevents-batch+json" },
    body: JSON.stringify(events),
  });
  const answer = (await response.json()) as { accepted?: number };
  if (response.status !== 202 || answer.accepted !== count) throw new Error(`not all were taken: ${response.status}`);
}

/** Calls an operator's action; it must succeed. @returns its report */
export async function administer(service: LakeService, action: string): Promise<Record<string, unknown>> {
  const response = await fetch(`${service.origin}/admin/${action}`, {
    method: "POST",
    headers: { authorization: `Bearer ${TEST_SECRETS.ADMIN_TOKEN}` },
  });
  const report = (await response.json()) as Record<string, unknown>;
  if (response.status !== 200) throw new Error(`${action} was answered ${response.status}: ${JSON.stringify(report)}`);
  return report;
}
