/**
 * All systems of the comparison: what can be had on this machine, ready to be started, and what cannot, and why.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { makeBundle } from "../../lib/bundles.ts";
import { installNchan, installRedis } from "../install/debian-packages.ts";
import { installNpmPackages } from "../install/npm-packages.ts";
import { SYSTEM_NAMES, type Installed, type MissingSystem, type StartSystem, type SystemName } from "../system.ts";
import { bareObject } from "./bare-do.ts";
import { durableStreamsInMemory, durableStreamsOnFiles } from "./durable-streams.ts";
import { nchan } from "./nchan.ts";
import { orpcPublisher, writeOrpcEntry } from "./orpc-publisher.ts";
import { redisStreams } from "./redis-streams.ts";
import { resumableStream } from "./resumable-stream.ts";
import { spillway } from "./spillway.ts";

const ROOT = resolve(import.meta.dirname, "../../..");

export interface InstallOptions {
  readonly note: (line: string) => void;
  /** All, where left out. */
  readonly only?: readonly SystemName[];
}

type Install = () => Promise<StartSystem>;

/** Installs what the systems need into `.peers/`, as far as it is not there yet, and bundles the Workers. */
export async function install({ note, only = SYSTEM_NAMES }: InstallOptions): Promise<Installed> {
  const installs = installsOf(note);
  const systems = new Map<SystemName, StartSystem>();
  const missing: MissingSystem[] = [];
  // One after the other: installers share locks and lists.
  for (const name of SYSTEM_NAMES.filter((candidate) => only.includes(candidate))) {
    try {
      systems.set(name, await installs[name]());
    } catch (error) {
      missing.push({ name, reason: error instanceof Error ? error.message : String(error) });
    }
  }
  return { systems, missing };
}

function installsOf(note: InstallOptions["note"]): Readonly<Record<SystemName, Install>> {
  const npm = once(() => installNpmPackages(note));
  const redis = once(() => installRedis(note));
  const bundles = once(() => Promise.resolve(bundleFolder()));
  const bundle = async (name: SystemName, entry: string) => {
    note(`bundling ${name}`);
    return makeBundle(await bundles(), name, entry);
  };
  return {
    spillway: async () => spillway({ path: await bundle("spillway", join(ROOT, "workers/index.ts")) }),
    "bare-do": async () => {
      const entry = join(ROOT, "bench/peers/servers/bare-replay-object.ts");
      return bareObject({ path: await bundle("bare-do", entry), objectClass: "BareReplay" });
    },
    nchan: async () => nchan(await installNchan(note)),
    "resumable-stream": async () => resumableStream(await redis(), await npm()),
    "redis-streams": async () => redisStreams(await redis(), await npm()),
    "durable-streams-memory": async () => durableStreamsInMemory(await npm()),
    "durable-streams-file": async () => durableStreamsOnFiles(await npm()),
    "orpc-publisher": async () => {
      const folder = await npm();
      return orpcPublisher(await bundle("orpc-publisher", writeOrpcEntry(folder)), folder);
    },
  };
}

/** What several systems need is tried once; where it fails, each is told why. */
function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => (made ??= make());
}

/** Bundles are of this run: the sources may have changed since the last. */
function bundleFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "spillway-peers-"));
  process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
