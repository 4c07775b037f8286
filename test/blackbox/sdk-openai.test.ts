/**
 * The npm package `openai` as the reader of folded streams: chat completions and the Responses API.
 */
import OpenAI from "openai";
import { ChatCompletionStream } from "openai/lib/ChatCompletionStream";
import { ResponseStream } from "openai/lib/responses/ResponseStream";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { playing, positionHeaders } from "../fixtures/folded-stream.ts";
import { testFoldedReading, jsonLines, type Fetch } from "../fixtures/sdk-readings.ts";
import { startServiceWithUpstream, type ServiceWithUpstream } from "../fixtures/service-with-upstream.ts";
import type { ApiTranscript } from "../fixtures/transcripts/api-transcript.ts";
import { API_TRANSCRIPTS } from "../fixtures/transcripts/index.ts";

const CHAT = { model: "gpt-4.1-mini", messages: [] };
const RESPONSE = { model: "gpt-5", input: "" };
const ALIAS = "/v1/chat/completions";
const chatTranscripts = transcriptsOf(/^chat completions(?!, logprobs)/);

function transcriptsOf(name: RegExp): ApiTranscript[] {
  return API_TRANSCRIPTS.filter((transcript) => name.test(transcript.name));
}

function clientBy(fetchBy: Fetch, origin = "http://upstream.invalid"): OpenAI {
  return new OpenAI({ apiKey: "none", baseURL: `${origin}/v1`, fetch: fetchBy, maxRetries: 0 });
}

function readChat(fetchBy: Fetch, origin?: string): Promise<unknown> {
  return clientBy(fetchBy, origin).chat.completions.stream(CHAT).finalChatCompletion();
}

describe("chat completions", () => {
  testFoldedReading(
    { control: false, fold: "openai" },
    {
      transcripts: chatTranscripts,
      read: (fetchBy) => readChat(fetchBy),
      async readTwice(fetches) {
        const chunks: unknown[] = [];
        for (const fetchBy of fetches) {
          const stream = await clientBy(fetchBy).chat.completions.create({ ...CHAT, stream: true });
          for await (const chunk of stream) chunks.push(chunk);
        }
        return ChatCompletionStream.fromReadableStream(jsonLines(chunks)).finalChatCompletion();
      },
    },
  );
});

describe("legacy completions", () => {
  testFoldedReading(
    { control: false, fold: "openai" },
    {
      transcripts: transcriptsOf(/^legacy completions$/),
      read: readLegacy,
      readTwice: async ([first, second]) => (await readLegacy(first)) + (await readLegacy(second)),
    },
  );
});

async function readLegacy(fetchBy: Fetch): Promise<string> {
  const stream = await clientBy(fetchBy).completions.create({ model: "davinci", prompt: "", stream: true });
  let text = "";
  for await (const { choices } of stream) text += choices[0]?.text ?? "";
  return text;
}

describe("Responses API", () => {
  testFoldedReading(
    { control: false, fold: "openai" },
    {
      transcripts: transcriptsOf(/^Responses API$/),
      read: (fetchBy) => clientBy(fetchBy).responses.stream(RESPONSE).finalResponse(),
      async readTwice(fetches) {
        const events: unknown[] = [];
        for (const fetchBy of fetches) {
          const stream = await clientBy(fetchBy).responses.create({ ...RESPONSE, stream: true });
          for await (const event of stream) events.push(event);
        }
        return ResponseStream.fromReadableStream(jsonLines(events)).finalResponse();
      },
    },
  );
});

describe("by its own path, with no code of ours but a base URL", () => {
  let scene: ServiceWithUpstream;
  beforeAll(async () => {
    const route = { method: "POST", allowGet: false, fold: "openai" };
    scene = await startServiceWithUpstream(
      [
        { ...route, name: "chat", alias: ALIAS, control: false },
        { ...route, name: "told" },
      ],
      { SSE_BUFFER_MAX_EVENTS: 40 },
    );
  });
  afterAll(async () => {
    await scene.end();
  });

  test.each(chatTranscripts)("$name: started, and resumed from the token in its headers", async (transcript) => {
    const { upstream, service } = scene;
    upstream.handle(playing(transcript));
    const direct = await readChat(() => fetch(upstream.origin));
    let token = "";
    const started = await readChat(async (url, init) => {
      const response = await fetch(url, init);
      token = response.headers.get("x-resume-token") ?? "";
      return response;
    }, service.origin);
    expect(started).toEqual(direct);
    expect(upstream.calls.at(-1)).toMatchObject({ method: "POST", body: expect.stringContaining('"stream":true') });
    const address = { origin: service.origin, route: "chat", token };
    const headers = positionHeaders(address, 0);
    const resumed = await readChat(() => fetch(`${service.origin}/chat/resume`, { method: "POST", headers }));
    expect(resumed).toEqual(direct);
  });

  test("events of ours are not for it: a route for it has control events off", async () => {
    const { upstream, service } = scene;
    for (const transcript of chatTranscripts.slice(0, 1)) upstream.handle(playing(transcript));
    await expect(readChat((_, init) => fetch(`${service.origin}/told/stream`, init))).rejects.toThrow("choices");
  });
});
