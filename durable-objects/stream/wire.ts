/**
 * A response body as a reader's port.
 *
 * A default stream that counts bytes: byte streams detach a chunk's buffer, so that readers could
 * not share it, and transform streams cost a quarter more.
 */
import { HEARTBEAT_FRAME } from "../../protocol/sse-frame.ts";
import { portHighWaterMark } from "./delivery.ts";
import type { ReaderPort } from "./reader.ts";

/** A comment: no reader takes notice of it. */
const MARK = new TextEncoder().encode(HEARTBEAT_FRAME);

interface WireHandlers {
  /** The reader has taken something, and there is room. */
  readonly onPull: () => void;
  /** The connection is gone. */
  readonly onCancel: () => void;
}

export interface Wire {
  readonly port: ReaderPort;
  readonly body: ReadableStream<Uint8Array>;
  connect(handlers: WireHandlers): void;
}

export function createWire(readerBufferBytes: number): Wire {
  const highWaterMark = portHighWaterMark(readerBufferBytes);
  let handlers: WireHandlers | undefined;
  let state: "open" | "sending" | "closing" | "closed" | "breaking_off" = "open";
  let isMarked = false;
  let mustBeTaken = false;
  let sentBytes = 0;
  let ready: ReadableStreamDefaultController<Uint8Array> | undefined;
  const body = new ReadableStream<Uint8Array>(
    {
      start: (controller) => void (ready = controller),
      pull() {
        if (state === "breaking_off") breakOffOnceTaken();
        else if (state === "closing") closeOnceTaken();
        // Enqueueing calls pull at once while there is room; nothing has been taken then, and the
        // caller is in the middle of its turn.
        else if (state === "open" && !isHeldBack()) handlers?.onPull();
      },
      cancel() {
        state = "closed";
        handlers?.onCancel();
      },
    },
    new ByteLengthQueuingStrategy({ highWaterMark }),
  );
  if (ready === undefined) throw new Error("a stream calls start when it is made");
  const controller = ready;

  function isHeldBack(): boolean {
    return mustBeTaken && queuedBytes() >= sentBytes;
  }

  /** `desiredSize` is null after an error. */
  function queuedBytes(): number {
    const room = controller.desiredSize;
    if (room === null || state === "closed") return 0;
    // Until it is broken off, a connection has its end still to come.
    return state === "breaking_off" ? Math.max(1, highWaterMark - room) : highWaterMark - room;
  }

  /**
   * A stream that was told to close says nothing of its queue any more, and cannot be cut: the runtime
   * then reports 0 for `desiredSize`, and takes no notice of an error. So it is told once all is taken.
   */
  function closeOnceTaken(): void {
    if (controller.desiredSize !== highWaterMark) return;
    state = "closed";
    controller.close();
  }

  /**
   * The runtime collects all queued chunks in one go, calling pull in between, and drops what it has
   * not written when the stream fails. So a mark follows, in a later turn: it is taken only once
   * everything before it has been written.
   */
  function breakOffOnceTaken(): void {
    if (controller.desiredSize !== highWaterMark) return;
    setTimeout(isMarked ? cut : mark, 0);
  }

  function mark(): void {
    if (isMarked || controller.desiredSize !== highWaterMark) return;
    isMarked = true;
    controller.enqueue(MARK);
    // A reader that was waiting has it already.
    breakOffOnceTaken();
  }

  function cut(): void {
    controller.error(new Error("connection cut by the server"));
  }

  const port: ReaderPort = {
    roomBytes: () => (isHeldBack() ? 0 : (controller.desiredSize ?? 0)),
    queuedBytes,
    holdUntilTaken: () => void (mustBeTaken = true),
    send(chunk) {
      state = "sending";
      sentBytes += chunk.byteLength;
      controller.enqueue(chunk);
      state = "open";
    },
    close() {
      state = "closing";
      closeOnceTaken();
    },
    breakOff() {
      state = "breaking_off";
      breakOffOnceTaken();
    },
    abort: cut,
  };
  return { port, body, connect: (given) => void (handlers = given) };
}
