/**
 * oRPC's publisher on a Durable Object (`@orpc/experimental-publisher-durable-object`) on the same workerd as Spillway: the
 * one Durable Object server of this kind that npm has (../servers/orpc-publisher-worker.ts).
 */
import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { promisify } from "node:util";

import { startService, WORKERD } from "../../../test/fixtures/workerd-service.ts";
import { packageVersion } from "../install/npm-packages.ts";
import type { PeerStream, PlannedRequest, StartSystem } from "../system.ts";
import { storedDatabaseBytes } from "./stored-database.ts";

const run = promisify(execFile);
const WORKER = resolve(import.meta.dirname, "../servers/orpc-publisher-worker.ts");
const PUBLISHER = "@orpc/experimental-publisher-durable-object";
const OBJECT_CLASS = "OrpcPublisher";
const BEFORE_ALL_EVENTS = "0";
const WRITTEN_AFTER_MS = 500;

/** Where its packages are found from: an entry for wrangler, beside them. */
export function writeOrpcEntry(npmFolder: string): string {
  const entry = join(npmFolder, "orpc-entry.ts");
  writeFileSync(
    entry,
    `import { DurablePublisher, PublisherDurableObject } from "${PUBLISHER}";
import { toEventStream } from "@orpc/standard-server-fetch";
import { orpcWorker } from ${JSON.stringify(WORKER)};
export class ${OBJECT_CLASS} extends PublisherDurableObject {
  constructor(context, env) {
    super(context, env, { resume: { retentionSeconds: 3600 } });
  }
}
export default orpcWorker({ DurablePublisher, toEventStream });
`,
  );
  return entry;
}

export function orpcPublisher(bundlePath: string, npmFolder: string): StartSystem {
  return async ({ folder, maxEvents }) => {
    const data = join(folder, "data");
    const bundle = { path: bundlePath, objectClass: OBJECT_CLASS };
    const service = await startService({ bundle, persistTo: data, vars: { MAX_EVENTS: maxEvents } });
    const { stdout } = await run(WORKERD, ["--version"]);
    return {
      facts: {
        name: "orpc-publisher",
        label: "oRPC publisher (Durable Object)",
        versions: `${PUBLISHER} ${packageVersion(npmFolder, PUBLISHER)}, ${stdout.trim()}`,
        durability: "SQLite on disk, before each answer",
        producing: "append",
        cannot: ["replay"],
        notes: [
          "Its replay sorts ids as text (1, 10, 100, 2), so that events come out of order: not measured.",
          "The Worker around the library is written for the comparison; its package calls itself experimental.",
          `Events are kept for an hour (its default is not to keep them), maxBufferedEvents is ${maxEvents} instead of 100.`,
          "Every reader has a WebSocket of its own between Worker and object.",
        ],
      },
      pids: () => [service.pid],
      createStream: ({ name }) => Promise.resolve(streamOf(service.origin, name, data)),
      stop: () => service.kill(),
    };
  };
}

function streamOf(origin: string, name: string, data: string): PeerStream {
  const follow: PlannedRequest = { origin, method: "GET", path: `/events/${name}`, headers: {} };
  return {
    readFromStart: () => ({ ...follow, headers: { "last-event-id": BEFORE_ALL_EVENTS } }),
    follow: () => follow,
    append: () => ({ origin, method: "POST", path: `/publish/${name}`, headers: { "content-type": "text/plain" } }),
    storedBytes: async () => {
      await wait(WRITTEN_AFTER_MS);
      return storedDatabaseBytes(data, OBJECT_CLASS, name);
    },
  };
}
