/**
 * Where a rotation keeps secrets: `.dev.vars`, Cloudflare by wrangler (a stand-in that records what it is given), and
 * its own state.
 */
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseEnv } from "node:util";

import { expect, test } from "vitest";

import { EXIT } from "../../scripts/cli/exit-codes.ts";
import { editDevVars } from "../../scripts/rotation/dev-vars-text.ts";
import { DevVarsStore } from "../../scripts/rotation/dev-vars-store.ts";
import { lock, readState, STATE_FILE, writeState } from "../../scripts/rotation/state-file.ts";
import { CLI_TOKEN, runHere } from "../fixtures/cli-run.ts";
import { cloud, deployedAnswer, type Cloud, OLD_SECRET as OLD } from "../fixtures/deployed-secrets.ts";

const PRIVATE = 0o600;

function folder(): string {
  return mkdtempSync(join(tmpdir(), "spillway-rotation-"));
}

test.each([
  ["A=1\nSSE_RESUME_SECRET=x\nB='{\"c\": [1]}'\n", "A=1\nSSE_RESUME_SECRET=new\nB='{\"c\": [1]}'\nP=old\n"],
  ["# comment\n\nSSE_RESUME_SECRET = 'x' # note", "# comment\n\nSSE_RESUME_SECRET=new\nP=old\n"],
  ["SSE_RESUME_SECRET=x\r\nP=\r\n", "SSE_RESUME_SECRET=new\r\nP=old\r\n"],
  ["SSE_RESUME_SECRET=x\nA=1\nSSE_RESUME_SECRET=y\n", "SSE_RESUME_SECRET=new\nA=1\nP=old\n"],
  ["", "SSE_RESUME_SECRET=new\nP=old\n"],
])("an edit of %j leaves all else as it is", (before, after) => {
  expect(editDevVars(before, { SSE_RESUME_SECRET: "new", P: "old" })).toBe(after);
});

test("a variable is taken away, and what is like it stays", () => {
  const text = "P=1\nPP=2\n#P=3\nexport P=4\n";
  expect(editDevVars(text, { P: null })).toBe("PP=2\n#P=3\n");
});

test("a file in which an edit would touch something else is refused, without a word of its values", () => {
  const text = 'A="line one\nP=not-a-variable\nline three"\n';
  expect(() => editDevVars(text, { P: "secret-value" })).toThrow("do it by hand");
  expect(() => editDevVars(text, { P: "secret-value" })).not.toThrow("secret-value");
});

test(".dev.vars is replaced whole, for its owner alone, and a link to it stays one", async () => {
  const home = folder();
  const target = join(home, "real.vars");
  writeFileSync(target, `SSE_RESUME_SECRET=${OLD}\nA=1\n`, { mode: 0o644 });
  symlinkSync(target, join(home, ".dev.vars"));
  const config = join(home, "wrangler.jsonc");
  writeFileSync(config, "{}");
  utimesSync(config, 0, 0);
  const store = new DevVarsStore(home);
  expect(await store.read()).toEqual({ signing: OLD, names: new Set(["SSE_RESUME_SECRET", "A"]) });
  await store.apply({ SSE_RESUME_SECRET: "new", SSE_RESUME_SECRET_PREVIOUS: OLD });
  expect(parseEnv(readFileSync(target, "utf8"))).toEqual({
    SSE_RESUME_SECRET: "new",
    A: "1",
    SSE_RESUME_SECRET_PREVIOUS: OLD,
  });
  expect(statSync(target).mode & 0o777).toBe(PRIVATE);
  expect(readdirSync(home).toSorted()).toEqual([".dev.vars", "real.vars", "wrangler.jsonc"]);
  // wrangler dev looks at its configuration alone: this is what makes it read the secrets again.
  expect(statSync(config).mtimeMs).toBeGreaterThan(0);
});

test("a rotation's state is for its owner alone, and a damaged one is not taken for none", () => {
  const path = join(folder(), STATE_FILE);
  expect(readState(path)).toBeUndefined();
  const state = { version: 1, step: "add", secrets: { oldSecret: "a", newSecret: "b" } } as never;
  writeState(path, state);
  expect([readState(path), statSync(path).mode & 0o777]).toEqual([state, PRIVATE]);
  for (const text of ["", "{", '{"version":2}', '{"version":1,"step":"odd"}']) {
    writeFileSync(path, text);
    expect(() => readState(path)).toThrow("damaged");
  }
});

