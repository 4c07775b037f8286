/**
 * A response body as a port, in the runtime it is served by: what it says of its queue while the reader
 * takes its time, and how each end of a connection looks from the other side.
 */
import { describe, expect, test } from "vitest";

import { createWire } from "../../durable-objects/stream/wire.ts";
import { SEGMENT_MAX_BYTES } from "../../protocol/limits.ts";

const READER_BUFFER_BYTES = 65_536;
const CHUNKS = 3;
const CHUNK_BYTES = 10_000;

type Wire = ReturnType<typeof createWire>;

function openWire() {
  const wire = createWire(READER_BUFFER_BYTES);
  let cancels = 0;
  wire.connect({ onPull: () => undefined, onCancel: () => cancels++ });
  for (let n = 0; n < CHUNKS; n++) wire.port.send(new Uint8Array(CHUNK_BYTES));
  return { ...wire, cancels: () => cancels };
}

const FAREWELLS: readonly (readonly [string, (wire: Wire) => void])[] = [
  ["open", () => undefined],
  ["being closed", ({ port }) => port.close()],
  ["being broken off", ({ port }) => port.breakOff()],
];

describe.each(FAREWELLS)("a connection that is %s", (_, prepare) => {
  test("tells of its queue until all of it was taken", async () => {
    const wire = openWire();
    prepare(wire);
    const reader = wire.body.getReader();
    for (let left = CHUNKS; left > 0; left--) {
      expect(wire.port.queuedBytes()).toBe(left * CHUNK_BYTES);
      expect((await reader.read()).value?.byteLength).toBe(CHUNK_BYTES);
    }
    expect(wire.port.queuedBytes()).toBeLessThanOrEqual(1);
  });

  test("holds nothing any more once its other end has gone", async () => {
    const wire = openWire();
    prepare(wire);
    await wire.body.cancel();
    expect(wire.cancels()).toBe(1);
    expect(wire.port.queuedBytes()).toBe(0);
    expect(wire.port.roomBytes()).toBeLessThanOrEqual(0);
  });

  test("can be cut, and drops what was queued", async () => {
    const wire = openWire();
    prepare(wire);
    wire.port.abort();
    expect(wire.port.queuedBytes()).toBe(0);
    await expect(wire.body.getReader().read()).rejects.toThrow("cut by the server");
    expect(() => wire.port.abort()).not.toThrow();
  });
});

test("closed, it ends where everything was taken, and at once where nothing is queued", async () => {
  const wire = openWire();
  wire.port.close();
  expect((await new Response(wire.body).bytes()).byteLength).toBe(CHUNKS * CHUNK_BYTES);
  const empty = createWire(READER_BUFFER_BYTES);
  empty.port.close();
  expect(empty.port.queuedBytes()).toBe(0);
  expect((await empty.body.getReader().read()).done).toBe(true);
});

test("broken off, it ends with an error, after everything was taken", async () => {
  const wire = openWire();
  wire.port.breakOff();
  const reader = wire.body.getReader();
  for (let n = 0; n < CHUNKS; n++) expect((await reader.read()).value?.byteLength).toBe(CHUNK_BYTES);
  const readOn = async () => {
    while (!(await reader.read()).done);
  };
  await expect(readOn()).rejects.toThrow("cut by the server");
});

test("told to hold, it has room for the head only until that was taken", async () => {
  const wire = createWire(READER_BUFFER_BYTES);
  const rooms: number[] = [];
  wire.connect({ onPull: () => rooms.push(wire.port.roomBytes()), onCancel: () => undefined });
  wire.port.holdUntilTaken?.();
  wire.port.send(new Uint8Array(CHUNK_BYTES));
  expect(wire.port.roomBytes()).toBe(0);
  // Whatever the runtime does of itself when it has been given a stream.
  await Promise.resolve();
  expect(rooms).toEqual([]);
  expect(wire.port.roomBytes()).toBe(0);
  const reader = wire.body.getReader();
  await reader.read();
  const next = reader.read();
  await expect.poll(() => rooms.length).toBeGreaterThan(0);
  expect(rooms[0]).toBe(READER_BUFFER_BYTES - SEGMENT_MAX_BYTES);
  wire.port.close();
  expect((await next).done).toBe(true);
});
