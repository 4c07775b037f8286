/**
 * Runs of one rotation: one at a time, each of which may say more than the one before; and a wrangler that hangs.
 */
import { chmodSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { spawn } from "node:child_process";

import { expect, test } from "vitest";

import { EXIT } from "../../scripts/cli/exit-codes.ts";
import { lock, readState, STATE_FILE } from "../../scripts/rotation/state-file.ts";
import { WranglerStore } from "../../scripts/rotation/wrangler-store.ts";
import { runHere } from "../fixtures/cli-run.ts";
import { cloud, deployedAnswer, OLD_SECRET, type Cloud } from "../fixtures/deployed-secrets.ts";

const IN_USE = { SSE_RESUME_SECRET: OLD_SECRET, HMAC_SECRET: "ids" };
const STARTERS = 4;
const ROUNDS = 2;

function rotate(there: Cloud, args: readonly string[]) {
  const answer = (request: Request) => deployedAnswer(request, there);
  const kept = ["--save-secret", join(there.home, "new.txt"), "--no-wait"];
  return runHere(["rotate", "--gradual", ...there.args, ...kept, ...args], { answer, env: there.env });
}

/** Takes the lock, says whether it has it, and keeps it until its input ends. */
const STARTER = `
  import { lock } from "${join(import.meta.dirname, "../../scripts/rotation/state-file.ts")}";
  let answer = "taken";
  try { lock(process.argv[1]); } catch { answer = "refused"; }
  console.log(answer);
  process.stdin.resume();
`;

test("of many that start at once over the lock of a run that was killed, one has it", { timeout: 60_000 }, async () => {
  const { home } = cloud({});
  const path = join(home, STATE_FILE);
  for (let round = 0; round < ROUNDS; round++) {
    // No process has this number.
    writeFileSync(`${path}.lock`, "999999999");
    const starters = Array.from({ length: STARTERS }, () =>
      spawn(process.execPath, ["--input-type=module", "-e", STARTER, path], { stdio: ["pipe", "pipe", "inherit"] }),
    );
    const ends = starters.map((child) => new Promise((done) => child.once("exit", done)));
    const answers = await Promise.all(
      starters.map(
        (child) =>
          new Promise<string>((done) => child.stdout.once("data", (chunk: Buffer) => done(String(chunk).trim()))),
      ),
    );
    for (const child of starters) child.stdin.end();
    await Promise.all(ends);
    expect(answers.toSorted()).toEqual([...Array<string>(STARTERS - 1).fill("refused"), "taken"]);
    expect(readdirSync(home).filter((name) => name.startsWith(STATE_FILE))).toEqual([`${STATE_FILE}.lock`]);
    rmSync(`${path}.lock`);
  }
});

test("while one looks after the lock of a run that was killed, no other touches it", () => {
  const { home } = cloud({});
  const path = join(home, STATE_FILE);
  writeFileSync(`${path}.lock`, "999999999");
  writeFileSync(`${path}.lock.taking-over`, String(process.pid));
  expect(() => lock(path)).toThrow("Another run is at it");
  expect(readFileSync(`${path}.lock`, "utf8")).toBe("999999999");
  rmSync(`${path}.lock.taking-over`);
  lock(path)();
  expect(readdirSync(home).filter((name) => name.startsWith(STATE_FILE))).toEqual([]);
});

test("a longer life or margin of tokens is heeded also midway, a shorter one not, and it is said", async () => {
  const there = cloud(IN_USE);
  const path = join(there.home, STATE_FILE);
  expect((await rotate(there, [])).code).toBe(EXIT.partial);
  expect((await rotate(there, ["--token-life-sec", "9000", "--route", "other"])).code).toBe(EXIT.partial);
  expect(readState(path)).toMatchObject({ tokenLifeSec: 9000, marginSec: 0, route: "other" });
  const shorter = await rotate(there, ["--token-life-sec", "2"]);
  expect([shorter.code, shorter.stderr]).toEqual([EXIT.partial, expect.stringContaining("it stays 9000")]);
  expect(readState(path)).toMatchObject({ tokenLifeSec: 9000 });
});

test("a rotation of an environment is gone on with only where that is named", async () => {
  const there = cloud(IN_USE);
  const first = await rotate(there, []);
  expect(first.stdout).toContain("--gradual --env staging");
  const before = there.calls().length;
  for (const mode of ["--gradual", "--rollback", "--immediate"]) {
    const ran = await runHere(["rotate", mode, "--yes", "--folder", there.home], { env: there.env });
    expect([ran.code, ran.stderr]).toEqual([
      expect.any(Number),
      expect.stringContaining("A rotation of staging is under way"),
    ]);
  }
  expect(there.calls()).toHaveLength(before);
});

test("the margin is no shorter than objects may run on with what they had", async () => {
  const there = cloud(IN_USE);
  const vars = { SSE_RESUME_TTL_SEC: 3, ROUTES: [{ name: "demo" }] };
  const objects = { bindings: [], code_update_strategy: { mode: "deferred", max_delay: 1800 } };
  const config = { name: "x", env: { staging: { vars, durable_objects: objects } } };
  writeFileSync(join(there.home, "wrangler.jsonc"), JSON.stringify(config));
  const short = await rotate(there, ["--dry-run", "--margin-sec", "300"]);
  expect([short.code, short.stderr]).toEqual([EXIT.usage, expect.stringContaining("for 1800 s after a change")]);
  expect((await rotate(there, ["--dry-run", "--margin-sec", "1800"])).stdout).toContain("margin 30 min");
});

const UNKNOWN = { currentSecret: () => undefined };

/** A wrangler that does not end when it is asked to, and has started something that does not either. */
function hangingStore(timeoutMs: number, signal: AbortSignal) {
  const { home, env } = cloud(IN_USE);
  const [wrangler, started] = [join(home, "bin", "wrangler"), join(home, "started")];
  const child = `"${process.execPath}" -e 'setTimeout(() => {}, 4000)'`;
  writeFileSync(wrangler, `#!/bin/sh\ntrap '' TERM\ntouch "${started}"\n${child}\n`);
  chmodSync(wrangler, 0o755);
  const store = new WranglerStore({ folder: home, environment: "staging", env, ...UNKNOWN, signal, timeoutMs });
  return { store, hasStarted: () => existsSync(started) };
}

test("a wrangler that takes too long is ended, and what it has started holds nobody up", async () => {
  const { store } = hangingStore(300, new AbortController().signal);
  const text = expect.stringContaining("took longer than") as string;
  await expect(store.read()).rejects.toMatchObject({ exitCode: EXIT.failed, message: text });
});

test("a wrangler that hangs is ended by an interrupt", async () => {
  const abort = new AbortController();
  const { store, hasStarted } = hangingStore(60_000, abort.signal);
  const reading = store.read();
  reading.catch(() => undefined);
  await expect.poll(hasStarted, { timeout: 10_000 }).toBe(true);
  abort.abort();
  await expect(reading).rejects.toMatchObject({ exitCode: EXIT.interrupted });
});
