/**
 * The Worker's only way to a stream object: one call, and every way it can fail as a value.
 */
import type { StreamHandOver, StreamInspection } from "../protocol/admin-streams.ts";
import type { SpillwayError } from "../protocol/errors.ts";
import { within } from "../protocol/timing.ts";
import {
  CALL_HEADER,
  encodeCall,
  ERROR_HEADER,
  type Result,
  type StreamCall,
  type StreamStatus,
  type StreamTicket,
} from "../protocol/stream-call.ts";

export type ObjectAnswer =
  | { readonly kind: "response"; readonly response: Response }
  | { readonly kind: "error"; readonly error: SpillwayError }
  /** The object itself could not be reached or broke before it answered. */
  | { readonly kind: "unreachable"; readonly error: SpillwayError };

const RETRY_AFTER_SEC = 2;
/** A hand-over waits for the stream's shard: 10 s at most, and it is not the only thing it does. */
const HAND_OVER_TIMEOUT_MS = 15_000;

export class StreamObjects {
  private readonly namespace: Env["REQUEST_STREAM"];

  constructor(namespace: Env["REQUEST_STREAM"]) {
    this.namespace = namespace;
  }

  /** Sends a call whose answer may be a stream. */
  async call(
    requestId: string,
    call: StreamCall,
    options: { body?: Uint8Array | undefined; signal: AbortSignal },
  ): Promise<ObjectAnswer> {
    const attempt = () =>
      this.stub(requestId).fetch("https://stream.internal/", {
        method: "POST",
        // An upstream's redirect is an answer to pass on: followed, it would lead to the object again.
        redirect: "manual",
        headers: { [CALL_HEADER]: encodeCall(call) },
        signal: options.signal,
        ...(options.body === undefined ? {} : { body: options.body }),
      });
    try {
      // A start is not repeated: its upstream may have been called.
      const response = call.kind === "start" ? await attempt() : await withOneRetry(attempt);
      if (!response.headers.has(ERROR_HEADER)) return { kind: "response", response };
      return { kind: "error", error: await response.json<SpillwayError>() };
    } catch (error) {
      return { kind: "unreachable", error: classify(error) };
    }
  }

  async status(ticket: StreamTicket): Promise<Result<StreamStatus>> {
    return settleResult(() => this.stub(ticket.requestId).status(ticket));
  }

  async cancel(ticket: StreamTicket): Promise<Result<StreamStatus>> {
    return settleResult(() => this.stub(ticket.requestId).cancel(ticket));
  }

  /** What operators are shown of it; `undefined` where its object holds nothing. */
  async inspect(requestId: string, timeoutMs: number): Promise<Result<StreamInspection | undefined>> {
    const ask = async () => this.stub(requestId).inspect(requestId);
    return settle(() => within(ask(), "the stream object", timeoutMs));
  }

  async cancelByOperator(requestId: string): Promise<Result<StreamStatus | undefined>> {
    return settle(() => this.stub(requestId).cancelByOperator(requestId));
  }

  /** Lets a stream write and tell at once what would otherwise wait for its time. */
  async handOver(requestId: string): Promise<Result<StreamHandOver | undefined>> {
    const ask = async () => this.stub(requestId).handOver(requestId);
    return settle(() => within(ask(), "the stream object", HAND_OVER_TIMEOUT_MS));
  }

  /** What a stream's object is addressed by: its telemetry goes to the shard that this chooses. */
  objectId(requestId: string): string {
    return this.namespace.idFromName(requestId).toString();
  }

  private stub(requestId: string) {
    return this.namespace.getByName(requestId);
  }
}

async function settleResult(call: () => Promise<Result<StreamStatus>>): Promise<Result<StreamStatus>> {
  const settled = await settle(call);
  return settled.ok ? settled.value : settled;
}

async function settle<T>(call: () => Promise<T>): Promise<Result<T>> {
  try {
    return { ok: true, value: await withOneRetry(call) };
  } catch (error) {
    return { ok: false, error: classify(error) };
  }
}

async function withOneRetry<T>(attempt: () => Promise<T>): Promise<T> {
  try {
    return await attempt();
  } catch (error) {
    if (!isRetryable(error)) throw error;
    return attempt();
  }
}

/** Platform errors carry `retryable` and `overloaded`; an overloaded object must not be asked again. */
function isRetryable(error: unknown): boolean {
  return (
    error instanceof Error && Reflect.get(error, "retryable") === true && Reflect.get(error, "overloaded") !== true
  );
}

function classify(error: unknown): SpillwayError {
  // The one sign of a deployment replacing the object is the platform's text for it.
  const isUpdate = error instanceof Error && error.message.includes("code was updated");
  return { code: isUpdate ? "draining" : "storage_unavailable", retryAfterSec: RETRY_AFTER_SEC };
}
