/**
 * RUNBOOK.md, command by command: what it tells an operator to type works as it stands there.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

import { startLakeService, type LakeService } from "../fixtures/lake-service.ts";
import { numberedEvents, sendEvents } from "../fixtures/lake-client.ts";
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

test("it has commands, and every section of an alert has some", () => {
  expect(local.length).toBeGreaterThan(15);
  expect(new Set(local.map(({ section }) => section)).size).toBeGreaterThan(10);
});

test.each(local.map((block) => [`line ${block.line}, ${block.section}`, block] as const))("%s", async (_, block) => {
  await sendEvents(service, numberedEvents(`/runbook/${block.line}`, 3));
  const { end, ...stream } = await startStream();
  try {
    // Whoever asks on a terminal is answered there; here is none.
    const commands = block.commands.map((command) =>
      /spillway (reset|dead-letters purge)/.test(command) ? `${command} --yes` : command,
    );
    const env = {
      ...TEST_SECRETS,
      ...stream,
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

test.each(production.flatMap(({ section, commands }) => commands.map((command) => [command, section] as const)))(
  "%s (%s): the command and its options exist",
  async (command) => {
    const words = command.split(/\s+/);
    if (words[0] === "npx") {
      const names = words.slice(1).filter((word) => !word.startsWith("-"));
      // wrangler itself says what it knows; what follows the command's own name is a value.
      const help = await run("npm", ["exec", "--", ...names.slice(0, 3), "--help"]);
      const [, first = "", second = ""] = names;
      expect(help).toMatchObject({ code: 0 });
      expect(help.stdout).toContain(`wrangler ${/^[a-z-]+$/.test(second) ? `${first} ${second}` : first}`);
      return;
    }
    const [, script = ""] = /^npm run ([\w:-]+)/.exec(command) ?? [];
    const options = words.filter((word) => word.startsWith("--") && word !== "--");
    const help = await run("npm", ["run", "--silent", script, "--", "--help"]);
    expect(help).toMatchObject({ code: 0 });
    for (const option of options) expect(help.stdout).toContain(option);
  },
);
