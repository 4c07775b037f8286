/**
 * Redis streams behind a server written by hand (../servers/redis-streams-process.ts), Redis with its append-only file.
 */
import type { Program } from "../install/debian-packages.ts";
import { packageVersion } from "../install/npm-packages.ts";
import type { PeerStream, StartSystem } from "../system.ts";
import { startRedis } from "./redis-server.ts";
import { startNodeServer } from "./server-process.ts";

const ON_DISK = { appendonly: "yes", appendfsync: "everysec", save: "" };

export function redisStreams(redis: Program, npmFolder: string): StartSystem {
  return async ({ folder, maxEvents }) => {
    const database = await startRedis(redis, folder, ON_DISK);
    const settings = { npmFolder, redisUrl: database.url, maxEvents };
    const server = await startNodeServer("redis-streams-process.ts", settings, folder);
    return {
      facts: {
        name: "redis-streams",
        label: "Redis XADD/XREAD",
        versions: `${database.version}, node-redis ${packageVersion(npmFolder, "redis")}, Node ${process.version}`,
        durability: "Redis, append-only file on disk, within 1 s",
        producing: "append",
        cannot: [],
        notes: [
          "The SSE server is written for the comparison: one Node process, one blocking XREAD for all readers of a stream.",
          "Redis with appendonly yes and appendfsync everysec, which are not its defaults.",
          "Bytes stored are MEMORY USAGE of the stream's key, all nodes sampled.",
        ],
      },
      pids: () => [...database.pids(), ...server.pids()],
      createStream: ({ name }) => Promise.resolve(streamOf(server.origin, name)),
      stop: async () => {
        await server.stop();
        await database.stop();
      },
    };
  };
}

function streamOf(origin: string, name: string): PeerStream {
  const path = `/${name}`;
  return {
    readFromStart: () => ({ origin, method: "GET", path, headers: {} }),
    follow: () => ({ origin, method: "GET", path: `${path}?from=now`, headers: {} }),
    append: () => ({ origin, method: "POST", path, headers: { "content-type": "text/plain" } }),
    storedBytes: async () => Number(await (await fetch(`${origin}${path}?bytes`)).text()),
  };
}
