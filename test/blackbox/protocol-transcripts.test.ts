/**
 * PROTOCOL.md, checked: every transcript in it against the running service.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

import { fill, matches, readTranscripts, type Bindings, type Exchange } from "../fixtures/transcript.ts";
import { startService, type Service } from "../fixtures/workerd-service.ts";

const document = readFileSync(resolve(import.meta.dirname, "../../PROTOCOL.md"), "utf8");
const transcripts = readTranscripts(document);
const bindings: Bindings = new Map();
const vars = {
  SSE_BUFFER_MAX_EVENTS: 8,
  SSE_COMMIT_INTERVAL_MS: 10_000,
  ROUTES: [
    { name: "demo", upstream: "builtin:demo", allowGet: true },
    { name: "plain", upstream: "builtin:demo", control: false },
    { name: "folding", upstream: "builtin:demo", fold: { paths: ["$.text"], latest: ["$.n"] } },
  ],
};

let persistTo: string;
let service: Service;

beforeAll(async () => {
  persistTo = mkdtempSync(join(tmpdir(), "spillway-transcripts-"));
  service = await startService({ vars, persistTo });
  bindings.set("origin", service.origin);
});

afterAll(async () => {
  await service.stop();
  rmSync(persistTo, { recursive: true, force: true });
});

test("the document has a transcript for every case it describes", () => {
  expect(transcripts.length).toBeGreaterThanOrEqual(14);
});

for (const { name, exchanges } of transcripts) {
  test(`transcript ${name}`, async () => {
    for (const exchange of exchanges) await perform(exchange);
  });
}

async function perform(exchange: Exchange): Promise<void> {
  const abort = new AbortController();
  const response = await fetch(`${service.origin}${fill(exchange.path, bindings)}`, {
    method: exchange.method,
    headers: exchange.requestHeaders.map(([header, value]) => [header, fill(value, bindings)]),
    signal: abort.signal,
  });
  expect(response.status).toBe(exchange.status);
  for (const [header, template] of exchange.responseHeaders) {
    const actual = response.headers.get(header) ?? "(absent)";
    expect(matches(template, actual, bindings), `${header}: ${actual} is not ${template}`).toBe(true);
  }
  const reading = readLines(response);
  for (const template of exchange.body) {
    const { value, done } = await reading.next();
    const actual = done === true ? "(end of the body)" : value;
    expect(matches(template, actual, bindings), `\nexpected ${template}\nanswered ${actual}`).toBe(true);
  }
  const rest: string[] = [];
  if (exchange.ending === "end") for await (const line of reading) rest.push(line);
  expect(rest.filter((line) => line !== "")).toEqual([]);
  if (exchange.ending === "kill") await restart();
  abort.abort();
}

async function restart(): Promise<void> {
  const port = Number(new URL(service.origin).port);
  await service.kill();
  service = await startService({ vars, persistTo, port });
}

async function* readLines(response: Response): AsyncGenerator<string, undefined> {
  if (response.body === null) return;
  let rest = "";
  for await (const text of response.body.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
  if (rest !== "") yield rest;
}
