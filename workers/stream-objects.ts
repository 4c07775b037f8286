/**
 * The Worker's only way to a stream object: one call, and every way it can fail as a value.
 */
import type { SpillwayError } from "../protocol/errors.ts";
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
    return settle(() => this.stub(ticket.requestId).status(ticket));
  }

  async cancel(ticket: StreamTicket): Promise<Result<StreamStatus>> {
    return settle(() => this.stub(ticket.requestId).cancel(ticket));
  }

  private stub(requestId: string) {
    return this.namespace.getByName(requestId);
  }
}

async function settle(call: () => Promise<Result<StreamStatus>>): Promise<Result<StreamStatus>> {
  try {
    return await withOneRetry(call);
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
