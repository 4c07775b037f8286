/**
 * What the edge of `POST /events` asks of the runtime itself: gzip with a limit, numbers by their source
 * text, headers as the runtime hands them over; and the mount with its other methods.
 */
import { Hono } from "hono";
import { expect, test } from "vitest";

import type { AppendCall } from "../../protocol/lake-call.ts";
import type { HonoEnv } from "../../workers/http/hono-env.ts";
import { mountEvents } from "../../workers/routes/events.ts";

const KEY = "ingest-key-0123456789";

async function gzip(content: string | Uint8Array): Promise<Uint8Array> {
  const stream = new Blob([content]).stream().pipeThrough(new CompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function service() {
  const calls: AppendCall[] = [];
  const app = new Hono<HonoEnv>();
  app.use(async (context, next) => {
    context.set("requestId", "req-1");
    await next();
  });
  mountEvents(app, {
    ingestKeys: new Map([[KEY, "acme"]]),
    shardCount: 1,
    appendToShard: async (call) => {
      calls.push(call);
      return { ok: true, accepted: call.events.length, duplicates: [] };
    },
    clock: () => 0,
    randomId: () => crypto.randomUUID(),
  });
  const send = async (body: BodyInit | null, headers: Record<string, string> = {}, method = "POST") =>
    app.request("/events", { method, body, headers: { authorization: `Bearer ${KEY}`, ...headers } });
  return { send, calls };
}

test("gzip is undone, and every digit of a number is kept", async () => {
  const { send, calls } = service();
  const body = await gzip('[{"id":9223372036854775807,"data":{"n":9007199254740993,"x":1e400,"f":0.1}}]');
  const response = await send(body, { "content-encoding": "gzip" });
  expect(await response.json()).toEqual({ accepted: 1, duplicates: 0, rejected: [] });
  const data = '{"n":9007199254740993,"x":1e400,"f":0.1}';
  expect(calls[0]?.events).toMatchObject([{ id: "9223372036854775807", data }]);
});

test("a gzip bomb is 413, broken and truncated gzip are 400", async () => {
  const { send, calls } = service();
  const headers = { "content-encoding": "gzip" };
  const whole = await gzip("[]");
  const bomb = await gzip(new Uint8Array(64 * 1_048_576));
  expect((await send(bomb, headers)).status).toBe(413);
  expect((await send(whole.subarray(0, 10), headers)).status).toBe(400);
  expect((await send("[]", { ...headers, "content-type": "application/json" })).status).toBe(400);
  expect((await send(whole, headers)).status).toBe(202);
  expect(calls).toEqual([]);
});

test("binary mode by headers, with bytes as data", async () => {
  const { send, calls } = service();
  const headers = { "CE-SpecVersion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "%E2%82%AC" };
  const bytes = Uint8Array.from({ length: 100_000 }, (_, at) => at % 256);
  expect((await send(bytes, { ...headers, "content-type": "image/png" })).status).toBe(202);
  const [event] = calls[0]?.events ?? [];
  expect(event).toMatchObject({ type: "€", extensions: '{"datacontenttype":"image/png"}' });
  const { data_base64: base64 } = JSON.parse(event?.data ?? "") as { data_base64: string };
  expect(Uint8Array.from(atob(base64), (char) => char.charCodeAt(0))).toEqual(bytes);
});

test("other methods are 405, OPTIONS names what is allowed", async () => {
  const { send } = service();
  const refused = await send(null, {}, "GET");
  expect([refused.status, refused.headers.get("allow")]).toEqual([405, "POST, OPTIONS"]);
  expect((await send(null, {}, "OPTIONS")).status).toBe(204);
});
