/**
 * Where a rotation keeps the new secret for the next one: when that is written, and what it never takes the place of.
 */
import { existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { expect, test } from "vitest";

import { EXIT } from "../../scripts/cli/exit-codes.ts";
import { readState, STATE_FILE, writeState } from "../../scripts/rotation/state-file.ts";
import { runHere } from "../fixtures/cli-run.ts";
import { cloud, deployedAnswer, OLD_SECRET, type Cloud } from "../fixtures/deployed-secrets.ts";

const IN_USE = { SSE_RESUME_SECRET: OLD_SECRET, HMAC_SECRET: "ids" };
const OTHER = "some-other-secret-0123456789abcdef0123456789abcd\n";

interface Given {
  readonly env?: Readonly<Record<string, string>>;
  readonly typed?: string;
}

function rotate(there: Cloud, args: readonly string[], { env, ...typed }: Given = {}) {
  const answer = (request: Request) => deployedAnswer(request, there);
  return runHere(["rotate", ...there.args, "--no-wait", ...args], { answer, env: { ...there.env, ...env }, ...typed });
}

/** A file in the cloud's folder with something in it. */
function fileIn({ home }: Cloud, name: string, text: string): string {
  const path = join(home, name);
  writeFileSync(path, text);
  return path;
}

function bulks(there: Cloud): number {
  return there.calls().filter(({ args }) => args[1] === "bulk").length;
}

test("K1 whoever is asked and says no, or is not there, finds every file as it was, also with --force", async () => {
  const there = cloud(IN_USE);
  const file = fileIn(there, "new.txt", OTHER);
  const command = ["--immediate", "--save-secret", file, "--force"];
  const refused = await rotate(there, command, { typed: "no\n" });
  expect([refused.code, refused.stderr]).toEqual([EXIT.failed, expect.stringContaining("nothing was changed")]);
  const alone = await rotate(there, command);
  expect([alone.code, alone.stderr]).toEqual([EXIT.usage, expect.stringContaining("give --yes")]);
  const state = existsSync(join(there.home, STATE_FILE));
  expect([readFileSync(file, "utf8"), state, there.secrets()]).toEqual([OTHER, false, IN_USE]);
  const done = await rotate(there, command, { typed: "yes\n" });
  expect(done.code, done.stderr).toBe(EXIT.ok);
  expect(readFileSync(file, "utf8").trim()).toBe(there.secrets()["SSE_RESUME_SECRET"]);
});

test("K1 a first change that fails leaves the new secret kept, and state that has it", async () => {
  const there = cloud(IN_USE);
  const file = join(there.home, "new.txt");
  const failed = await rotate(there, ["--gradual", "--save-secret", file], { env: { FAKE_FAILS: "1" } });
  const state = readState(join(there.home, STATE_FILE));
  expect([failed.code, readFileSync(file, "utf8").trim()]).toEqual([EXIT.failed, state?.secrets.newSecret]);
  expect([statSync(file).mode & 0o777, state?.keepIn]).toEqual([0o600, undefined]);
});

test("K1 a run that was killed before it could keep the secret: the next one does, before any change", async () => {
  const there = cloud(IN_USE);
  const [file, path] = [join(there.home, "new.txt"), join(there.home, STATE_FILE)];
  await rotate(there, ["--gradual", "--save-secret", join(there.home, "lost.txt")], { env: { FAKE_FAILS: "1" } });
  const state = readState(path);
  if (state === undefined) throw new Error("no state");
  writeState(path, { ...state, keepIn: file });
  const failed = await rotate(there, ["--gradual"], { env: { FAKE_FAILS: "1" } });
  expect([failed.code, readFileSync(file, "utf8").trim()]).toEqual([EXIT.failed, state.secrets.newSecret]);
});

test.each([
  ["something else", OTHER, [], "--force"],
  ["the present secret", `${OLD_SECRET}\n`, ["--force"], "present secret is in it"],
])("K2 a file that holds %s is not replaced, and nothing begins", async (_, text, args, why) => {
  for (const mode of [["--gradual"], ["--immediate", "--yes"]]) {
    const there = cloud(IN_USE);
    const file = fileIn(there, "new.txt", text);
    const ran = await rotate(there, [...mode, "--save-secret", file, ...args]);
    expect([ran.code, ran.stderr]).toEqual([EXIT.usage, expect.stringContaining(why)]);
    expect([readFileSync(file, "utf8"), bulks(there), existsSync(join(there.home, STATE_FILE))]).toEqual([
      text,
      0,
      false,
    ]);
  }
});

test("K2 the file of --current-secret-file is never replaced, also by a link to it", async () => {
  const there = cloud(IN_USE);
  const file = fileIn(there, "now.txt", OLD_SECRET);
  const link = join(there.home, "link.txt");
  symlinkSync(file, link);
  for (const target of [file, link]) {
    for (const mode of [["--gradual"], ["--immediate", "--yes"]]) {
      const ran = await rotate(there, [...mode, "--current-secret-file", file, "--save-secret", target, "--force"]);
      expect([ran.code, ran.stderr]).toEqual([EXIT.usage, expect.stringContaining("Name another file")]);
    }
  }
  expect([readFileSync(file, "utf8"), bulks(there)]).toEqual([OLD_SECRET, 0]);
});

test("K2 an empty file is taken, another one with --force, and a folder or the state's place not at all", async () => {
  for (const [text, args] of [
    ["", []],
    [OTHER, ["--force"]],
  ] as const) {
    const there = cloud(IN_USE);
    const file = fileIn(there, "new.txt", text);
    const ran = await rotate(there, ["--gradual", "--save-secret", file, ...args]);
    expect(ran.code, ran.stderr).toBe(EXIT.partial);
    expect(readFileSync(file, "utf8").trim()).toBe(there.secrets()["SSE_RESUME_SECRET"]);
  }
  const there = cloud(IN_USE);
  mkdirSync(join(there.home, "folder"));
  for (const [name, why] of [
    ["folder", "no file"],
    [STATE_FILE, "its state"],
    ["no/such/folder", "ENOENT"],
  ] as const) {
    const ran = await rotate(there, ["--gradual", "--force", "--save-secret", join(there.home, name)]);
    expect([ran.code, ran.stderr]).toEqual([EXIT.usage, expect.stringContaining(why)]);
  }
  expect(bulks(there)).toBe(0);
});

test("where deployed a rotation that would keep its secret nowhere does not begin, and a dry run says so", async () => {
  const there = cloud(IN_USE);
  const ran = await rotate(there, ["--gradual"]);
  expect([ran.code, ran.stderr]).toEqual([EXIT.usage, expect.stringContaining("--save-secret")]);
  const dry = await rotate(there, ["--gradual", "--dry-run"]);
  expect([dry.code, dry.stderr]).toEqual([EXIT.ok, expect.stringContaining("it would not begin")]);
  expect(bulks(there)).toBe(0);
});

test("the same command goes on with an immediate rotation that broke off, with the secret it has kept", async () => {
  const there = cloud(IN_USE);
  const file = join(there.home, "new.txt");
  const command = ["--immediate", "--yes", "--save-secret", file];
  expect((await rotate(there, command, { env: { FAKE_FAILS: "1" } })).code).toBe(EXIT.failed);
  const kept = readFileSync(file, "utf8").trim();
  const done = await rotate(there, command);
  expect(done.code, done.stderr).toBe(EXIT.ok);
  expect([there.secrets()["SSE_RESUME_SECRET"], readFileSync(file, "utf8").trim()]).toEqual([kept, kept]);
});
