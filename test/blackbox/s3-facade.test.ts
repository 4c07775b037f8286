/**
 * The test's own S3 server over a real R2 bucket: what engines use of the protocol.
 */
import { Miniflare, NoOpLog } from "miniflare";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { readXmlTexts } from "../fixtures/s3-encoding.ts";
import { startS3Facade, type S3Facade } from "../fixtures/s3-facade.ts";

let miniflare: Miniflare;
let facade: S3Facade;
let root: string;

beforeAll(async () => {
  miniflare = new Miniflare({
    log: new NoOpLog(),
    cf: false,
    enableDevRegistry: false,
    workers: [
      {
        config: {
          name: "bucket",
          compatibilityDate: "2026-10-01",
          manifest: { mainModule: "i.js", modules: { "i.js": { type: "esm", contents: "export default {}" } } },
          env: { BUCKET: { type: "r2", name: "bucket" } },
        },
      },
    ],
  });
  facade = await startS3Facade({ buckets: { lake: await miniflare.getR2Bucket("BUCKET") } });
  root = `${facade.origin}/lake`;
});

afterAll(async () => {
  await facade.stop();
  await miniflare.dispose();
});

const put = (key: string, body: string | Uint8Array<ArrayBuffer>, headers: Record<string, string> = {}) =>
  fetch(`${root}/${key}`, { method: "PUT", body, headers });

async function textOf(path: string, init: RequestInit = {}): Promise<string> {
  return (await fetch(`${root}${path}`, init)).text();
}

function keysIn(xml: string): string[] {
  return readXmlTexts(xml, "Key");
}

async function begin(key: string): Promise<string> {
  return readXmlTexts(await textOf(`/${key}?uploads`, { method: "POST" }), "UploadId")[0] ?? "";
}
const upload = async (key: string, id: string, [number, body]: readonly [number, string]) =>
  (await put(`${key}?partNumber=${number}&uploadId=${id}`, body)).headers.get("etag");

describe("objects", () => {
  test("come back as they were put, with their ETag and metadata", async () => {
    const bytes = Uint8Array.from({ length: 100_000 }, (_, index) => index % 251);
    const written = await put("a/b%20c+d=%C3%A9.bin", bytes, { "x-amz-meta-colour": "green" });
    const response = await fetch(`${root}/a/b%20c+d=%C3%A9.bin`);
    expect(new Uint8Array(await response.arrayBuffer())).toEqual(bytes);
    expect(response.headers.get("etag")).toBe(written.headers.get("etag"));
    expect(response.headers.get("x-amz-meta-colour")).toBe("green");
    expect(Date.parse(response.headers.get("last-modified") ?? "")).toBeGreaterThan(0);
  });

  test("are described by HEAD without a body", async () => {
    await put("head.txt", "0123456789");
    const response = await fetch(`${root}/head.txt`, { method: "HEAD" });
    expect(response.status).toBe(200);
    expect(response.headers.get("content-length")).toBe("10");
    expect(await response.text()).toBe("");
  });

  test.each([
    ["bytes=2-4", 206, "234", "bytes 2-4/10"],
    ["bytes=7-", 206, "789", "bytes 7-9/10"],
    ["bytes=-3", 206, "789", "bytes 7-9/10"],
    ["bytes=-99", 206, "0123456789", "bytes 0-9/10"],
    ["bytes=8-99", 206, "89", "bytes 8-9/10"],
    ["lines=1-2", 200, "0123456789", null],
  ])("range %s", async (range, status, body, contentRange) => {
    await put("range.txt", "0123456789");
    const response = await fetch(`${root}/range.txt`, { headers: { range } });
    expect([response.status, await response.text(), response.headers.get("content-range")]).toEqual([
      status,
      body,
      contentRange,
    ]);
  });

  test("a range beyond the end is refused", async () => {
    await put("range.txt", "0123456789");
    const response = await fetch(`${root}/range.txt`, { headers: { range: "bytes=10-12" } });
    expect(response.status).toBe(416);
    expect(await response.text()).toContain("<Code>InvalidRange</Code>");
  });

  test("empty ones can be put and got", async () => {
    await put("empty", "");
    const response = await fetch(`${root}/empty`);
    expect([response.status, response.headers.get("content-length")]).toEqual([200, "0"]);
  });

  test("missing ones, and missing buckets, are named", async () => {
    expect(await textOf("/missing")).toContain("<Code>NoSuchKey</Code>");
    const other = await fetch(`${facade.origin}/other/key`);
    expect([other.status, await other.text()]).toEqual([404, expect.stringContaining("<Code>NoSuchBucket</Code>")]);
  });

  test("If-None-Match: * writes a new one only", async () => {
    expect((await put("once", "first", { "if-none-match": "*" })).status).toBe(200);
    expect((await put("once", "second", { "if-none-match": "*" })).status).toBe(412);
    expect(await textOf("/once")).toBe("first");
  });

  test("are copied, and deleted", async () => {
    await put("from", "text");
    expect((await put("to", "", { "x-amz-copy-source": "/lake/from" })).status).toBe(200);
    expect((await fetch(`${root}/from`, { method: "DELETE" })).status).toBe(204);
    expect([await textOf("/to"), (await fetch(`${root}/from`)).status]).toEqual(["text", 404]);
  });
});

