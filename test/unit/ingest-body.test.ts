/**
 * Bodies within their limit, plain and gzipped; and bombs, which are put out before they go off.
 */
import { gzipSync } from "node:zlib";

import { expect, test } from "vitest";

import { readIngestBody } from "../../workers/ingest/body.ts";

const MAX = 1000;

function request(body: Uint8Array | undefined, headers: Record<string, string> = {}): Request {
  return new Request("http://x/", {
    method: "POST",
    headers,
    ...(body === undefined ? {} : { body: Uint8Array.from(body) }),
  });
}

async function outcome(body: Uint8Array | undefined, headers?: Record<string, string>): Promise<string | number> {
  const reading = await readIngestBody(request(body, headers), MAX);
  return reading.ok ? reading.body.byteLength : reading.error.code;
}

const GZIP = { "content-encoding": "gzip" };
const bytes = (length: number) => Uint8Array.from({ length }, (_, at) => (at * at) % 251);

test("plain bodies up to the limit", async () => {
  expect(await outcome(undefined)).toBe(0);
  expect(await outcome(bytes(0), { "content-encoding": "" })).toBe(0);
  expect(await outcome(bytes(MAX), { "content-encoding": "Identity" })).toBe(MAX);
  expect(await outcome(bytes(MAX + 1))).toBe("body_too_large");
});

test("gzip up to the limit after decompression", async () => {
  for (const encoding of ["gzip", "GZIP", "x-gzip"]) {
    const reading = await readIngestBody(request(gzipSync(bytes(MAX)), { "content-encoding": encoding }), MAX);
    expect(reading.ok && Buffer.from(reading.body).equals(bytes(MAX))).toBe(true);
  }
  expect(await outcome(gzipSync(""), GZIP)).toBe(0);
  expect(await outcome(gzipSync(new Uint8Array(MAX)), GZIP)).toBe(MAX);
  expect(await outcome(gzipSync(new Uint8Array(MAX + 1)), GZIP)).toBe("body_too_large");
});

// Members without content (RFC 1952, 2.2), of 20 bytes each.
const members = (count: number) => Buffer.concat(Array.from({ length: count }, () => gzipSync("")));

test("the limit holds before decompression, too", async () => {
  expect(await outcome(members(MAX / 20), GZIP)).toBe(0);
  expect(await outcome(members(MAX / 20 + 1), GZIP)).toBe("body_too_large");
});

test("a gzip bomb costs the limit, not what it would become", async () => {
  const bomb = gzipSync(Buffer.alloc(512 * 1_048_576));
  const before = process.memoryUsage().rss;
  const reading = await readIngestBody(request(bomb, GZIP));
  expect(reading).toMatchObject({ ok: false, error: { code: "body_too_large", maxBytes: 10 * 1_048_576 } });
  expect(process.memoryUsage().rss - before).toBeLessThan(100 * 1_048_576);
});

test.each([
  ["nothing", new Uint8Array(0)],
  ["text", new TextEncoder().encode("[1,2]")],
  ["half of it", gzipSync(bytes(500)).subarray(0, 200)],
  ["a wrong checksum", gzipSync(bytes(500)).map((byte, at, all) => (at === all.length - 6 ? byte ^ 1 : byte))],
])("400 for what is not gzip: %s", async (_name, body) => {
  expect(await outcome(body, GZIP)).toBe("invalid_request");
});

test.each(["br", "deflate", "zstd", "gzip, gzip", "gzip, identity"])(
  "415 for Content-Encoding %s",
  async (encoding) => {
    const reading = await readIngestBody(request(bytes(10), { "content-encoding": encoding }), MAX);
    expect(reading).toMatchObject({ ok: false, error: { code: "unsupported_media_type" } });
  },
);

test("reading stops at the limit, and a length that is announced is believed before any of it is read", async () => {
  let pulled = 0;
  const endless = () =>
    new ReadableStream<Uint8Array<ArrayBuffer>>(
      {
        type: "bytes",
        pull: (controller) => {
          pulled++;
          controller.enqueue(new Uint8Array(100));
        },
      },
      { highWaterMark: 0 },
    );
  const headers = new Headers();
  expect(await readIngestBody({ headers, body: endless() }, MAX)).toMatchObject({ ok: false });
  expect(pulled).toBe(11);
  headers.set("content-length", String(MAX + 1));
  expect(await readIngestBody({ headers, body: endless() }, MAX)).toMatchObject({ ok: false });
  expect(pulled).toBe(11);
});
