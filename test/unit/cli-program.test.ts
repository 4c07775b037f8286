/**
 * scripts/spillway against a service that is a function: exit codes, files, retries, confirmations, and no
 * secret in what it prints.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";

import { expect, test } from "vitest";

import { EXIT } from "../../scripts/cli/exit-codes.ts";
import { CLI_TOKEN, runHere } from "../fixtures/cli-run.ts";
import { exportText } from "../fixtures/export-text.ts";

const REPORT = {
  ok: true,
  shards: [{ name: "shard-0", shard: "0-ab", events: 3, files: 1, bytes: 2048, remaining: 0, error: null }],
  failed: [],
  snapshot_id: "123",
  committed_files: 1,
  committed_records: 3,
  remaining_events: 0,
  staged_files: 0,
  commit_error: null,
};

function problem(status: number, code: string, members: object = {}, headers: Record<string, string> = {}): Response {
  const body = {
    type: `urn:${code}`,
    title: "Title",
    status,
    code,
    detail: "Detail.",
    request_id: "req-1",
    ...members,
  };
  return Response.json(body, { status, headers });
}

function folder(): string {
  return mkdtempSync(join(tmpdir(), "spillway-cli-"));
}

test("flush exits with 0 when all is written, with 5 when some is not", async () => {
  const requests: string[] = [];
  const answer = (request: Request) => {
    requests.push(`${request.method} ${request.url} ${request.headers.get("authorization")}`);
    return Response.json(REPORT);
  };
  const done = await runHere(["flush", "--shard", "0"], { answer });
  expect([done.code, done.stderr]).toEqual([EXIT.ok, ""]);
  expect(done.stdout).toContain("Committed 3 records in 1 files; snapshot 123.");
  expect(requests).toEqual([`POST http://127.0.0.1:8787/admin/flush?shard=0 Bearer ${CLI_TOKEN}`]);
  const failed = { ...REPORT, ok: false, failed: ["shard-0"], commit_error: "no" };
  const partly = await runHere(["flush", "--json"], { answer: () => Response.json(failed, { status: 207 }) });
  expect([partly.code, JSON.parse(partly.stdout)]).toEqual([EXIT.partial, failed]);
});

test.each([
  [() => problem(401, "unauthorized"), EXIT.unauthorized, "Title: Detail.\n(unauthorized, request req-1)\n"],
  [() => problem(403, "csrf"), EXIT.unauthorized, "csrf"],
  [() => problem(503, "misconfigured"), EXIT.failed, "misconfigured"],
  [() => new Response("<html>", { status: 502 }), EXIT.failed, "The service answered 502."],
  [
    () => new Response(null, { status: 302, headers: { Location: "http://evil.test/" } }),
    EXIT.failed,
    "points elsewhere",
  ],
  [() => new Response("<html>"), EXIT.failed, "does not answer as Spillway does"],
  [() => Promise.reject(new TypeError("fetch failed")), EXIT.unreachable, "cannot be reached"],
])("a refusal has its exit code and is explained (%#)", async (answer, code, text) => {
  const ran = await runHere(["status"], { answer });
  expect([ran.code, ran.stdout]).toEqual([code, ""]);
  expect(ran.stderr).toContain(text);
});

test("with --json a refusal is JSON on stderr, with the problem's members", async () => {
  const { stderr } = await runHere(["status", "--json"], {
    answer: () => problem(409, "some_code", { expected: "x" }),
  });
  expect(JSON.parse(stderr)).toEqual({
    error: {
      message: "Title: Detail.",
      exit_code: 1,
      status: 409,
      title: "Title",
      detail: "Detail.",
      code: "some_code",
      request_id: "req-1",
      expected: "x",
    },
  });
});

function echo(request: Request): Response {
  return problem(400, "invalid_request", { detail: `you sent ${request.headers.get("authorization")}` });
}

test("the token is never printed, also where the service or a file sends it back", async () => {
  const token = "given-admin-token-0123456789abcdef0123456789abcd";
  const file = join(folder(), "token");
  writeFileSync(file, `${token}\n`);
  for (const args of [
    ["--token", token],
    ["--token-file", file],
    ["--token-file", "-"],
  ]) {
    const { stdout, stderr, code } = await runHere(["status", "--json", ...args], { answer: echo, input: token });
    expect(code).toBe(EXIT.failed);
    expect(stdout + stderr).not.toContain(token);
    expect(stderr).toContain("Bearer [secret]");
  }
  const broken = await runHere(["status", "--token", "new\nline"], { answer: echo });
  expect([broken.code, broken.stderr.includes("new\nline")]).toEqual([EXIT.usage, false]);
});

function noAlerts(): Response {
  return Response.json({ firing: [], recent: [] });
}

test("the token goes unencrypted to this machine alone, and not at all to a URL with credentials", async () => {
  const answer = noAlerts;
  expect((await runHere(["alerts", "--url", "http://example.com"], { answer })).code).toBe(EXIT.usage);
  expect((await runHere(["alerts", "--url", "http://u:p@127.0.0.1"], { answer })).code).toBe(EXIT.usage);
  expect((await runHere(["alerts", "--url", "file:///etc"], { answer })).code).toBe(EXIT.usage);
  expect((await runHere(["alerts", "--url", "http://example.com", "--allow-http"], { answer })).code).toBe(EXIT.ok);
  expect((await runHere(["alerts", "--url", "https://example.com"], { answer })).code).toBe(EXIT.ok);
});

test(".dev.vars opens a service on this machine, and is never sent to another", async () => {
  const home = folder();
  writeFileSync(join(home, ".dev.vars"), 'ADMIN_TOKENS=\'{"me":["local-token-0123456789abcdef012345678"]}\'\n');
  const env = { SPILLWAY_ADMIN_TOKEN: "" };
  const sent: (string | null)[] = [];
  const answer = (request: Request) => {
    sent.push(request.headers.get("authorization"));
    return noAlerts();
  };
  expect((await runHere(["alerts"], { answer, env, folder: home })).code).toBe(EXIT.ok);
  const remote = await runHere(["alerts", "--url", "https://example.com"], { answer, env, folder: home });
  expect(remote.code).toBe(EXIT.unauthorized);
  expect(sent).toEqual(["Bearer local-token-0123456789abcdef012345678"]);
});

test("an export gets its name once its checksum holds, compressed where the name says so", async () => {
  const home = folder();
  const text = exportText(1200);
  const answer = () => new Response(text);
  for (const name of ["a.ndjson", "a.ndjson.gz"]) {
    const out = join(home, name);
    const { code, stdout, stderr } = await runHere(["export", "--out", out, "--progress"], { answer });
    expect(code, stderr).toBe(EXIT.ok);
    expect(stdout).toContain("Exported 1,200 events");
    expect(stderr).toContain("1,000 of 1,200 events");
    const found = readFileSync(out);
    expect((name.endsWith(".gz") ? gunzipSync(found) : found).toString()).toBe(text);
    expect(statSync(out).mode & 0o777).toBe(0o600);
  }
  const again = await runHere(["export", "--out", join(home, "a.ndjson")], { answer });
  expect([again.code, again.stderr]).toEqual([EXIT.usage, expect.stringContaining("--force")]);
  expect((await runHere(["export", "--out", join(home, "a.ndjson"), "--force"], { answer })).code).toBe(EXIT.ok);
  expect((await runHere(["export"], { answer })).stdout).toBe(text);
});

test("an export that is cut, changed or cannot be written leaves no file", async () => {
  const home = folder();
  const text = exportText(50);
  const cut = () =>
    new Response(
      new ReadableStream({
        start: (controller) => controller.enqueue(Buffer.from(text.slice(0, 500))),
        pull: (controller) => controller.error(new Error("gone")),
      }),
    );
  const answers = [cut, () => new Response(text.slice(0, -80)), () => new Response(text.replace('n\\":3', 'n\\":4'))];
  for (const answer of answers) {
    const { code, stderr } = await runHere(["export", "--out", join(home, "x.ndjson")], { answer });
    expect([code, stderr]).toEqual([EXIT.failed, expect.stringMatching(/not whole|cut short/)]);
  }
  const nowhere = await runHere(["export", "--out", join(home, "no/such/x")], { answer: () => new Response(text) });
  expect([nowhere.code, nowhere.stderr]).toEqual([EXIT.failed, expect.stringContaining("ENOENT")]);
  expect(readdirSync(home)).toEqual([]);
});

test("a replay sends the events alone, waits when it is told to, and counts", async () => {
  const file = join(folder(), "x.ndjson.gz");
  writeFileSync(file, gzipSync(exportText(4)));
  const answers = [
    problem(429, "buffer_full", {}, { "Retry-After": "7" }),
    problem(503, "storage_unavailable"),
    Response.json({ events: 4, accepted: 2, duplicates: 1, rejected: [{ line: 3, detail: "bad" }], rejected_lines: 1 }),
  ];
  const bodies: string[] = [];
  const waits: number[] = [];
  const answer = async (request: Request) => {
    bodies.push(await request.text());
    return answers.shift() ?? Response.error();
  };
  const { code, stdout } = await runHere(["replay", file, "--json"], { answer, waits });
  expect(code).toBe(EXIT.partial);
  // Line 3 of what was sent is line 4 of the file, which has a header.
  expect(JSON.parse(stdout)).toEqual({
    events: 4,
    accepted: 2,
    duplicates: 1,
    rejected: [{ line: 4, detail: "bad" }],
    rejected_lines: 1,
  });
  expect(waits).toEqual([7000, 5000]);
  expect(new Set(bodies).size).toBe(1);
  expect(
    bodies[0]
      ?.split("\n")
      .filter(Boolean)
      .map((line) => Object.keys(JSON.parse(line) as object)),
  ).toEqual(Array.from({ length: 4 }, () => ["shard", "seq", "event"]));
});

test("a replay of a damaged file sends nothing", async () => {
  const home = folder();
  const damaged = [exportText(3).replace('n\\":2', 'n\\":9'), exportText(3).slice(0, -90), "{}\n"];
  for (const [at, text] of damaged.entries()) {
    const file = join(home, String(at));
    writeFileSync(file, text);
    expect((await runHere(["replay", file])).code).toBe(EXIT.failed);
  }
  writeFileSync(join(home, "x.gz"), "no gzip");
  expect((await runHere(["replay", join(home, "x.gz")])).stderr).toContain("cannot be read");
  expect((await runHere(["replay", join(home, "missing")])).code).toBe(EXIT.usage);
});

function twoTaken(): Response {
  return Response.json({ events: 2, accepted: 2, duplicates: 0, rejected: [], rejected_lines: 0 });
}

test("picked lines are sent where that is asked for, and a wrong checksum never", async () => {
  const file = join(folder(), "picked");
  const lines = exportText(3).split(/(?<=\n)/);
  writeFileSync(file, lines.slice(1, 3).join(""));
  expect((await runHere(["replay", file])).code).toBe(EXIT.failed);
  expect((await runHere(["replay", file, "--without-checksum"], { answer: twoTaken })).code).toBe(EXIT.ok);
  writeFileSync(file, [...lines.slice(1, 3), lines.at(-1)].join(""));
  expect((await runHere(["replay", file, "--without-checksum"])).code).toBe(EXIT.failed);
});

test("a replay that stops midway says how far it came, with 5", async () => {
  const file = join(folder(), "large.ndjson");
  const wide = exportText(3)
    .split(/(?<=\n)/)
    .slice(1, 4)
    .map((line) => line.replace("test/cli", "x".repeat(5_000_000)));
  writeFileSync(file, wide.join(""));
  const answers = [
    Response.json({ events: 1, accepted: 1, duplicates: 0, rejected: [], rejected_lines: 0 }),
    problem(400, "invalid_request"),
  ];
  const { code, stderr } = await runHere(["replay", file, "--without-checksum"], {
    answer: () => answers.shift() ?? Response.error(),
  });
  expect([code, stderr]).toEqual([EXIT.partial, expect.stringContaining("1 of 3 events were sent before")]);
});

/** A shard that asks for its name and count. */
function resettable(expected: string, confirms: unknown[]) {
  return async (request: Request) => {
    const { confirm } = (await request.json()) as { confirm?: string };
    confirms.push(confirm);
    if (confirm !== expected) return problem(409, "confirmation_needed", { expected });
    return Response.json({ shard: "0-ab", events: 5, bytes: 100, exports: ["exports/0-ab/x-1.ndjson"] });
  };
}

