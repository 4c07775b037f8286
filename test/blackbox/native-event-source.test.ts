/**
 * The browser's own EventSource at the service, with no code of ours in the page, over a network that
 * breaks: a TCP proxy in between cuts connections anywhere, also inside an event.
 *
 * B1, B2 as a plain reader sees them: complete, in order, nothing twice.
 */
import { randomUUID } from "node:crypto";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";

import type { Browser, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";

import { demoScript } from "../../upstream/demo-source.ts";
import { openBrowser } from "../fixtures/browser.ts";
import { startUpstream, type Upstream } from "../fixtures/upstream.ts";
import { startService, type Service } from "../fixtures/workerd-service.ts";

const STEP_TIMEOUT_MS = 30_000;
/** What EventSource has in `readyState`. */
const CONNECTING = 0;
const CLOSED = 2;
const EVENT_NAMES = ["message", "token", "done", "gap", "rewind", "degraded", "end"];

let browser: Browser;
/** Whatever a test opened, closed after it, the last first. */
const opened: { stop(): Promise<void> }[] = [];

beforeAll(async () => {
  browser = await openBrowser();
});

afterEach(async () => {
  for (const context of browser.contexts()) await context.close();
  for (const each of opened.splice(0).toReversed()) await each.stop();
});

afterAll(() => browser?.close());

describe("a plain EventSource with an idempotency key in its URL", () => {
  test("B1, B2: gets every event once and in order, wherever its connection is cut", async () => {
    const { service, proxy, page } = await openThrough({ SSE_RETRY_MS: 20 });
    // Bytes of each response's body: before the first event, inside ids, names and data, between frames.
    const cuts = [1, 40, 700, 901, 1302, 2003, 777, 1404, 1005, 650];
    proxy.cutAfter(cuts);
    await openEventSource(page, streamPath({ events: 200, rate: 400 }));
    await closed(page);

    expect(await sourceEvents(page)).toEqual(demoEvents(200));
    expect(await named(page, "gap")).toEqual([]);
    expect(await named(page, "end")).toMatchObject([{ id: "1-200", data: { status: "complete", last_id: "1-200" } }]);
    expect(service.telemetry("SseStreamStarted")).toHaveLength(1);

    // Each cut brought it back at the last id it had; the end brought it back once more, for the 204.
    expect(proxy.exchanges.map(({ status }) => status)).toEqual([...cuts.map(() => 200), 200, 204]);
    const positions = proxy.exchanges.map(({ lastEventId }) => Number(lastEventId?.split("-")[1] ?? -1));
    expect(positions).toEqual(positions.toSorted((left, right) => left - right));
    expect(positions[0]).toBe(-1);
    expect(proxy.exchanges.at(-1)?.lastEventId).toBe("1-200");
  });

  test("is stopped for good by the 204: not one request more", async () => {
    const { proxy, page } = await openThrough({ SSE_RETRY_MS: 20 });
    const path = streamPath({ events: 20, rate: 0 });
    await openEventSource(page, path);
    await closed(page);
    const requests = () => proxy.exchanges.filter((exchange) => exchange.path === path).length;
    expect(requests()).toBe(2);
    // Another one that is cut three times waits three times what the first one would have waited.
    proxy.cutAfter([600, 600, 600]);
    await openEventSource(page, streamPath({ events: 20, rate: 0 }));
    await closed(page);
    expect(proxy.exchanges).toHaveLength(2 + 5);
    expect(requests()).toBe(2);
    expect(await readyStates(page)).toEqual([CLOSED, CLOSED]);
  });

  test("is told of a source that failed, and does not ask again and again", async () => {
    const { proxy, page } = await openThrough({ SSE_RETRY_MS: 20 });
    await openEventSource(page, streamPath({ events: 50, rate: 0, fail_at: 30 }));
    await closed(page);
    expect(await sourceEvents(page)).toEqual(demoEvents(50).slice(0, 30));
    expect(await named(page, "end")).toMatchObject([{ data: { status: "error", reason: "upstream_reset" } }]);
    expect(proxy.exchanges.map(({ status }) => status)).toEqual([200, 204]);
  });

  test("waits as long as SSE_RETRY_MS says before it comes back", async () => {
    const hasty = await openThrough({ SSE_RETRY_MS: 10 });
    const patient = await openThrough({ SSE_RETRY_MS: 60_000 });
    patient.proxy.cutAfter([900]);
    await openEventSource(patient.page, streamPath({ events: 100, rate: 0 }));
    await expect.poll(() => patient.proxy.cutsMade, { timeout: STEP_TIMEOUT_MS }).toBe(1);
    await expect.poll(() => readyStates(patient.page), { timeout: STEP_TIMEOUT_MS }).toEqual([CONNECTING]);

    // Left to itself, a browser waits some seconds: then these ten cuts would outlast the patient one's wait.
    const cuts = Array<number>(10).fill(700);
    hasty.proxy.cutAfter(cuts);
    await openEventSource(hasty.page, streamPath({ events: 100, rate: 0 }));
    await closed(hasty.page);
    expect(hasty.proxy.exchanges).toHaveLength(cuts.length + 2);
    expect(hasty.proxy.exchanges[0]?.body).toContain("\nretry: 10\n");

    expect(patient.proxy.exchanges).toHaveLength(1);
    expect(patient.proxy.exchanges[0]?.body).toContain("\nretry: 60000\n");
    expect(await readyStates(patient.page)).toEqual([CONNECTING]);
  });
});

describe("from another origin", () => {
  test("CORS_ORIGINS lets an EventSource and a fetch in, cuts included, and keeps others out", async () => {
    const [allowed, other] = [await openBlankSite(), await openBlankSite()];
    const { proxy } = await openThrough({ SSE_RETRY_MS: 20, CORS_ORIGINS: allowed.origin });
    const url = `${proxy.origin}${streamPath({ events: 100, rate: 400 })}`;

    const page = await openPage(allowed.origin);
    proxy.cutAfter([900, 1200]);
    await openEventSource(page, url);
    await closed(page);
    expect(await sourceEvents(page)).toEqual(demoEvents(100));
    expect(proxy.exchanges.map(({ status }) => status)).toEqual([200, 200, 200, 204]);
    // Its own headers need a preflight, and its script may read the token.
    expect(await startAndResume(page, proxy.origin)).toEqual({ start: 200, resume: 200 });

    const stranger = await openPage(other.origin);
    await openEventSource(stranger, url);
    await closed(stranger);
    expect(await sourceEvents(stranger)).toEqual([]);
    expect(await startAndResume(stranger, proxy.origin)).toBe("TypeError");
  });
});

interface Exchange {
  readonly path: string;
  readonly lastEventId: string | undefined;
  status: number;
  /** As it went over the wire, chunk sizes included, up to a cut. */
  body: string;
}

interface CuttingProxy {
  readonly origin: string;
  /** Stream calls so far, with their answers. */
  readonly exchanges: readonly Exchange[];
  readonly cutsMade: number;
  /** Lets the next stream responses have so many bytes of body each, then resets the connection. */
  cutAfter(bodyBytes: readonly number[]): void;
  stop(): Promise<void>;
}

/** Plain TCP both ways, but for reading along which request a response belongs to. */
async function startCuttingProxy(target: string): Promise<CuttingProxy> {
  const { hostname, port } = new URL(target);
  const exchanges: Exchange[] = [];
  const sockets = new Set<Socket>();
  let plan: number[] = [];
  let cutsMade = 0;
  const server = createServer((client) => {
    const upstream = connect(Number(port), hostname);
    let exchange: Exchange | undefined;
    let bytesLeft = Infinity;
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      // A reset is what this proxy is for.
      socket.on("error", () => undefined);
      socket.on("close", () => {
        sockets.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
    client.on("data", (chunk) => {
      const head = /^GET (\/demo\/stream\S*) HTTP[^]*?\r\n\r\n/.exec(chunk.toString("latin1"));
      if (head !== null) {
        const lastEventId = /^last-event-id: *(.*)\r$/im.exec(head[0])?.[1];
        exchange = { path: head[1] ?? "", lastEventId, status: 0, body: "" };
        exchanges.push(exchange);
        bytesLeft = plan.shift() ?? Infinity;
      }
      upstream.write(chunk);
    });
    upstream.on("data", (chunk) => {
      if (exchange === undefined) return void client.write(chunk);
      const text = chunk.toString("latin1");
      const head = exchange.status === 0 ? /^HTTP\/1\.1 (\d+)[^]*?\r\n\r\n/.exec(text) : null;
      if (head !== null) exchange.status = Number(head[1]);
      const bodyAt = head?.[0].length ?? 0;
      exchange.body += text.slice(bodyAt, bodyAt + Math.min(bytesLeft, chunk.length));
      if (chunk.length - bodyAt < bytesLeft) {
        bytesLeft -= chunk.length - bodyAt;
        return void client.write(chunk);
      }
      cutsMade++;
      upstream.removeAllListeners("data");
      client.write(chunk.subarray(0, bodyAt + bytesLeft), () => client.resetAndDestroy());
    });
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port: ownPort } = server.address() as AddressInfo;
  return {
    origin: `http://127.0.0.1:${ownPort}`,
    exchanges,
    get cutsMade() {
      return cutsMade;
    },
    cutAfter: (bodyBytes) => (plan = [...bodyBytes]),
    async stop() {
      for (const socket of sockets) socket.destroy();
      await new Promise((done) => server.close(done));
    },
  };
}

/** A service, a proxy before it, and a page of the proxy's origin that holds no code of ours. */
async function openThrough(
  vars: Record<string, unknown>,
): Promise<{ service: Service; proxy: CuttingProxy; page: Page }> {
  const service = await startService({ vars });
  opened.push(service);
  const proxy = await startCuttingProxy(service.origin);
  opened.push(proxy);
  return { service, proxy, page: await openPage(`${proxy.origin}/health`) };
}

async function openPage(url: string): Promise<Page> {
  const context = await browser.newContext();
  context.setDefaultTimeout(STEP_TIMEOUT_MS);
  const page = await context.newPage();
  await page.goto(url);
  return page;
}

async function openBlankSite(): Promise<Upstream> {
  const site = await startUpstream((_, response) => {
    response.writeHead(200, { "content-type": "text/html" }).end("<!doctype html><title>another site</title>");
  });
  opened.push(site);
  return site;
}

function streamPath(query: Record<string, number>): string {
  const given = Object.entries(query).map(([name, value]) => [name, String(value)]);
  return `/demo/stream?${new URLSearchParams([...given, ["idempotency_key", randomUUID()]])}`;
}

interface ReceivedEvent {
  readonly name: string;
  readonly id: string;
  readonly data: string;
}

/** What the test keeps in the page: the sources, and what the last one received. */
interface Recorded {
  sources?: EventSource[];
  received?: ReceivedEvent[];
}

async function openEventSource(page: Page, url: string): Promise<void> {
  await page.evaluate(
    ([url, names]) => {
      const recorded = globalThis as Recorded;
      const received: ReceivedEvent[] = [];
      const source = new EventSource(url);
      for (const name of names) {
        source.addEventListener(name, (event: MessageEvent<string>) =>
          received.push({ name, id: event.lastEventId, data: event.data }),
        );
      }
      recorded.received = received;
      recorded.sources = [...(recorded.sources ?? []), source];
    },
    [url, EVENT_NAMES] as const,
  );
}

async function closed(page: Page): Promise<void> {
  await expect.poll(async () => (await readyStates(page)).at(-1), { timeout: STEP_TIMEOUT_MS }).toBe(CLOSED);
}

function readyStates(page: Page): Promise<number[]> {
  return page.evaluate(() => ((globalThis as Recorded).sources ?? []).map((source) => source.readyState));
}

function received(page: Page): Promise<ReceivedEvent[]> {
  return page.evaluate(() => (globalThis as Recorded).received ?? []);
}

async function sourceEvents(page: Page): Promise<ReceivedEvent[]> {
  return (await received(page)).filter(({ name }) => name === "token" || name === "done");
}

async function named(page: Page, wanted: string): Promise<{ id: string; data: unknown }[]> {
  const events = (await received(page)).filter(({ name }) => name === wanted);
  return events.map(({ id, data }) => ({ id, data: JSON.parse(data) as unknown }));
}

/** What the demo source sends, under the ids it must have. */
function demoEvents(events: number): ReceivedEvent[] {
  const frames = [...demoScript({ events, bytes: 0, failAt: undefined, seed: 1, stages: 0 })];
  return frames.map((frame, index) => {
    const [, name = "", data = ""] = /^event: (.*)\ndata: (.*)\n\n$/.exec(frame) ?? [];
    return { name, id: `1-${index + 1}`, data };
  });
}

/** Statuses of a start and a resume by fetch with headers of their own; the error's name where it may not. */
function startAndResume(page: Page, origin: string): Promise<{ start: number; resume: number } | string> {
  return page.evaluate(async (origin) => {
    try {
      const start = await fetch(`${origin}/demo/stream?events=5&rate=0`, { method: "POST" });
      const headers = { "X-Resume-Token": start.headers.get("X-Resume-Token") ?? "", "Last-Event-ID": "1-2" };
      const resume = await fetch(`${origin}/demo/resume`, { headers });
      return { start: start.status, resume: resume.status };
    } catch (error) {
      return error instanceof Error ? error.name : "unknown";
    }
  }, origin);
}
