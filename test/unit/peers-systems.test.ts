/** What the comparison with peers rests on: their installation, and the check that none is measured which is broken. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, describe, expect, test, vi } from "vitest";

import { runCommand } from "../../bench/peers/install/command.ts";
import { packagesToFetch } from "../../bench/peers/install/debian-packages.ts";
import { NPM_CI } from "../../bench/peers/install/npm-packages.ts";
import { checkSystem } from "../../bench/peers/systems/check.ts";
import { bufferFor, settingsFor, settingsNotes } from "../../bench/peers/systems/spillway-settings.ts";
import type { StartSystem } from "../../bench/peers/system.ts";
import { findMissing } from "../../scripts/complete-lockfile.ts";

const folder = mkdtempSync(join(tmpdir(), "spillway-peers-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("installing", () => {
  test("what apt would install is fetched at the versions it names, upgrades too", () => {
    const simulation = `Reading package lists...
Inst libjemalloc2 (5.3.0-1 Debian:12.15/oldstable [amd64])
Inst nginx [1.22.1-9] (1.22.1-9+deb12u11 Debian-Security:12/oldstable-security [amd64]) []
Conf libjemalloc2 (5.3.0-1 Debian:12.15/oldstable [amd64])
`;
    expect(packagesToFetch(simulation)).toEqual(["libjemalloc2=5.3.0-1", "nginx=1.22.1-9+deb12u11"]);
  });

  test("the lockfile of the peers serves every platform and names no registry", () => {
    const text = readFileSync("bench/peers/npm/package-lock.json", "utf8");
    const { packages } = JSON.parse(text) as { packages: Parameters<typeof findMissing>[0] };
    expect(findMissing(packages)).toEqual([]);
    expect(text).not.toMatch(/"resolved"/);
  });

  test("npm says why it fails, within a silent npm as well", async () => {
    vi.stubEnv("npm_config_loglevel", "silent");
    // There is no lockfile.
    await expect(runCommand("npm", NPM_CI, folder)).rejects.toThrow(/package-lock\.json/);
    vi.unstubAllEnvs();
  });
});

test("Spillway keeps its default buffer where that is enough, and else one that drops nothing", () => {
  expect(bufferFor(256)).toEqual({ SSE_BUFFER_MAX_EVENTS: 256, SSE_BUFFER_MAX_SIZE_MB: 1.5 });
  expect(bufferFor(30_000)).toEqual({ SSE_BUFFER_MAX_EVENTS: 30_000, SSE_BUFFER_MAX_SIZE_MB: 37 });
});

test("Spillway's note names every setting that is not a default, the lake's too", () => {
  const run = { maxReaders: 210, maxEvents: 30_000 };
  const [first, second] = settingsNotes(run);
  for (const [name, value] of Object.entries(settingsFor(run))) expect(first).toContain(`${name}=${value}`);
  expect(first).toMatch(/ICEBERG_BUFFER_SIZE=20000, ICEBERG_BUFFER_TIMEOUT_MS=3600000\.$/);
  expect(second).toContain("no measure has the cost of their flushes, files and commits");
});

describe("a system is checked before it is measured", () => {
  test("one that keeps all events, in order, is right", async () => {
    expect(
      await checkSystem(
        systemThatSends((frames) => frames),
        folder,
      ),
    ).toMatchObject({
      isRight: true,
      storedBytes: 60_000,
    });
  });

  test("one that sorts ids as text in its replay is not", async () => {
    const result = await checkSystem(
      systemThatSends((frames) => frames.toSorted()),
      folder,
    );
    const reason = expect.stringMatching(/^the reader that came afterwards received \d+ of 300 events, not in order$/);
    expect(result).toEqual({ isRight: false, reason });
  });

  test("one that does not start is not, and says why", async () => {
    expect(await checkSystem(() => Promise.reject(new Error("no such port")), folder)).toEqual({
      isRight: false,
      reason: "no such port",
    });
  });
});

/** An append server in this process, right when live. @param replay what a reader that comes afterwards is sent */
function systemThatSends(replay: (frames: readonly string[]) => readonly string[]): StartSystem {
  return async () => {
    const frames: string[] = [];
    const live = new Set<(frame: string) => void>();
    const server = createServer((request, response) => {
      if (request.method === "POST") {
        request.setEncoding("utf8").on("data", (data: string) => {
          frames.push(`data: ${data}\n\n`);
          for (const write of live) write(`data: ${data}\n\n`);
        });
        request.on("end", () => response.writeHead(204).end());
        return;
      }
      response.writeHead(200, { "content-type": "text/event-stream" }).flushHeaders();
      if (request.url === "/all") for (const frame of replay(frames)) response.write(frame);
      else live.add((frame) => response.write(frame));
    });
    const origin = await listening(server);
    return {
      facts: {
        name: "nchan",
        label: "A peer",
        versions: "1",
        durability: "memory",
        producing: "append",
        cannot: [],
        notes: [],
      },
      pids: () => [],
      createStream: () =>
        Promise.resolve({
          readFromStart: () => ({ origin, method: "GET", path: "/all", headers: {} }),
          follow: () => ({ origin, method: "GET", path: "/new", headers: {} }),
          append: () => ({ origin, method: "POST", path: "/", headers: {} }),
          storedBytes: () => Promise.resolve(frames.length * 200),
        }),
      stop: () => {
        server.closeAllConnections();
        return new Promise((done) => server.close(() => done()));
      },
    };
  };
}

async function listening(server: Server): Promise<string> {
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
