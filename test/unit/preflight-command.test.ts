/**
 * `npm run preflight` and `npm run deploy` as commands: exit codes, output, and what of wrangler they run. The
 * wrangler on the path is a fake that notes its calls.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";

import { expect, test } from "vitest";

import { FULL_ACCOUNT, ROOT, writeFakeWrangler, type Account } from "../fixtures/preflight-project.ts";

const STAGING_BUCKETS = ["spillway-staging-lake", "spillway-staging-archive"];

function command(
  script: string,
  args: readonly string[],
  { account = {}, shell = {} }: { account?: Partial<Account>; shell?: Readonly<Record<string, string>> } = {},
) {
  const folder = mkdtempSync(join(tmpdir(), "spillway-command-"));
  try {
    const wrangler = writeFakeWrangler(folder, { ...FULL_ACCOUNT, buckets: STAGING_BUCKETS, ...account });
    const { CLOUDFLARE_ENV: _, WORKERS_CI: __, ...inherited } = process.env;
    const { status, stdout, stderr } = spawnSync(process.execPath, [join(ROOT, "scripts", script), ...args], {
      encoding: "utf8",
      env: { ...inherited, PATH: `${wrangler.path}${delimiter}${process.env["PATH"] ?? ""}`, ...shell },
    });
    const calls = existsSync(wrangler.calls) ? readFileSync(wrangler.calls, "utf8").trim().split("\n") : [];
    return { status, stdout, stderr, calls };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

test("preflight only looks: who is logged in, the environment's secrets, the buckets", () => {
  const { status, stdout, calls } = command("preflight.ts", ["--env", "staging", "--json"]);
  expect(status).toBe(0);
  expect(calls).toEqual(["whoami --json", "secret list --format json --env staging", "r2 bucket list"]);
  expect(JSON.parse(stdout)).toMatchObject({ ok: true, environment: "staging", worker: "spillway-staging", failed: 0 });
});

test("preflight fails with 1 where something is missing, and with 2 where the command is wrong", () => {
  const missing = command("preflight.ts", ["--env", "staging"], { account: { secrets: [], buckets: [] } });
  expect(missing.status).toBe(1);
  expect(missing.stdout).toContain("→ npx wrangler secret put ADMIN_TOKEN --env staging");
  expect(missing.stdout).toContain("→ npx wrangler r2 bucket create spillway-staging-lake");
  expect(missing.stdout).toContain("Do not deploy yet: 5 failed");
  const unknown = command("preflight.ts", ["--env", "nowhere"]);
  expect(unknown).toMatchObject({ status: 2, calls: [] });
  expect(unknown.stderr).toContain('["staging","production"]');
  expect(command("preflight.ts", ["--verbose"]).status).toBe(2);
});

test("both commands explain themselves", () => {
  for (const script of ["preflight.ts", "deploy.ts"]) {
    const { status, stdout, calls } = command(script, ["--help"]);
    expect({ status, calls }).toEqual({ status: 0, calls: [] });
    expect(stdout).toContain("-- --env production");
  }
});

test("production does not pass as it comes: a route of one's own is needed first", () => {
  const account = { buckets: ["spillway-production-lake", "spillway-production-archive"] };
  const { status, stdout, calls } = command("deploy.ts", ["--env", "production"], { account });
  expect(status).toBe(1);
  expect(stdout).toContain("configuration: ROUTES: found an array of 0");
  expect(calls).not.toContain("deploy --env production");
});

test("deploy uploads after a preflight that passes, with all its arguments, and nothing without a name", () => {
  const passed = command("deploy.ts", ["--env", "staging", "--message", "first"]);
  expect(passed.status).toBe(0);
  expect(passed.calls.at(-1)).toBe("deploy --env staging --message first");
  expect(command("deploy.ts", [])).toMatchObject({ status: 2, calls: [] });
});

test("in Cloudflare's own builds the top level is deployed, and nobody is asked", () => {
  const { status, stdout, calls } = command("deploy.ts", [], { shell: { WORKERS_CI: "1" } });
  expect({ status, calls }).toEqual({ status: 0, calls: ["deploy --env="] });
  expect(stdout).toContain("secrets: offline. Needed: SSE_RESUME_SECRET");
});