describe("bodies in signed chunks", () => {
  test("are taken out of their chunks, trailers and all", async () => {
    const body =
      "5;chunk-signature=0a1b\r\nhello\r\n7;chunk-signature=0a1b\r\n, w\r\nld\r\n0;chunk-signature=0a1b\r\n\r\n";
    const headers = { "x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "content-encoding": "aws-chunked" };
    await put("signed", body, headers);
    expect(await textOf("/signed")).toBe("hello, w\r\nld");
    const trailing = "A\r\n0123456789\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n";
    await put("unsigned", trailing, { "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER" });
    expect(await textOf("/unsigned")).toBe("0123456789");
  });

  test("that do not fit together are refused, and nothing is written", async () => {
    const response = await put("cut", "a\r\nhello\r\n", {
      "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
    });
    expect(response.status).toBe(500);
    expect((await fetch(`${root}/cut`)).status).toBe(404);
  });
});

describe("lists", () => {
  test("go page by page, in the order of keys", async () => {
    for (const index of [3, 1, 5, 2, 4]) await put(`page/${index}`, String(index));
    const found: string[] = [];
    let token = "";
    for (;;) {
      const xml = await textOf(`?list-type=2&prefix=page/&max-keys=2${token}`);
      found.push(...keysIn(xml));
      const [next] = readXmlTexts(xml, "NextContinuationToken");
      if (next === undefined) break;
      token = `&continuation-token=${encodeURIComponent(next)}`;
    }
    expect(found).toEqual(["page/1", "page/2", "page/3", "page/4", "page/5"]);
  });

  test("roll up what lies below a delimiter, and begin where told", async () => {
    for (const key of ["tree/a/1", "tree/a/2", "tree/b/1", "tree/c"]) await put(key, "x");
    const xml = await textOf("?list-type=2&prefix=tree/&delimiter=/");
    expect(xml).toContain("<CommonPrefixes><Prefix>tree/a/</Prefix></CommonPrefixes>");
    expect(xml).toContain("<CommonPrefixes><Prefix>tree/b/</Prefix></CommonPrefixes>");
    expect(keysIn(xml)).toEqual(["tree/c"]);
    expect(keysIn(await textOf("?list-type=2&prefix=tree/&start-after=tree/a/2"))).toEqual(["tree/b/1", "tree/c"]);
  });

  test("hold keys that XML or a URL would take for something else", async () => {
    const key = "odd/<a>&'\" b";
    await put(encodeURIComponent(key), "x");
    const plain = await textOf("?list-type=2&prefix=odd/");
    expect(plain).toContain("<Key>odd/&#60;a&#62;&#38;&#39;&#34; b</Key>");
    expect(keysIn(plain)).toEqual([key]);
    const encoded = keysIn(await textOf("?list-type=2&prefix=odd/&encoding-type=url"));
    expect(encoded.map(decodeURIComponent)).toEqual([key]);
  });

  test("several objects are deleted at once", async () => {
    for (const key of ["gone/1", "gone/2", "gone/<3>"]) await put(encodeURIComponent(key), "x");
    const objects = ["gone/1", "gone/&lt;3&gt;"].map((key) => `<Object><Key>${key}</Key></Object>`).join("");
    const xml = await textOf("?delete", { method: "POST", body: `<Delete>${objects}</Delete>` });
    expect(keysIn(xml)).toEqual(["gone/1", "gone/<3>"]);
    expect(keysIn(await textOf("?list-type=2&prefix=gone/"))).toEqual(["gone/2"]);
  });
});

describe("uploads in parts", () => {
  test("become one object, in the order of their numbers", async () => {
    const id = await begin("parts");
    const etags = [await upload("parts", id, [2, "world"]), await upload("parts", id, [1, "hello, "])].reverse();
    expect((await fetch(`${root}/parts`)).status).toBe(404);
    const list = etags
      .map((etag, at) => `<Part><PartNumber>${at + 1}</PartNumber><ETag>${etag}</ETag></Part>`)
      .join("");
    const body = `<CompleteMultipartUpload>${list}</CompleteMultipartUpload>`;
    expect(await textOf(`/parts?uploadId=${id}`, { method: "POST", body })).toContain("<ETag>");
    expect(await textOf("/parts")).toBe("hello, world");
  });

  test("with another part than was uploaded are refused; broken off they leave nothing", async () => {
    const id = await begin("broken");
    await upload("broken", id, [1, "x"]);
    const body = "<Part><PartNumber>1</PartNumber><ETag>other</ETag></Part>";
    expect((await fetch(`${root}/broken?uploadId=${id}`, { method: "POST", body })).status).toBe(400);
    expect((await fetch(`${root}/broken?uploadId=${id}`, { method: "DELETE" })).status).toBe(204);
    expect((await fetch(`${root}/broken?uploadId=${id}`, { method: "POST", body })).status).toBe(404);
    expect((await fetch(`${root}/broken`)).status).toBe(404);
  });
});
