/**
 * `npm run rotate` against the local service: readers resume all the time, with tokens of the old and the new secret,
 * and none is refused, through a rotation that is killed and gone on with, and through a rollback.
 */
import { existsSync, readFileSync, statSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

import { createKeyRing } from "../../protocol/resume-token.ts";
import { STATE_FILE } from "../../scripts/rotation/state-file.ts";
import { runRotate, type ProcessOptions } from "../fixtures/cli-run.ts";
import { ResumingReaders, startRotatingService, type RotatingService } from "../fixtures/rotating-service.ts";
import { TEST_SECRETS } from "../fixtures/test-secrets.ts";
import { startService } from "../fixtures/workerd-service.ts";
import { endService } from "../fixtures/end-service.ts";

const LIFE_SEC = 5;
/** Two rotations with their waits, on a busy machine. */
const TIMEOUT_MS = 150_000;

let service: RotatingService;

beforeAll(async () => {
  service = await startRotatingService(LIFE_SEC);
});

afterAll(() => service.stop());

function rotate(args: readonly string[], options: ProcessOptions = {}, url = service.origin) {
  const common = [
    "--folder",
    service.folder,
    "--url",
    url,
    "--margin-sec",
    "1",
    "--rounds",
    "3",
    "--interval-ms",
    "100",
  ];
  return runRotate([...common, ...args], options);
}

async function kidOf(secret: string | undefined): Promise<string> {
  return (await createKeyRing(secret ?? "")).keys[0].kid;
}

/** Its state names both secrets: while it is there. */
function stateStep(): string | undefined {
  const path = join(service.folder, STATE_FILE);
  if (!existsSync(path)) return undefined;
  return (JSON.parse(readFileSync(path, "utf8")) as { step: string }).step;
}

test(
  "no token is refused from start to end of a gradual rotation, killed in its middle and gone on with",
  { timeout: TIMEOUT_MS },
  async () => {
    const readers = new ResumingReaders(service.origin);
    const before = service.secrets();
    // Killed in the moment of its first change, which the service has yet to take up.
    const killed = await rotate(["--gradual"], {
      onStart: (child) => {
        const timer = setInterval(() => service.secrets()["SSE_RESUME_SECRET_PREVIOUS"] && child.kill("SIGKILL"), 20);
        child.once("exit", () => clearInterval(timer));
      },
    });
    expect([killed.code, stateStep(), service.secrets()["SSE_RESUME_SECRET"]]).toEqual([
      null,
      "add",
      before["SSE_RESUME_SECRET"],
    ]);
    expect(statSync(join(service.folder, STATE_FILE)).mode & 0o777).toBe(0o600);

    const done = await rotate(["--gradual"]);
    expect(done.code, done.stderr).toBe(0);
    await expect.poll(() => readers.resumes.size, { timeout: 30_000 }).toBe(2);
    await readers.stop();
    const after = service.secrets();
    expect(readers.refusals).toEqual([]);
    expect([...readers.resumes.keys()].toSorted()).toEqual(
      [await kidOf(before["SSE_RESUME_SECRET"]), await kidOf(after["SSE_RESUME_SECRET"])].toSorted(),
    );
    expect(after).toEqual({ ...TEST_SECRETS, SSE_RESUME_SECRET: after["SSE_RESUME_SECRET"] });
    expect(stateStep()).toBeUndefined();
    for (const secret of [
      before["SSE_RESUME_SECRET"] ?? "",
      after["SSE_RESUME_SECRET"] ?? "",
      TEST_SECRETS.ADMIN_TOKEN,
    ]) {
      expect(killed.stdout + killed.stderr + done.stdout + done.stderr).not.toContain(secret);
    }
  },
);

test("no token is refused by a rollback after the new secret has signed", { timeout: TIMEOUT_MS }, async () => {
  const readers = new ResumingReaders(service.origin);
  const before = service.secrets();
  const promoted = await rotate(["--gradual", "--no-wait"]);
  expect([promoted.code, stateStep()], promoted.stderr).toEqual([5, "promote"]);
  const newKid = await kidOf(service.secrets()["SSE_RESUME_SECRET"]);
  await expect.poll(() => readers.resumes.has(newKid), { timeout: 30_000 }).toBe(true);
  const back = await rotate(["--rollback"]);
  expect(back.code, back.stderr).toBe(0);
  await readers.stop();
  expect(readers.refusals).toEqual([]);
  expect(service.secrets()).toEqual(before);
});

test("a secret set by hand that the service does not have yet is noticed before anything is changed", async () => {
  const before = service.secrets();
  const byHand = { ...TEST_SECRETS, SSE_RESUME_SECRET: "set-by-hand-0123456789abcdef0123456789abcdef" };
  service.writeSecrets(byHand);
  const ran = await rotate(["--gradual", "--timeout-sec", "1"]);
  expect([ran.code, ran.stderr]).toEqual([1, expect.stringContaining("Nothing was changed")]);
  expect([service.secrets(), stateStep()]).toEqual([byHand, undefined]);
  service.writeSecrets({ ...TEST_SECRETS, SSE_RESUME_SECRET: before["SSE_RESUME_SECRET"] ?? "" });
});

test(
  "where a part of the service does not follow, the new secret is not promoted",
  { timeout: TIMEOUT_MS },
  async () => {
    const old = service.secrets()["SSE_RESUME_SECRET"] ?? "";
    const stale = await startService({ vars: { SSE_RESUME_SECRET: old } });
    const both = await alternating([service.origin, stale.origin]);
    try {
      const ran = await rotate(["--gradual", "--timeout-sec", "3"], {}, both.origin);
      expect([ran.code, stateStep()], ran.stderr).toEqual([1, "add"]);
      expect(ran.stdout).toContain("a token of the new secret is refused somewhere");
      expect(service.secrets()["SSE_RESUME_SECRET"]).toBe(old);
      const back = await rotate(["--rollback"]);
      expect(back.code, back.stderr).toBe(0);
      expect(service.secrets()["SSE_RESUME_SECRET_PREVIOUS"]).toBeUndefined();
    } finally {
      both.stop();
      await endService(stale);
    }
  },
);

/** One address for several services, each asked in its turn: for every token by itself. */
async function alternating(origins: readonly string[]) {
  const turns = new Map<string, number>();
  const pass = async (request: IncomingMessage, response: ServerResponse) => {
    const token = String(request.headers["x-resume-token"] ?? "");
    // The header of a token names its key.
    const key = `${request.url} ${token.split(".")[0]}`;
    const turn = turns.get(key) ?? 0;
    turns.set(key, turn + 1);
    const headers = { "X-Resume-Token": token, Authorization: request.headers.authorization ?? "" };
    const answer = await fetch(`${origins[turn % origins.length]}${request.url}`, { headers }).catch(() => undefined);
    response.writeHead(answer?.status ?? 502).end(await answer?.text());
  };
  const server = createServer((request, response) => void pass(request, response));
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return { origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, stop: () => void server.close() };
}
