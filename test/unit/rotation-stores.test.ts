/**
 * Where a rotation keeps secrets: `.dev.vars`, Cloudflare by wrangler (a stand-in that records what it is given), and
 * its own state.
 */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { parseEnv } from "node:util";

import { expect, test } from "vitest";

import { createKeyRing, verifyToken } from "../../protocol/resume-token.ts";
import { EXIT } from "../../scripts/cli/exit-codes.ts";
import { editDevVars } from "../../scripts/rotation/dev-vars-text.ts";
import { DevVarsStore } from "../../scripts/rotation/dev-vars-store.ts";
import { lock, readState, STATE_FILE, writeState } from "../../scripts/rotation/state-file.ts";
import { runHere } from "../fixtures/cli-run.ts";

const OLD = "old-resume-secret-0123456789abcdef0123456789abc";
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

/** Keeps secrets in a file, and notes each call with its arguments and input. */
const FAKE_WRANGLER = `#!/usr/bin/env node
const fs = require("node:fs");
const args = process.argv.slice(2);
const input = fs.readFileSync(0, "utf8");
fs.appendFileSync(process.env.FAKE_CALLS, JSON.stringify({ args, input }) + "\\n");
const path = process.env.FAKE_SECRETS;
const secrets = JSON.parse(fs.readFileSync(path, "utf8"));
if (args[1] === "list") console.log(JSON.stringify(Object.keys(secrets).map((name) => ({ name, type: "secret_text" }))));
else if (process.env.FAKE_FAILS) {
  console.error("cannot set " + input);
  process.exit(1);
} else {
  for (const [name, value] of Object.entries(JSON.parse(input))) {
    if (value === null) delete secrets[name];
    else secrets[name] = value;
  }
  fs.writeFileSync(path, JSON.stringify(secrets));
}
`;

interface Cloud {
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly home: string;
  secrets(): Record<string, string>;
  calls(): { readonly args: readonly string[]; readonly input: string }[];
}

function cloud(secrets: Readonly<Record<string, string>>): Cloud {
  const home = folder();
  const bin = join(home, "bin");
  mkdirSync(bin);
  writeFileSync(join(bin, "wrangler"), FAKE_WRANGLER);
  chmodSync(join(bin, "wrangler"), 0o755);
  const [kept, calls] = [join(home, "secrets.json"), join(home, "calls.jsonl")];
  writeFileSync(kept, JSON.stringify(secrets));
  writeFileSync(calls, "");
  const vars = { SSE_RESUME_TTL_SEC: 3, ROUTES: [{ name: "demo" }] };
  writeFileSync(join(home, "wrangler.jsonc"), JSON.stringify({ name: "x", env: { staging: { vars } } }));
  const path = [bin, dirname(process.execPath), process.env["PATH"] ?? ""].join(delimiter);
  return {
    home,
    args: [
      "--env",
      "staging",
      "--folder",
      home,
      "--url",
      "https://stream.example.com",
      "--rounds",
      "2",
      "--margin-sec",
      "0",
      "--save-secret",
      join(home, "next.txt"),
    ],
    env: {
      PATH: path,
      FAKE_CALLS: calls,
      FAKE_SECRETS: kept,
      SPILLWAY_CURRENT_RESUME_SECRET: OLD,
      SPILLWAY_ADMIN_TOKEN: "",
    },
    secrets: () => JSON.parse(readFileSync(kept, "utf8")) as Record<string, string>,
    calls: () =>
      readFileSync(calls, "utf8")
        .split("\n")
        .filter(Boolean)
        .map((line) => JSON.parse(line) as { args: readonly string[]; input: string }),
  };
}

/** A deployed service that has whatever secrets the cloud has. */
async function deployedAnswer(request: Request, there: Cloud): Promise<Response> {
  const { SSE_RESUME_SECRET: first = "", SSE_RESUME_SECRET_PREVIOUS: second } = there.secrets();
  const verdict = await verifyToken(
    await createKeyRing(first, second),
    request.headers.get("x-resume-token") ?? "",
    Date.now(),
  );
  const [status, code] = verdict.ok ? [410, "stream_expired"] : [401, "token_invalid"];
  return Response.json({ title: "t", code }, { status });
}

test("where deployed, secrets go by stdin, both in one change, and never by an argument", async () => {
  const there = cloud({ SSE_RESUME_SECRET: OLD, HMAC_SECRET: "ids", OTHER: "x" });
  const options = { answer: (request: Request) => deployedAnswer(request, there), env: there.env };
  const first = await runHere(["rotate", "--gradual", "--no-wait", ...there.args], options);
  expect(first.code, first.stderr).toBe(EXIT.partial);
  const between = there.secrets();
  expect(between).toMatchObject({ SSE_RESUME_SECRET_PREVIOUS: OLD, HMAC_SECRET: "ids", OTHER: "x" });
  const last = await runHere(["rotate", "--gradual", ...there.args], options);
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
  const failed = await runHere(["rotate", "--gradual", "--no-wait", ...there.args], {
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
  const again = await runHere(["rotate", "--gradual", "--no-wait", ...there.args], { answer, env: there.env });
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
  const ran = await runHere(["rotate", "--gradual", ...there.args, "--timeout-sec", "1", ...args], {
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
  const refused = await runHere(["rotate", "--gradual", "--no-wait", ...there.args], options);
  expect([refused.code, refused.stderr]).toEqual([EXIT.failed, expect.stringContaining("--replace-previous")]);
  const taken = await runHere(["rotate", "--gradual", "--no-wait", "--replace-previous", ...there.args], options);
  expect(taken.code, taken.stderr).toBe(EXIT.partial);
});

test("a dry run changes nothing, and an immediate rotation has to be confirmed", async () => {
  const there = cloud({ SSE_RESUME_SECRET: OLD, HMAC_SECRET: "ids" });
  const options = { answer: (request: Request) => deployedAnswer(request, there), env: there.env };
  const dry = await runHere(["rotate", "--gradual", "--dry-run", ...there.args], options);
  expect([dry.code, dry.stdout]).toEqual([EXIT.ok, expect.stringContaining("Nothing was changed.")]);
  expect((await runHere(["rotate", "--immediate", ...there.args], options)).code).toBe(EXIT.usage);
  expect((await runHere(["rotate", "--rollback", ...there.args], options)).code).toBe(EXIT.failed);
  expect((await runHere(["rotate", "--gradual", "--immediate"], options)).code).toBe(EXIT.usage);
  expect(there.secrets()).toEqual({ SSE_RESUME_SECRET: OLD, HMAC_SECRET: "ids" });
  const done = await runHere(["rotate", "--immediate", "--yes", ...there.args], options);
  expect(done.code, done.stderr).toBe(EXIT.ok);
  expect(done.stderr).toContain("Every resume token that is out dies now");
  expect(Object.keys(there.secrets()).toSorted()).toEqual(["HMAC_SECRET", "SSE_RESUME_SECRET"]);
  expect(there.secrets()["SSE_RESUME_SECRET"]).not.toBe(OLD);
});
