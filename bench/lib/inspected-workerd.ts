/**
 * A service whose isolate can be asked to collect its garbage and for what it then holds: the same
 * workerd and configuration as any other here, with V8's inspector open on loopback.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";

import { freePort } from "../../test/fixtures/lake-service.ts";
import { comesUp, WORKERD, type Service } from "../../test/fixtures/workerd-service.ts";

const POKE_MS = 20;

/** What the isolate holds after its garbage was collected. */
interface HeapReading {
  readonly heapBytes: number;
  /** Array buffers outside the heap. */
  readonly bufferBytes: number;
}

export interface InspectedService {
  readonly origin: string;
  readonly pid: number;
  /** Collects garbage several times over, and tells what is left. */
  collect(): Promise<HeapReading>;
  endNow(): void;
}

/**
 * Starts a service once more, on its own folder and port.
 *
 * @param service one that has written its configuration, and ended
 */
export async function restartInspected(service: Service, folder: string): Promise<InspectedService> {
  const inspectorPort = await freePort();
  const flags = ["serve", "--experimental", `--inspector-addr=127.0.0.1:${inspectorPort}`];
  const child = spawn(WORKERD, [...flags, join(folder, "workerd.capnp")], { stdio: "ignore" });
  if (!(await comesUp(service.origin, child))) {
    child.kill("SIGKILL");
    throw new Error("workerd did not start with its inspector");
  }
  return {
    origin: service.origin,
    pid: child.pid ?? 0,
    collect: async () => {
      // An isolate with nothing to do does not look after its inspector.
      const poking = setInterval(() => void poke(service.origin), POKE_MS);
      try {
        return await collect(inspectorPort);
      } finally {
        clearInterval(poking);
      }
    },
    endNow: () => void child.kill("SIGKILL"),
  };
}

/** The first collection leaves what finalizers let go; a third finds nothing more. */
const COLLECTIONS = 3;

async function collect(port: number): Promise<HeapReading> {
  const inspector = new InspectorSession(await openInspector(port));
  try {
    for (let round = 0; round < COLLECTIONS; round++) await inspector.call("HeapProfiler.collectGarbage");
    const usage = await inspector.call("Runtime.getHeapUsage");
    return { heapBytes: numberOf(usage, "usedSize"), bufferBytes: numberOf(usage, "backingStorageSize") };
  } finally {
    inspector.close();
  }
}

type Usage = Readonly<Record<string, unknown>>;

/** One connection to V8's inspector; calls are answered by their ids. */
class InspectorSession {
  private readonly waiting = new Map<number, PromiseWithResolvers<Usage>>();
  private lastCall = 0;
  private readonly socket: WebSocket;

  constructor(socket: WebSocket) {
    this.socket = socket;
    socket.addEventListener("message", ({ data }) => this.take(String(data)));
    socket.addEventListener("close", () => {
      for (const { reject } of this.waiting.values()) reject(new Error("the inspector closed"));
    });
  }

  async call(method: string): Promise<Usage> {
    const id = ++this.lastCall;
    const answer = Promise.withResolvers<Usage>();
    this.waiting.set(id, answer);
    this.socket.send(JSON.stringify({ id, method }));
    return answer.promise;
  }

  close(): void {
    this.socket.close();
  }

  private take(text: string): void {
    // V8's own: a result or an error under the call's id, or an event without one.
    const { id = 0, result } = JSON.parse(text) as { id?: number; result?: Usage };
    const answer = this.waiting.get(id);
    this.waiting.delete(id);
    if (result === undefined) answer?.reject(new Error(`the inspector answered ${text}`));
    else answer?.resolve(result);
  }
}

function numberOf(usage: Usage, name: string): number {
  const value = usage[name];
  if (typeof value !== "number") throw new Error(`heap usage has no ${name}`);
  return value;
}

async function openInspector(port: number): Promise<WebSocket> {
  const response = await fetch(`http://127.0.0.1:${port}/json`);
  // workerd's list of isolates; a service here has one.
  const [isolate] = (await response.json()) as { webSocketDebuggerUrl: string }[];
  if (isolate === undefined) throw new Error("workerd has no isolate to inspect");
  const inspector = new WebSocket(isolate.webSocketDebuggerUrl);
  await once(inspector, "open");
  return inspector;
}

async function poke(origin: string): Promise<void> {
  // The service may be gone by the time it would answer.
  await fetch(`${origin}/health`).then(
    (response) => response.arrayBuffer(),
    () => undefined,
  );
}