test("two runs at once are refused, and the lock of a run that was killed is not in the way", () => {
  const path = join(folder(), STATE_FILE);
  const unlock = lock(path);
  expect(() => lock(path)).toThrow("Another run is at it");
  unlock();
  // No process has this number.
  writeFileSync(`${path}.lock`, "999999999");
  lock(path)();
  expect(existsSync(`${path}.lock`)).toBe(false);
});

function keeping({ args, home }: Cloud): readonly string[] {
  return [...args, "--save-secret", join(home, "next.txt")];
}

test("where deployed, secrets go by stdin, both in one change, and never by an argument", async () => {
  const there = cloud({ SSE_RESUME_SECRET: OLD, HMAC_SECRET: "ids", OTHER: "x" });
  const options = { answer: (request: Request) => deployedAnswer(request, there), env: there.env };
  const first = await runHere(["rotate", "--gradual", "--no-wait", ...keeping(there)], options);
  expect(first.code, first.stderr).toBe(EXIT.partial);
  const between = there.secrets();
  expect(between).toMatchObject({ SSE_RESUME_SECRET_PREVIOUS: OLD, HMAC_SECRET: "ids", OTHER: "x" });
  const last = await runHere(["rotate", "--gradual", ...keeping(there)], options);
  expect(last.code, last.stderr).toBe(EXIT.ok);
  expect(there.secrets()).toEqual({ SSE_RESUME_SECRET: between["SSE_RESUME_SECRET"], HMAC_SECRET: "ids", OTHER: "x" });
  const fresh = between["SSE_RESUME_SECRET"] ?? "";
  expect(readFileSync(join(there.home, "next.txt"), "utf8").trim()).toBe(fresh);
  expect(statSync(join(there.home, "next.txt")).mode & 0o777).toBe(PRIVATE);
  const calls = there.calls();
  expect(calls.map(({ args }) => args.join(" "))).toEqual([
    "secret list --format json --env staging",
    ...Array.from({ length: 3 }, () => "secret bulk --env staging"),
  ]);
  expect(calls.slice(1).map(({ input }) => JSON.parse(input) as unknown)).toEqual([
    { SSE_RESUME_SECRET: OLD, SSE_RESUME_SECRET_PREVIOUS: fresh },
    { SSE_RESUME_SECRET: fresh, SSE_RESUME_SECRET_PREVIOUS: OLD },
    { SSE_RESUME_SECRET: fresh, SSE_RESUME_SECRET_PREVIOUS: null },
  ]);
  const printed = [first, last].map(({ stdout, stderr }) => stdout + stderr).join("");
  expect(printed).not.toMatch(new RegExp(`${OLD}|${fresh}`));
  expect(readdirSync(there.home).filter((name) => name.startsWith(STATE_FILE))).toEqual([]);
});

test("what wrangler quotes when it fails is not printed, and the same command goes on afterwards", async () => {
  const there = cloud({ SSE_RESUME_SECRET: OLD });
  const answer = (request: Request) => deployedAnswer(request, there);
  const failed = await runHere(["rotate", "--gradual", "--no-wait", ...keeping(there)], {
    answer,
    env: { ...there.env, FAKE_FAILS: "1" },
  });
  expect([failed.code, failed.stderr]).toEqual([
    EXIT.failed,
    expect.stringContaining("wrangler secret bulk failed with 1"),
  ]);
  expect(failed.stderr).toContain("[secret]");
  expect(failed.stderr).not.toContain(OLD);
  expect(statSync(join(there.home, STATE_FILE)).mode & 0o777).toBe(PRIVATE);
  const again = await runHere(["rotate", "--gradual", "--no-wait", ...keeping(there)], { answer, env: there.env });
  expect(again.code, again.stderr).toBe(EXIT.partial);
  // There was no HMAC_SECRET: the old secret goes on deriving stream ids.
  expect(there.secrets()).toMatchObject({ HMAC_SECRET: OLD, SSE_RESUME_SECRET_PREVIOUS: OLD });
});

