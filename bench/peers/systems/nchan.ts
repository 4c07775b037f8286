/**
 * nginx with nchan: publishing by POST, reading as EventSource, messages in nginx's shared memory.
 */
import { execFile } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";

import { freePort } from "../../../test/fixtures/lake-service.ts";
import type { NchanProgram } from "../install/debian-packages.ts";
import type { PeerStream, StartSystem, SystemFacts, SystemHome } from "../system.ts";
import { startProgram } from "./server-process.ts";

const run = promisify(execFile);
const TEMPORARY = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
const BYTES_PER_KIB = 1024;
const SHARED_MEMORY = "256m";

export function nchan(program: NchanProgram): StartSystem {
  return async (home) => {
    const { folder } = home;
    const port = await freePort();
    const origin = `http://127.0.0.1:${port}`;
    const config = join(folder, "nginx.conf");
    mkdirSync(join(folder, "temporary"), { recursive: true });
    writeFileSync(config, nginxConfig(program, home, port));
    const args = ["-e", join(folder, "error.log"), "-p", folder, "-c", config];
    const server = await startProgram(program, { args, folder, port });
    return {
      facts: await factsOf(program, origin, home),
      pids: () => server.pids(),
      createStream: ({ name }) => createStream(origin, name),
      stop: () => server.stop(),
    };
  };
}

function nginxConfig(
  { modulePath }: NchanProgram,
  { folder, maxEvents, maxReaders }: SystemHome,
  port: number,
): string {
  return `load_module ${modulePath};
daemon off;
# The benchmark has the processes of one user only, whoever that is.
${process.getuid?.() === 0 ? "user root;" : ""}
worker_processes 1;
worker_rlimit_nofile 65536;
pid ${join(folder, "nginx.pid")};
events { worker_connections ${Math.max(4096, 4 * maxReaders)}; }
http {
  access_log off;
  tcp_nodelay on;
  # Appends keep their connections.
  keepalive_requests 1000000000;
  ${TEMPORARY.map((name) => `${name}_temp_path ${join(folder, "temporary", name)};`).join("\n  ")}
  nchan_shared_memory_size ${SHARED_MEMORY};
  nchan_message_buffer_length ${maxEvents};
  nchan_message_timeout 1h;
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location ~ ^/publish/(.+)$ { nchan_publisher http; nchan_channel_id $1; }
    location ~ ^/all/(.+)$ {
      nchan_subscriber eventsource; nchan_channel_id $1; nchan_subscriber_first_message oldest;
    }
    location ~ ^/new/(.+)$ {
      nchan_subscriber eventsource; nchan_channel_id $1; nchan_subscriber_first_message newest;
    }
    location = /status { nchan_stub_status; }
  }
}
`;
}

async function factsOf({ command, env }: NchanProgram, origin: string, home: SystemHome): Promise<SystemFacts> {
  const { stderr } = await run(command, ["-v"], { env: { ...process.env, ...env } });
  const nginx = /nginx\/(\S+)/.exec(stderr)?.[1] ?? "unknown";
  const nchanVersion = /nchan version: (\S+)/.exec(await statusText(origin))?.[1] ?? "unknown";
  return {
    name: "nchan",
    label: "Nchan",
    versions: `nchan ${nchanVersion}, nginx ${nginx}`,
    durability: "shared memory of nginx",
    producing: "append",
    cannot: [],
    notes: [
      `nginx with one worker process (written in C), nchan_message_buffer_length ${home.maxEvents} instead of 10.`,
      "Bytes stored are by how much the shared memory in use, told in KiB, has grown since the stream was made.",
    ],
  };
}

async function createStream(origin: string, name: string): Promise<PeerStream> {
  const before = await usedBytes(origin);
  return {
    readFromStart: () => ({ origin, method: "GET", path: `/all/${name}`, headers: { accept: "text/event-stream" } }),
    follow: () => ({ origin, method: "GET", path: `/new/${name}`, headers: { accept: "text/event-stream" } }),
    append: () => ({ origin, method: "POST", path: `/publish/${name}`, headers: { "content-type": "text/plain" } }),
    storedBytes: async () => (await usedBytes(origin)) - before,
  };
}

async function usedBytes(origin: string): Promise<number> {
  const status = await statusText(origin);
  const used = /shared memory used: (\d+)K/.exec(status)?.[1];
  if (used === undefined) throw new Error(`nchan's status does not tell its memory: ${status}`);
  return Number(used) * BYTES_PER_KIB;
}

async function statusText(origin: string): Promise<string> {
  return (await fetch(`${origin}/status`)).text();
}
