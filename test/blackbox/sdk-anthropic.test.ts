/**
 * The npm package `@anthropic-ai/sdk` as the reader of folded streams of the Messages API. It passes
 * over events it does not know, so it reads routes with control events as well.
 */
import Anthropic from "@anthropic-ai/sdk";
import { MessageStream } from "@anthropic-ai/sdk/lib/MessageStream";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { playing, positionHeaders } from "../fixtures/folded-stream.ts";
import { jsonLines, testFoldedReading, type Fetch, type SdkReader } from "../fixtures/sdk-readings.ts";
import { startServiceWithUpstream, type ServiceWithUpstream } from "../fixtures/service-with-upstream.ts";
import { ANTHROPIC } from "../fixtures/transcripts/anthropic.ts";

const MESSAGE = { model: "claude-test", max_tokens: 1_024, messages: [] };

function clientBy(fetchBy: Fetch, origin = "http://upstream.invalid"): Anthropic {
  return new Anthropic({ apiKey: "none", baseURL: origin, fetch: fetchBy, maxRetries: 0 });
}

function readMessage(fetchBy: Fetch, origin?: string): Promise<unknown> {
  return clientBy(fetchBy, origin).messages.stream(MESSAGE).finalMessage();
}

const sdk: SdkReader = {
  transcripts: ANTHROPIC,
  read: (fetchBy) => readMessage(fetchBy),
  async readTwice(fetches) {
    const events: unknown[] = [];
    for (const fetchBy of fetches) {
      const stream = await clientBy(fetchBy).messages.create({ ...MESSAGE, stream: true });
      for await (const event of stream) events.push(event);
    }
    return MessageStream.fromReadableStream(jsonLines(events)).finalMessage();
  },
};

describe.each([false, true])("with control events: %s", (control) => {
  testFoldedReading({ control, fold: "anthropic" }, sdk);
});

describe("by its own path, with no code of ours but a base URL", () => {
  let scene: ServiceWithUpstream;
  beforeAll(async () => {
    const route = { name: "messages", alias: "/v1/messages", method: "POST", allowGet: false, control: false };
    scene = await startServiceWithUpstream([{ ...route, fold: "anthropic" }], { SSE_BUFFER_MAX_EVENTS: 40 });
  });
  afterAll(async () => {
    await scene.end();
  });

  test.each(ANTHROPIC)("$name: started, and resumed from the token in its headers", async (transcript) => {
    const { upstream, service } = scene;
    upstream.handle(playing(transcript));
    const direct = await readMessage(() => fetch(upstream.origin));
    let token = "";
    const started = await readMessage(async (url, init) => {
      const response = await fetch(url, init);
      token = response.headers.get("x-resume-token") ?? "";
      return response;
    }, service.origin);
    expect(started).toEqual(direct);
    const headers = positionHeaders({ origin: service.origin, route: "messages", token }, 0);
    expect(await readMessage(() => fetch(`${service.origin}/messages/resume`, { headers }))).toEqual(direct);
  });
});
