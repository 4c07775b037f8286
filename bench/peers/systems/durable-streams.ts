/**
 * The reference server of Durable Streams for Node, twice: in memory, and on files.
 */
import { mkdirSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";

import { packageVersion } from "../install/npm-packages.ts";
import type { PeerStream, StartSystem, SystemFacts } from "../system.ts";
import { startNodeServer } from "./server-process.ts";

/** Sent as it is, one SSE event for each append. */
const CONTENT_TYPE = { "content-type": "text/plain" };

type Variant = Pick<SystemFacts, "name" | "label" | "durability" | "cannot"> & { readonly ownNotes: readonly string[] };

const IN_MEMORY: Variant = {
  name: "durable-streams-memory",
  label: "Durable Streams, memory",
  durability: "memory of the process",
  cannot: ["stored-bytes"],
  ownNotes: ["Its default store, meant for development and tests."],
};

const ON_FILES: Variant = {
  name: "durable-streams-file",
  label: "Durable Streams, files",
  durability: "file on disk, synced before each answer",
  cannot: [],
  ownNotes: [
    "Bytes stored are those of the stream's log file, without the metadata in LMDB.",
    "Holds 100 files open, whatever is asked: of more streams appended to at once the others' appends are answered 404.",
  ],
};

export function durableStreamsInMemory(npmFolder: string): StartSystem {
  return durableStreams(IN_MEMORY, npmFolder);
}

export function durableStreamsOnFiles(npmFolder: string): StartSystem {
  return durableStreams(ON_FILES, npmFolder);
}

function durableStreams({ ownNotes, ...variant }: Variant, npmFolder: string): StartSystem {
  return async ({ folder }) => {
    const dataDir = variant.name === ON_FILES.name ? join(folder, "data") : undefined;
    if (dataDir !== undefined) mkdirSync(dataDir, { recursive: true });
    const settings = { npmFolder, ...(dataDir === undefined ? {} : { dataDir }) };
    const server = await startNodeServer("durable-streams-process.ts", settings, folder);
    const version = packageVersion(npmFolder, "@durable-streams/server");
    return {
      facts: {
        ...variant,
        versions: `@durable-streams/server ${version}, Node ${process.version}`,
        producing: "append",
        notes: [
          ...ownNotes,
          "The project's reference server in Node; for production it recommends its server in Go, which npm does not have.",
        ],
      },
      pids: () => server.pids(),
      createStream: ({ name }) => createStream(server.origin, name, dataDir),
      stop: () => server.stop(),
    };
  };
}

async function createStream(origin: string, name: string, dataDir: string | undefined): Promise<PeerStream> {
  const path = `/${name}`;
  const { status } = await fetch(`${origin}${path}`, { method: "PUT", headers: CONTENT_TYPE });
  if (status !== 201) throw new Error(`Durable Streams answered PUT with ${status}`);
  return {
    readFromStart: () => ({ origin, method: "GET", path: `${path}?live=sse&offset=-1`, headers: {} }),
    follow: () => ({ origin, method: "GET", path: `${path}?live=sse&offset=now`, headers: {} }),
    append: () => ({ origin, method: "POST", path, headers: CONTENT_TYPE }),
    storedBytes: () => Promise.resolve(dataDir === undefined ? undefined : logBytes(dataDir, path)),
  };
}

/** Files are named after the stream's path, as the package's `encodeStreamPath` writes it. */
function logBytes(dataDir: string, path: string): number {
  const folder = join(dataDir, "streams");
  const encoded = Buffer.from(path).toString("base64url");
  const own = readdirSync(folder).filter((file) => file.startsWith(`${encoded}~`));
  return own.reduce((sum, file) => sum + statSync(join(folder, file)).size, 0);
}
