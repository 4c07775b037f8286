/**
 * What deliberate faults are made with: see deliberate-faults.ts.
 */
import type { ReaderPort } from "../../durable-objects/stream/reader.ts";
import type { SimHooks } from "./sim-object.ts";

export interface DeliberateFault {
  readonly name: string;
  readonly hooks?: Partial<SimHooks>;
  /** Changes a prototype; what it returns changes it back. */
  readonly install?: () => () => void;
}

/** A connection that behaves in another way. */
export function portThat(changes: (port: ReaderPort) => Partial<ReaderPort>): Partial<SimHooks> {
  return {
    wrapPort(port) {
      const plain: ReaderPort = {
        roomBytes: () => port.roomBytes(),
        holdUntilTaken: () => port.holdUntilTaken?.(),
        queuedBytes: () => port.queuedBytes(),
        send: (chunk) => port.send(chunk),
        close: () => port.close(),
        breakOff: () => port.breakOff(),
        abort: () => port.abort(),
      };
      return { ...plain, ...changes(port) };
    },
  };
}