test.each([
  [
    "a wrong present secret",
    { SPILLWAY_CURRENT_RESUME_SECRET: "wrong-secret-0123456789abcdef0123456789abcdef" },
    [],
    "Nothing was changed",
  ],
  ["no present secret", { SPILLWAY_CURRENT_RESUME_SECRET: "" }, [], "Cloudflare gives no secret back"],
  ["an environment that is not there", {}, ["--env", "production"], "no environment production"],
  ["no wrangler", { PATH: "/nowhere" }, [], "wrangler did not start: ENOENT"],
])("with %s nothing is changed", async (_, env, args, text) => {
  const there = cloud({ SSE_RESUME_SECRET: OLD });
  const ran = await runHere(["rotate", "--gradual", ...keeping(there), "--timeout-sec", "1", ...args], {
    answer: (request) => deployedAnswer(request, there),
    env: { ...there.env, ...env },
  });
  expect(ran.code).not.toBe(EXIT.ok);
  expect(ran.stderr).toContain(text);
  expect([there.secrets(), existsSync(join(there.home, STATE_FILE))]).toEqual([{ SSE_RESUME_SECRET: OLD }, false]);
});

test("a previous secret whose tokens may live is not dropped unasked", async () => {
  const there = cloud({
    SSE_RESUME_SECRET: OLD,
    SSE_RESUME_SECRET_PREVIOUS: "older-secret-0123456789abcdef0123456789abcd",
  });
  const options = { answer: (request: Request) => deployedAnswer(request, there), env: there.env };
  const refused = await runHere(["rotate", "--gradual", "--no-wait", ...keeping(there)], options);
  expect([refused.code, refused.stderr]).toEqual([EXIT.failed, expect.stringContaining("--replace-previous")]);
  const replace = ["rotate", "--gradual", "--no-wait", "--replace-previous", ...keeping(there)];
  // Without an admin token nobody sees which of the two signs.
  const unseen = await runHere(replace, options);
  expect([unseen.code, unseen.stderr]).toEqual([EXIT.failed, expect.stringContaining("only with an admin token")]);
  const env = { ...there.env, SPILLWAY_ADMIN_TOKEN: CLI_TOKEN };
  const wrong = { ...env, SPILLWAY_CURRENT_RESUME_SECRET: "older-secret-0123456789abcdef0123456789abcd" };
  const mistaken = await runHere([...replace, "--timeout-sec", "1"], { ...options, env: wrong });
  expect([mistaken.code, mistaken.stderr]).toEqual([EXIT.failed, expect.stringContaining("Nothing was changed")]);
  expect(there.secrets()["SSE_RESUME_SECRET"]).toBe(OLD);
  const taken = await runHere(replace, { ...options, env });
  expect(taken.code, taken.stderr).toBe(EXIT.partial);
});

test("a dry run changes nothing, and an immediate rotation has to be confirmed", async () => {
  const there = cloud({ SSE_RESUME_SECRET: OLD, HMAC_SECRET: "ids" });
  const options = { answer: (request: Request) => deployedAnswer(request, there), env: there.env };
  const dry = await runHere(["rotate", "--gradual", "--dry-run", ...keeping(there)], options);
  expect([dry.code, dry.stdout]).toEqual([EXIT.ok, expect.stringContaining("Nothing was changed.")]);
  expect((await runHere(["rotate", "--immediate", ...keeping(there)], options)).code).toBe(EXIT.usage);
  expect((await runHere(["rotate", "--rollback", ...keeping(there)], options)).code).toBe(EXIT.failed);
  expect((await runHere(["rotate", "--gradual", "--immediate"], options)).code).toBe(EXIT.usage);
  expect(there.secrets()).toEqual({ SSE_RESUME_SECRET: OLD, HMAC_SECRET: "ids" });
  const done = await runHere(["rotate", "--immediate", "--yes", ...keeping(there)], options);
  expect(done.code, done.stderr).toBe(EXIT.ok);
  expect(done.stderr).toContain("Every resume token that is out dies now");
  expect(Object.keys(there.secrets()).toSorted()).toEqual(["HMAC_SECRET", "SSE_RESUME_SECRET"]);
  expect(there.secrets()["SSE_RESUME_SECRET"]).not.toBe(OLD);
});
