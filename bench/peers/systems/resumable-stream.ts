/**
 * Vercel's `resumable-stream` on Redis, in an application as its README shows it
 * (../servers/resumable-stream-process.ts).
 */
import type { Program } from "../install/debian-packages.ts";
import { packageVersion } from "../install/npm-packages.ts";
import type { PeerStream, StartSystem, StreamPlan } from "../system.ts";
import { startRedis } from "./redis-server.ts";
import { startNodeServer } from "./server-process.ts";

/** Redis carries messages here and stores but a word for each stream. */
const IN_MEMORY = { appendonly: "no", save: "" };

export function resumableStream(redis: Program, npmFolder: string): StartSystem {
  return async ({ folder, sourceOrigin }) => {
    const database = await startRedis(redis, folder, IN_MEMORY);
    const settings = { npmFolder, redisUrl: database.url, sourceOrigin };
    const server = await startNodeServer("resumable-stream-process.ts", settings, folder);
    const library = `resumable-stream ${packageVersion(npmFolder, "resumable-stream")}`;
    return {
      facts: {
        name: "resumable-stream",
        label: "resumable-stream on Redis",
        versions: `${library}, ${database.version}, node-redis ${packageVersion(npmFolder, "redis")}, Node ${process.version}`,
        durability: "memory of the process that started the stream",
        producing: "source",
        cannot: ["stored-bytes"],
        notes: [
          "Readers resume by a count of characters, not by an event's id, so Last-Event-ID of EventSource does not serve.",
          "A stream can be resumed while its source runs; afterwards it is gone. Measured with sources that stay open.",
          "The first reader is served by the process itself, all others through Redis.",
          "The text is kept in the starting process without a limit, and lost with it.",
          "The application around the library is written for the comparison: one Node process.",
        ],
      },
      pids: () => [...database.pids(), ...server.pids()],
      createStream: (plan) => createStream(server.origin, plan),
      stop: async () => {
        await server.stop();
        await database.stop();
      },
    };
  };
}

async function createStream(origin: string, { name, sourceUrl }: StreamPlan): Promise<PeerStream> {
  const path = `/${name}`;
  const { status } = await fetch(`${origin}${path}${new URL(sourceUrl).search}`, { method: "POST" });
  if (status !== 202) throw new Error(`resumable-stream answered a start with ${status}`);
  const read = { origin, method: "GET", path, headers: {} } as const;
  return {
    readFromStart: () => read,
    follow: () => read,
    append: () => undefined,
    storedBytes: () => Promise.resolve(undefined),
  };
}
