/**
 * RUNBOOK.md, command by command: what it tells an operator to type works as it stands there.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

import { startLakeService, type LakeService } from "../fixtures/lake-service.ts";
import { callAdmin, numberedEvents, sendEvents } from "../fixtures/lake-client.ts";
import { liveSource } from "../fixtures/live-source.ts";
import { run, ROOT, runbookBlocks, runCommands } from "../fixtures/runbook-commands.ts";
import { TEST_SECRETS } from "../fixtures/test-secrets.ts";
import { startUpstream, type Upstream } from "../fixtures/upstream.ts";

const blocks = runbookBlocks();
const local = blocks.filter(({ isProduction }) => !isProduction);
const production = blocks.filter(({ isProduction }) => isProduction);

let folder: string;
let upstream: Upstream;
let service: LakeService;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "spillway-runbook-"));
  upstream = await startUpstream();
  const ROUTES = [{ name: "chat", upstream: `${upstream.origin}/chat` }];
  service = await startLakeService({ vars: { ROUTES } });
});

afterAll(async () => {
  await service.stop();
  await upstream.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** A stream that runs, with a reader, and what an operator knows of it. */
async function startStream(): Promise<{ REQUEST_ID: string; RESUME_TOKEN: string; end: () => void }> {
  const source = liveSource();
  upstream.handle(source.handler);
  const leaving = new AbortController();
  const answer = fetch(`${service.origin}/chat/stream`, { method: "POST", signal: leaving.signal });
  await source.open();
  const { headers } = await answer;
  const [REQUEST_ID, RESUME_TOKEN] = [headers.get("x-request-id") ?? "", headers.get("x-resume-token") ?? ""];
  const end = () => {
    leaving.abort();
    source.end();
  };
  return { REQUEST_ID, RESUME_TOKEN, end };
}

/** What a reset has written. */
async function resetShard(): Promise<string> {
  const refused = await callAdmin(service, "buffer/reset?shard=0", { body: "{}" });
  const { expected: confirm } = (await refused.json()) as { expected: string };
  const answer = await callAdmin(service, "buffer/reset?shard=0", { body: JSON.stringify({ confirm }) });
  return ((await answer.json()) as { exports: string[] }).exports[0] ?? "";
}

const PARTS = ["Meaning", "Confirm", "Causes", "Act", "Recover", "Escalate", "Prevent"];
/** What an alert names, and stuck streams. */
const INCIDENTS = [
  "Buffer fills",
  "Flushes fail",
  "The catalog fails",
  "Dead letters",
  "Resumes fail",
  "Readers see gaps",
  "Storage fails",
  "Streams or readers are stuck",
  "Telemetry is dropped",
];

test.each(INCIDENTS)("%s: has commands and every part", (incident) => {
  const text = readFileSync(join(ROOT, "RUNBOOK.md"), "utf8");
  const section = text.split("\n## ").find((part) => part.startsWith(`${incident}\n`)) ?? "";
  expect(PARTS.filter((part) => !section.includes(`**${part}`))).toEqual([]);
  expect(local.some((block) => block.section === incident)).toBe(true);
});

test.each(local.map((block) => [`line ${block.line}, ${block.section}`, block] as const))("%s", async (_, block) => {
  await sendEvents(service, numberedEvents(`/runbook/${block.line}`, 3));
  const { end, ...stream } = await startStream();
  const needsExport = block.commands.some((command) => command.includes("$EXPORT_KEY"));
  const exported = needsExport ? { EXPORT_KEY: await resetShard() } : {};
  try {
    // Whoever asks on a terminal is answered there; here is none.
    const commands = block.commands.map((command) =>
      /spillway (reset|dead-letters purge)/.test(command) ? `${command} --yes` : command,
    );
    const env = {
      ...TEST_SECRETS,
      ...stream,
      ...exported,
      // In the place of a .dev.vars, which a fresh clone has not.
      CLOUDFLARE_INCLUDE_PROCESS_ENV: "true",
      CLIENT_KEYS: JSON.stringify({ acme: ["runbook-client-key-0123456789"] }),
      SPILLWAY_URL: service.origin,
      SPILLWAY_ADMIN_TOKEN: TEST_SECRETS.ADMIN_TOKEN,
      ROOT,
    };
    // Files land in a folder of their own.
    const script = commands.map((command) => command.replaceAll("shard-0.ndjson", join(folder, "shard-0.ndjson")));
    const outcome = await runCommands(script, { folder, env, logLines: () => service.lines });
    expect(outcome, `${commands.join("\n")}\n${outcome.stderr}`).toMatchObject({ code: 0 });
    expect(`${outcome.stdout}${outcome.stderr}`.trim(), "says something").not.toBe("");
    for (const secret of Object.values(TEST_SECRETS)) expect(outcome.stdout + outcome.stderr).not.toContain(secret);
  } finally {
    end();
  }
});

const deployed = production.flatMap(({ commands }) => commands).filter((command) => !command.startsWith("export "));
const ofWrangler = deployed.filter((command) => command.startsWith("npx "));
const ofOurs = deployed.filter((command) => command.startsWith("npm run "));

test("of the commands for a deployment each is one or the other's", () => {
  expect(ofWrangler.length + ofOurs.length).toBe(deployed.length);
});

test.each(ofWrangler)("%s: wrangler knows it", async (command) => {
  // What follows the command's own name is a value.
  const [, wrangler = "", ...names] = command.split(/\s+/).filter((word) => !word.startsWith("-"));
  const own = names.filter((word) => /^[a-z-]+$/.test(word)).slice(0, 2);
  const help = await run("npm", ["exec", "--", wrangler, ...own, "--help"]);
  expect(help).toMatchObject({ code: 0 });
  expect(help.stdout).toContain(`wrangler ${own.join(" ")}`);
});

test.each(ofOurs)("%s: it has these options", async (command) => {
  const [, script = ""] = /^npm run ([\w:-]+)/.exec(command) ?? [];
  const options = command.split(/\s+/).filter((word) => word.startsWith("--") && word !== "--");
  const help = await run("npm", ["run", "--silent", script, "--", "--help"]);
  expect(help).toMatchObject({ code: 0 });
  for (const option of options) expect(help.stdout).toContain(option);
});
