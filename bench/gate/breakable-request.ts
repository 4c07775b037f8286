/**
 * One request of a reader on a connection of its own, which can be broken as a network breaks: the socket is
 * destroyed wherever it is, also inside an event. In the shape that EventSource wants of a `fetch`.
 */
import { request, type IncomingMessage } from "node:http";
import { request as requestTls } from "node:https";

import type { FetchLikeResponse, ReaderLike } from "eventsource";

export interface BreakableRequest {
  readonly response: Promise<FetchLikeResponse>;
  /** Either side's next read or write fails. */
  break(): void;
}

export interface RequestPlan {
  readonly url: string;
  readonly method: "GET" | "POST";
  readonly headers: Readonly<Record<string, string>>;
  /** Of the EventSource, when it is closed. */
  readonly signal: AbortSignal;
}

export function sendBreakable({ url, method, headers, signal }: RequestPlan): BreakableRequest {
  const send = url.startsWith("https:") ? requestTls : request;
  const outgoing = send(url, { method, headers, agent: false, signal });
  const response = new Promise<FetchLikeResponse>((done, fail) => {
    outgoing.once("error", fail);
    outgoing.once("response", (message) => {
      // From now on a failure is the body's, whose reader is told.
      outgoing.removeListener("error", fail).on("error", () => undefined);
      done(asFetchResponse(url, message));
    });
  });
  outgoing.end();
  return { response, break: () => void outgoing.destroy(new Error("the connection was cut")) };
}

function asFetchResponse(url: string, message: IncomingMessage): FetchLikeResponse {
  // An unread body of a refusal would keep its socket.
  if (message.statusCode !== 200) message.resume();
  const chunks = message[Symbol.asyncIterator]() as AsyncIterator<Buffer, undefined>;
  return {
    url,
    redirected: false,
    status: message.statusCode ?? 0,
    headers: { get: (name) => headerText(message.headers[name.toLowerCase()]) },
    body: {
      getReader: () => ({
        async read(): ReturnType<ReaderLike["read"]> {
          const { done, value } = await chunks.next();
          if (done === true || value === undefined) return { done: true };
          return { done: false, value: new Uint8Array(value) };
        },
        async cancel() {
          message.destroy();
        },
      }),
    },
  };
}

function headerText(value: string | readonly string[] | undefined): string | null {
  if (value === undefined) return null;
  return typeof value === "string" ? value : value.join(", ");
}
