/**
 * The npm package `ai` as the reader of folded UI message streams, by its own chat transport, which
 * knows how to come back to a stream.
 */
import { DefaultChatTransport, readUIMessageStream, type UIMessage, type UIMessageChunk } from "ai";
import { describe, expect, test } from "vitest";

import { playing, resumeAt, type StreamAddress } from "../fixtures/folded-stream.ts";
import { testFoldedReading, type Fetch } from "../fixtures/sdk-readings.ts";
import { startServiceWithUpstream } from "../fixtures/service-with-upstream.ts";
import { AI_SDK } from "../fixtures/transcripts/ai-sdk.ts";

const API = "http://upstream.invalid/chat";

async function chunks(fetchBy: Fetch): Promise<ReadableStream<UIMessageChunk>> {
  const transport = new DefaultChatTransport({ api: API, fetch: fetchBy });
  return transport.sendMessages({
    trigger: "submit-message",
    chatId: "chat",
    messageId: undefined,
    messages: [],
    abortSignal: undefined,
  });
}

/** Nothing where the service answers 204: nothing is left. */
async function laterChunks(fetchBy: Fetch): Promise<ReadableStream<UIMessageChunk>> {
  const transport = new DefaultChatTransport({ api: API, fetch: fetchBy, resumeStreamIsReplay: false });
  return (await transport.reconnectToStream({ chatId: "chat" })) ?? streamOf([]);
}

function streamOf(all: readonly UIMessageChunk[]): ReadableStream<UIMessageChunk> {
  return new ReadableStream({
    start(controller) {
      for (const chunk of all) controller.enqueue(chunk);
      controller.close();
    },
  });
}

async function collect(stream: ReadableStream<UIMessageChunk>): Promise<UIMessageChunk[]> {
  const all: UIMessageChunk[] = [];
  for await (const chunk of stream) all.push(chunk);
  return all;
}

async function messageOf(stream: ReadableStream<UIMessageChunk>): Promise<UIMessage | undefined> {
  let message: UIMessage | undefined;
  for await (const state of readUIMessageStream({ stream, terminateOnError: true })) message = state;
  return message;
}

describe("UI message stream", () => {
  testFoldedReading(
    { control: false, fold: "ai-sdk" },
    {
      transcripts: AI_SDK,
      read: async (fetchBy) => messageOf(await chunks(fetchBy)),
      async readTwice([first, second]) {
        const seen = await collect(await chunks(first));
        const rest = await collect(await laterChunks(second));
        return messageOf(streamOf([...seen, ...rest]));
      },
    },
  );
});

test("a chat that comes back too late for anything is told so by 204, which its transport knows", async () => {
  const scene = await startServiceWithUpstream([{ name: "chat", control: false, fold: "ai-sdk" }]);
  try {
    for (const transcript of AI_SDK) {
      scene.upstream.handle(playing(transcript));
      const response = await fetch(`${scene.service.origin}/chat/stream`);
      const token = response.headers.get("x-resume-token") ?? "";
      await response.text();
      const address: StreamAddress = { origin: scene.service.origin, route: "chat", token };
      const transport = new DefaultChatTransport({
        api: API,
        fetch: () => resumeAt(address, transcript.events.length),
      });
      expect(await transport.reconnectToStream({ chatId: "chat" })).toBeNull();
    }
  } finally {
    await scene.end();
  }
});

test("events of ours are not for it: a route for it has control events off", async () => {
  const scene = await startServiceWithUpstream([{ name: "told", fold: "ai-sdk" }]);
  try {
    for (const transcript of AI_SDK) {
      scene.upstream.handle(playing(transcript));
      const reading = chunks(() => fetch(`${scene.service.origin}/told/stream`)).then(messageOf);
      await expect(reading).rejects.toThrow("Type validation failed");
    }
  } finally {
    await scene.end();
  }
});
