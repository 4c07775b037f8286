/**
 * Snapshots whose readers do not read: what they cost (B6). Each is made for its reader alone, so that a
 * queue would hold all of it once for each of them.
 */
import { afterAll, beforeAll, expect, test } from "vitest";

import { statusOf } from "../fixtures/folded-stream.ts";
import { anonymousBytes, asMb } from "../fixtures/process-memory.ts";
import { endService } from "../fixtures/end-service.ts";
import { readStream } from "../fixtures/sse-reading.ts";
import { bodyOf, openUnread, untilFull } from "../fixtures/unread-response.ts";
import { sendChunks, startUpstream, type Upstream } from "../fixtures/upstream.ts";
import { startService, type Service } from "../fixtures/workerd-service.ts";

const BYTES_PER_MB = 1_048_576;
const EVENTS = 16_000;
const READERS = 6;
/** As in stalled-reader.test.ts: headroom for garbage that has not been collected yet. */
const QUEUE_FRACTION = 1 / 3;

let upstream: Upstream;
let service: Service;

beforeAll(async () => {
  const filler = '"é\\'.repeat(500);
  const chunks = Array.from({ length: EVENTS / 100 }, (_, chunk) =>
    Array.from({ length: 100 }, (__, at) => `data: ${chunk * 100 + at + 1} ${filler}\n\n`).join(""),
  );
  upstream = await startUpstream(sendChunks(chunks));
  const ROUTES = [{ name: "t", upstream: upstream.origin, method: "GET", allowGet: true }];
  const buffer = { SSE_BUFFER_MAX_SIZE_MB: 64, SSE_BUFFER_MAX_EVENTS: EVENTS };
  service = await startService({
    vars: { ROUTES, ...buffer, SSE_CLIENT_STALL_SEC: 600, SSE_CLIENT_MAX_AGE_SEC: 3600 },
  });
});

afterAll(async () => {
  await endService(service);
  await upstream.stop();
});

/** Without what differs between readers: the token before it, the count of resumes after it. */
function snapshotIn(body: Buffer): Buffer {
  return body.subarray(body.indexOf("event: snapshot\n"), body.lastIndexOf("event: end\n"));
}

test("B6: readers that read nothing of a snapshot of tens of MB cost next to nothing, and get it whole", async () => {
  const live = await readStream(`${service.origin}/t/stream`);
  await live.until(() => live.outcome !== "open", "the whole stream");
  const address = { origin: service.origin, route: "t", token: live.token };
  const status = await statusOf(address);
  expect(status).toMatchObject({ events: EVENTS, retained_events: EVENTS });
  const url = `${service.origin}/t/resume?mode=snapshot&token=${live.token}`;

  // The heap first grows to its working size.
  const whole = snapshotIn(await bodyOf(await openUnread(url)));
  expect(whole.indexOf(`],"through":"1-${EVENTS}","missing":0}`)).toBeGreaterThan(0);
  const aloneBytes = anonymousBytes(service.pid);

  const stalled = [];
  for (let at = 0; at < READERS; at++) {
    stalled.push(await openUnread(url));
  }
  const kernelBytes = (await untilFull(stalled)) / READERS;
  const costBytes = (anonymousBytes(service.pid) - aloneBytes) / READERS;
  const queueBytes = whole.byteLength - kernelBytes;
  console.log(
    `a snapshot of ${asMb(whole.byteLength)}: ${asMb(aloneBytes)} before, ${asMb(costBytes)} for each of ${READERS} readers ` +
      `that read nothing; a queue would hold ${asMb(queueBytes)} for each, the kernel ${asMb(kernelBytes)}.`,
  );
  expect(queueBytes).toBeGreaterThan(10 * BYTES_PER_MB);
  expect(costBytes).toBeLessThan(queueBytes * QUEUE_FRACTION);

  for (const response of stalled) expect(snapshotIn(await bodyOf(response)).equals(whole)).toBe(true);
});