test.each([
  [["--confirm", "0-ab 5"], undefined, EXIT.ok, ["0-ab 5"]],
  [["--yes"], undefined, EXIT.ok, [undefined, "0-ab 5"]],
  [[], "0-ab 5\n", EXIT.ok, [undefined, "0-ab 5"]],
  [[], "yes\n", EXIT.failed, [undefined]],
  [["--confirm", "0-ab 4"], undefined, EXIT.failed, ["0-ab 4"]],
  [[], undefined, EXIT.usage, []],
])("reset %j with %j typed: what is dropped is what was confirmed", async (args, typed, code, expected) => {
  const confirms: unknown[] = [];
  const options = { answer: resettable("0-ab 5", confirms), ...(typed === undefined ? {} : { typed }) };
  const ran = await runHere(["reset", "--shard", "0", ...args], options);
  expect([ran.code, confirms], ran.stderr).toEqual([code, expected]);
  expect(ran.stdout.includes("exports/0-ab/x-1.ndjson")).toBe(code === EXIT.ok);
});

test("--yes gives up on a shard whose count keeps changing", async () => {
  let events = 0;
  const { code, stderr } = await runHere(["reset", "--shard", "0", "--yes"], {
    answer: () => problem(409, "confirmation_needed", { expected: `0-ab ${++events}` }),
  });
  expect([code, stderr]).toEqual([EXIT.failed, expect.stringContaining('--confirm "0-ab 3"')]);
});

