/**
 * Stands before a REST catalog and holds a commit up while something else is done there, so that it meets a
 * table that has moved on since its client read it.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface CatalogProxy {
  readonly uri: string;
  /** Commits that the catalog has answered 409. */
  readonly conflicts: number;
  /** The next commit goes on once this is done; several wait in line, each for a commit of its own. */
  beforeCommit(...work: readonly (() => Promise<unknown>)[]): void;
  stop(): Promise<void>;
}

/** updateTable of the REST protocol: what creates, loads or lists has other paths or methods. */
const TABLE_PATH = /\/namespaces\/[^/]+\/tables\/[^/]+$/;
/** Of one connection, or made anew for the body as fetch has decoded it. */
const HOP_HEADERS = new Set("connection content-encoding content-length host keep-alive transfer-encoding".split(" "));

export async function startCatalogProxy(target: string): Promise<CatalogProxy> {
  const waiting: (() => Promise<unknown>)[] = [];
  let conflicts = 0;

  async function pass(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = "GET", url = "/" } = request;
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const isCommit = method === "POST" && TABLE_PATH.test(url);
    if (isCommit) await waiting.shift()?.();
    const answer = await fetch(target + url, {
      method,
      headers: endToEnd(Object.entries(request.headers).map(([name, value]) => [name, String(value)])),
      ...(chunks.length > 0 && { body: Buffer.concat(chunks) }),
    });
    if (isCommit && answer.status === 409) conflicts++;
    response.writeHead(answer.status, endToEnd([...answer.headers]));
    response.end(Buffer.from(await answer.arrayBuffer()));
  }

  const server = createServer((request, response) => {
    pass(request, response).catch((error: unknown) => response.writeHead(502).end(String(error)));
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as AddressInfo;
  return {
    uri: `http://127.0.0.1:${port}`,
    get conflicts() {
      return conflicts;
    },
    beforeCommit: (...work) => void waiting.push(...work),
    async stop() {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}

function endToEnd(headers: readonly (readonly [string, string])[]): Record<string, string> {
  return Object.fromEntries(headers.filter(([name]) => !HOP_HEADERS.has(name)));
}
