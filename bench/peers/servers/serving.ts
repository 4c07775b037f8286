/**
 * What the peers' server programs share: their settings, packages from `.peers/`, telling the benchmark their
 * port, and ending with it.
 */
import { createServer, type IncomingMessage, type RequestListener } from "node:http";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import { join } from "node:path";

import type { ServerReady } from "../systems/server-process.ts";

export const SSE_HEAD = { "content-type": "text/event-stream", "cache-control": "no-store" };

const KEEP_ALIVE_MS = 120_000;

/** @returns what the benchmark told, which is the only one that starts these programs */
export function readSettings(): unknown {
  return JSON.parse(process.argv[2] ?? "{}");
}

/** A package installed for the comparison; the caller names the part of its types it uses. */
export function loadPackage(npmFolder: string, name: string): unknown {
  return createRequire(join(npmFolder, "package.json"))(name);
}

export function tellReady(port: number): void {
  const ready: ServerReady = { port };
  process.send?.(ready);
  // The benchmark is gone, however it ended.
  process.on("disconnect", () => process.exit());
}

/** Serves on a free port; what a handler throws is answered 500, without saying why. */
export function serve(handle: (...args: Parameters<RequestListener>) => Promise<void>): void {
  const server = createServer((request, response) => {
    handle(request, response).catch((error: unknown) => {
      console.error(error);
      if (!response.headersSent) response.writeHead(500);
      response.end();
    });
  });
  // By default idle connections are closed after five seconds, also those that a load generator comes back to.
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  server.listen(0, "127.0.0.1", () => tellReady((server.address() as AddressInfo).port));
}

export async function readText(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}
