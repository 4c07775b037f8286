/**
 * An application that does what the README of `resumable-stream` shows: one context, a producer per stream whose
 * text is the source's, and further readers through Redis. The context's Redis connections are the
 * package's defaults.
 *
 * `POST /<stream>?<source's query>` starts; `GET /<stream>` reads: the first one what the start returned, as the caller of
 * a start does in an application, all others by `resumeExistingStream`.
 */
import type { ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { ReadableStream as NodeReadableStream } from "node:stream/web";

import { loadPackage, readSettings, serve, SSE_HEAD } from "./serving.ts";

interface Settings {
  readonly npmFolder: string;
  readonly redisUrl: string;
  readonly sourceOrigin: string;
}

type TextStream = ReadableStream<string>;

interface ResumableStreamPackage {
  createResumableStreamContext(options: { readonly waitUntil: (work: Promise<unknown>) => void }): {
    createNewResumableStream(id: string, makeStream: () => TextStream): Promise<TextStream>;
    /** `undefined`: there is none; `null`: it is done, and cannot be read any more. */
    resumeExistingStream(id: string): Promise<TextStream | undefined | null>;
  };
}

const { npmFolder, redisUrl, sourceOrigin } = readSettings() as Settings;
// Where the package looks for it.
process.env["REDIS_URL"] = redisUrl;
const context = (loadPackage(npmFolder, "resumable-stream") as ResumableStreamPackage).createResumableStreamContext({
  // A server that stays up needs nothing kept awake.
  waitUntil: (work) => void work.catch((error: unknown) => console.error(error)),
});
/** Streams whose starter has not begun to read. */
const unread = new Map<string, TextStream>();

serve(async (request, response) => {
  const { pathname, search } = new URL(request.url ?? "/", "http://server");
  if (request.method === "POST") {
    unread.set(pathname, await start(pathname, `${sourceOrigin}/${search}`));
    response.writeHead(202).end();
    return;
  }
  const first = unread.get(pathname);
  unread.delete(pathname);
  const stream = first ?? (await context.resumeExistingStream(pathname));
  if (stream === undefined || stream === null) response.writeHead(stream === null ? 422 : 404).end();
  else await send(stream, response);
});

async function start(id: string, sourceUrl: string): Promise<TextStream> {
  const { body } = await fetch(sourceUrl);
  if (body === null) throw new Error("the source has no body");
  const text = body.pipeThrough(new TextDecoderStream());
  return context.createNewResumableStream(id, () => text);
}

async function send(stream: TextStream, response: ServerResponse): Promise<void> {
  response.writeHead(200, SSE_HEAD);
  response.flushHeaders();
  try {
    await pipeline(Readable.fromWeb(stream as NodeReadableStream<string>), response);
  } catch (error) {
    // Readers may go whenever they like.
    if (!response.destroyed) throw error;
  }
}
