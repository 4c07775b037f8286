/**
 * Redis for the peers that need one, alone and on a free port.
 */
import { execFile } from "node:child_process";
import { promisify } from "node:util";

import { freePort } from "../../../test/fixtures/lake-service.ts";
import type { Program } from "../install/debian-packages.ts";
import { startProgram, type ServerProcess } from "./server-process.ts";

const run = promisify(execFile);

export interface RedisServer extends ServerProcess {
  readonly url: string;
  readonly version: string;
}

/** @param settings besides where it listens, as in redis.conf */
export async function startRedis(
  program: Program,
  folder: string,
  settings: Readonly<Record<string, string>>,
): Promise<RedisServer> {
  const port = await freePort();
  const all = { port: String(port), bind: "127.0.0.1", dir: folder, ...settings };
  const args = Object.entries(all).flatMap(([name, value]) => [`--${name}`, value]);
  const server = await startProgram(program, { args, folder, port });
  const { stdout } = await run(program.command, ["--version"], { env: { ...process.env, ...program.env } });
  const version = /v=(\S+)/.exec(stdout)?.[1] ?? "unknown";
  return { ...server, url: `redis://127.0.0.1:${port}`, version: `redis ${version}` };
}
