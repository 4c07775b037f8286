/**
 * An HTTP proxy between readers and service that passes everything on as it comes, and does one thing wrong to
 * streams or resumes while it is told to.
 *
 * Whatever it does, the service behind it does not know; a cut of the reader's is handed on.
 */
import { Agent, createServer, request, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export type ProxyFault =
  /** Answered 503 in the service's place. */
  | "refuse"
  /** Taken, and never answered. */
  | "hold"
  /** Answered late. */
  | "delay"
  /** 200, and one event never arrives. */
  | "lose"
  /** 200, and one event arrives twice. */
  | "repeat"
  /** 200, and one event's data is another's. */
  | "garble"
  /** 200, and the word that events are missing, though none is. */
  | "gap"
  /** 200, and the connection breaks before the first event: the reader was not on its way out. */
  | "break";

export interface FaultProxy {
  readonly origin: string;
  /** What goes wrong with requests to such paths that come from now on. */
  set(fault: ProxyFault | undefined, path?: RegExp): void;
  stop(): Promise<void>;
}

const DELAY_MS = 1500;
const HOP_BY_HOP = new Set(["connection", "keep-alive", "transfer-encoding"]);
/** An event of the source, with the id line before it: the frames that may be damaged. */
const SOURCE_FRAME = /^id: \S+\ndata: ~/;

export async function startFaultProxy(targetOrigin: string): Promise<FaultProxy> {
  const target = new URL(targetOrigin);
  const agent = new Agent({ keepAlive: true });
  const timers = new Set<NodeJS.Timeout>();
  let current: { readonly fault: ProxyFault; readonly path: RegExp } | undefined;
  const server = createServer((incoming, outgoing) => {
    const fault = current?.path.test(incoming.url ?? "") === true ? current.fault : undefined;
    if (fault === "refuse") return refuse(outgoing);
    if (fault === "hold") return;
    const send = () => pass({ incoming, outgoing, fault, target, agent });
    if (fault !== "delay") return send();
    const timer = setTimeout(() => {
      timers.delete(timer);
      send();
    }, DELAY_MS);
    timers.add(timer);
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as AddressInfo;
  return {
    origin: `http://127.0.0.1:${port}`,
    set: (fault, path = /./) => (current = fault === undefined ? undefined : { fault, path }),
    async stop() {
      for (const timer of timers) clearTimeout(timer);
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
      agent.destroy();
    },
  };
}

function refuse(outgoing: ServerResponse): void {
  outgoing.writeHead(503, { "content-type": "application/problem+json", "retry-after": "1" }).end("{}");
}

interface Passage {
  readonly incoming: IncomingMessage;
  readonly outgoing: ServerResponse;
  readonly fault: ProxyFault | undefined;
  readonly target: URL;
  readonly agent: Agent;
}

function pass({ incoming, outgoing, fault, target, agent }: Passage): void {
  const { method, url: path, headers } = incoming;
  const onward = request({ host: target.hostname, port: target.port, method, path, headers, agent }, (answer) => {
    const kept = Object.entries(answer.headers).filter(([name]) => !HOP_BY_HOP.has(name));
    outgoing.writeHead(answer.statusCode ?? 502, Object.fromEntries(kept));
    if (answer.statusCode !== 200 || fault === undefined || fault === "delay") {
      outgoing.flushHeaders();
      answer.pipe(outgoing);
    } else if (fault === "break") {
      outgoing.flushHeaders();
      outgoing.write(": \n\n", () => outgoing.destroy());
    } else damage(answer, outgoing, fault);
    answer.on("error", () => outgoing.destroy());
  });
  onward.on("error", () => outgoing.destroy());
  // The reader has gone, or was cut.
  outgoing.on("close", () => onward.destroy());
  incoming.pipe(onward);
}

/** The second source event of a response is damaged, the others pass as they are. */
function damage(answer: IncomingMessage, outgoing: ServerResponse, fault: ProxyFault): void {
  let text = "";
  let seen = 0;
  answer.setEncoding("utf8");
  answer.on("data", (chunk: string) => {
    const frames = `${text}${chunk}`.split("\n\n");
    text = frames.pop() ?? "";
    for (const frame of frames) {
      const isDue = SOURCE_FRAME.test(frame) && ++seen === 2;
      outgoing.write(isDue ? damaged(frame, fault) : `${frame}\n\n`);
    }
  });
  answer.on("end", () => outgoing.end(text));
}

function damaged(frame: string, fault: ProxyFault): string {
  if (fault === "lose") return "";
  if (fault === "gap") return `${frame}\n\nevent: gap\ndata: {"dropped":0}\n\n`;
  if (fault === "repeat") return `${frame}\n\n${frame}\n\n`;
  return `${frame.replace("x", "y")}\n\n`;
}
