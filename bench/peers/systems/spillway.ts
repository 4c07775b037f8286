/**
 * Spillway as a user deploys it: the bundle of workers/index.ts on a bare workerd, with all its objects, in front of
 * the source as its upstream.
 */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { promisify } from "node:util";

import { startService, WORKERD, type Service, type ServiceOptions } from "../../../test/fixtures/workerd-service.ts";
import type { PeerStream, PlannedRequest, StartSystem, SystemFacts, SystemHome } from "../system.ts";
import { settingsFor, settingsNotes } from "./spillway-settings.ts";
import { storedDatabaseBytes } from "./stored-database.ts";

const run = promisify(execFile);
const ROOT = resolve(import.meta.dirname, "../../..");
/** Longer than SSE_COMMIT_INTERVAL_MS, after which all is written. */
const WRITTEN_AFTER_MS = 1500;

const ALL_EVENTS = "0-0";

export function spillway(bundle: NonNullable<ServiceOptions["bundle"]>): StartSystem {
  return async (home) => {
    const data = join(home.folder, "data");
    const service = await startService({ bundle, persistTo: data, vars: varsFor(home) });
    return {
      facts: await factsOf(home),
      pids: () => [service.pid],
      createStream: ({ sourceUrl }) => createStream(service, sourceUrl, data),
      stop: () => service.kill(),
    };
  };
}

function varsFor(home: SystemHome): Record<string, unknown> {
  return { ...settingsFor(home), ROUTES: [{ name: "b", upstream: home.sourceOrigin, method: "GET" }] };
}

async function factsOf(home: SystemHome): Promise<SystemFacts> {
  const { stdout } = await run(WORKERD, ["--version"]);
  const { version } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { version: string };
  return {
    name: "spillway",
    label: "Spillway",
    versions: `spillway ${version}, ${stdout.trim()}`,
    durability: "SQLite on disk, within 1 s",
    producing: "source",
    cannot: [],
    notes: [
      ...settingsNotes(home),
      "Here each commit of each object is an fsync on workerd's one thread: many streams at once wait for the disk.",
      "A reader without a position is sent what there is before what comes.",
      "Bytes stored are the stream's database, with its tables, record and free space.",
    ],
  };
}

async function createStream({ origin }: Service, sourceUrl: string, data: string): Promise<PeerStream> {
  const { search } = new URL(sourceUrl);
  // Answered when the source's head has come; the reader that starts then goes away again.
  const response = await fetch(`${origin}/b/stream${search}`, { method: "POST" });
  const token = response.headers.get("x-resume-token");
  const requestId = response.headers.get("x-request-id");
  if (token === null || requestId === null) throw new Error(`Spillway answered a start with ${response.status}`);
  await response.body?.cancel();
  const resume: PlannedRequest = {
    origin,
    method: "GET",
    path: "/b/resume",
    headers: { "x-resume-token": token, "last-event-id": ALL_EVENTS },
  };
  return {
    readFromStart: () => resume,
    follow: () => resume,
    append: () => undefined,
    storedBytes: async () => {
      await wait(WRITTEN_AFTER_MS);
      return storedDatabaseBytes(data, "RequestStream", requestId);
    },
  };
}
