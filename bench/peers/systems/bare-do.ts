/**
 * A Durable Object that does the least, for what the platform itself costs: ../servers/bare-replay-object.ts.
 */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";

import { startService, WORKERD, type ServiceOptions } from "../../../test/fixtures/workerd-service.ts";
import type { PeerStream, StartSystem, StreamPlan } from "../system.ts";

const run = promisify(execFile);

export function bareObject(bundle: NonNullable<ServiceOptions["bundle"]>): StartSystem {
  return async ({ folder, sourceOrigin }) => {
    const service = await startService({ bundle, persistTo: join(folder, "data"), vars: { SOURCE: sourceOrigin } });
    const { stdout } = await run(WORKERD, ["--version"]);
    return {
      facts: {
        name: "bare-do",
        label: "bare Durable Object",
        versions: stdout.trim(),
        durability: "memory of the object",
        producing: "source",
        cannot: [],
        notes: [
          "Written for the comparison: no ids, no storage, no limits, no resume from the middle; queues without end.",
          "Bytes stored are those of the events in memory.",
        ],
      },
      pids: () => [service.pid],
      createStream: (plan) => createStream(service.origin, plan),
      stop: () => service.kill(),
    };
  };
}

async function createStream(origin: string, { name, sourceUrl }: StreamPlan): Promise<PeerStream> {
  const path = `/${name}`;
  const { status } = await fetch(`${origin}${path}${new URL(sourceUrl).search}`, { method: "POST" });
  if (status !== 202) throw new Error(`the bare object answered a start with ${status}`);
  return {
    readFromStart: () => ({ origin, method: "GET", path, headers: {} }),
    follow: () => ({ origin, method: "GET", path: `${path}?from=now`, headers: {} }),
    append: () => undefined,
    storedBytes: async () => Number(await (await fetch(`${origin}${path}?bytes`)).text()),
  };
}
