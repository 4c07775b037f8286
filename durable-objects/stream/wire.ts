/**
 * A response body as a reader's port.
 *
 * A default stream that counts bytes: byte streams detach a chunk's buffer, so that readers could
 * not share it, and transform streams cost a quarter more.
 */
import { portHighWaterMark } from "./delivery.ts";
import type { ReaderPort } from "./reader.ts";

export interface Wire {
  readonly port: ReaderPort;
  readonly body: ReadableStream<Uint8Array>;
  connect(handlers: { onPull: () => void; onCancel: () => void }): void;
}

export function createWire(readerBufferBytes: number): Wire {
  const highWaterMark = portHighWaterMark(readerBufferBytes);
  let handlers: { onPull: () => void; onCancel: () => void } | undefined;
  let isSending = false;
  let controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  const body = new ReadableStream<Uint8Array>(
    {
      start(ready) {
        controller = ready;
      },
      // Enqueueing calls pull at once while there is room; nothing has been taken then, and the
      // caller is in the middle of its turn.
      pull: () => (isSending ? undefined : handlers?.onPull()),
      cancel: () => handlers?.onCancel(),
    },
    new ByteLengthQueuingStrategy({ highWaterMark }),
  );
  const wire = controller;
  if (wire === undefined) throw new Error("a stream calls start when it is made");
  const port: ReaderPort = {
    roomBytes: () => wire.desiredSize ?? 0,
    queuedBytes: () => highWaterMark - (wire.desiredSize ?? highWaterMark),
    send(chunk) {
      isSending = true;
      wire.enqueue(chunk);
      isSending = false;
    },
    close: () => wire.close(),
    abort: () => wire.error(new Error("connection cut by the server")),
  };
  return { port, body, connect: (given) => (handlers = given) };
}