test("an interrupted command ends with 130 and leaves no file", async () => {
  const home = folder();
  const abort = new AbortController();
  const answer = (request: Request) => {
    abort.abort();
    return Promise.reject(request.signal.reason as Error);
  };
  const out = join(home, "x");
  const ran = await runHere(["export", "--out", out], { answer, signal: abort.signal });
  expect([ran.code, existsSync(out), readdirSync(home)]).toEqual([EXIT.interrupted, false, []]);
});

test("a token that was minted verifies, and what is wrong with another is said; no secret is printed", async () => {
  const secrets = { SSE_RESUME_SECRET: "cli-secret-now-0123456789abcdef0123456789abcd" };
  const mint = ["token", "mint", "--request-id", "r1", "--route", "demo", "--position", "1-7", "--ttl-sec", "60"];
  const minted = await runHere(mint, { env: secrets });
  const token = minted.stdout.trim();
  const verify = (env: Record<string, string>, given = token, laterMs = 0) =>
    runHere(["token", "verify", "-", "--json"], { env, input: given, nowMs: () => Date.now() + laterMs });
  const good = await verify(secrets);
  expect([good.code, JSON.parse(good.stdout)]).toEqual([
    EXIT.ok,
    expect.objectContaining({ valid: true, request_id: "r1", route: "demo", tenant: "default", position: "1-7" }),
  ]);
  const next = { SSE_RESUME_SECRET: "cli-secret-next-0123456789abcdef0123456789abc" };
  const outcomes = [
    await verify(next),
    await verify({ ...next, SSE_RESUME_SECRET_PREVIOUS: secrets.SSE_RESUME_SECRET }),
    await verify(secrets, token, 120_000),
    await verify(secrets, `${token.slice(0, -2)}AA`),
    await verify(secrets, "nonsense"),
  ];
  const said = outcomes.map(({ code, stdout }) => [code, (JSON.parse(stdout) as { reason: string }).reason]);
  expect(said.map(([code]) => code)).toEqual([1, 0, 1, 1, 1]);
  expect(said.map(([, reason]) => /\((?:410 )?(\w+)\)|accepted/.exec(String(reason))?.[1])).toEqual([
    "unknown_key",
    undefined,
    "token_expired",
    "bad_signature",
    "malformed",
  ]);
  const printed = [minted, good, ...outcomes].map(({ stdout, stderr }) => stdout + stderr).join("");
  expect(printed).not.toContain("cli-secret");
  const none = await runHere(["token", "verify", token]);
  expect([none.code, none.stderr]).toEqual([EXIT.failed, expect.stringContaining("No SSE_RESUME_SECRET")]);
});

test("a tail from stdin prints what fits, one record a line", async () => {
  const records = [
    { event: "SseResumeFailed", route: "demo", code: "token_expired" },
    { event: "SseStreamStarted", route: "demo" },
  ];
  const input = JSON.stringify({ logs: [{ message: records.map((record) => JSON.stringify(record)) }] }, null, 2);
  const { code, stdout } = await runHere(["tail", "-", "--event", "SseResumeFailed", "--json"], { input });
  expect([code, JSON.parse(stdout)]).toEqual([EXIT.ok, records[0]]);
});
