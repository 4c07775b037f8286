/**
 * `npm start`: the whole service on this machine, through `wrangler dev`.
 *
 * Makes development secrets on first start, into `.dev.vars`, which git ignores and which never
 * leaves the machine. Everything after `--` goes to wrangler as it is.
 */
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";

const SECRETS_FILE = ".dev.vars";
const HELP = `Starts Spillway on this machine: service, storage and demo page, no account, no network.

  npm start                                   on http://127.0.0.1:8787
  npm start -- --port 9000                    on another port
  npm start -- --persist-to ./state           keep streams in this folder
  npm start -- --var SSE_MAX_CLIENTS:5        set a variable (docs/configuration.md)
  npm start -- --var 'ROUTES:[{"name":"chat","upstream":"http://127.0.0.1:11434/api/chat"}]'

All other arguments reach "wrangler dev" as they are; npx wrangler dev --help lists them.`;

const args = process.argv.slice(2);
if (args.includes("--help") || args.includes("-h")) {
  console.log(HELP);
  process.exit(0);
}

const made = addDevelopmentSecrets();
if (made.length > 0) console.log(`Put ${made.join(", ")} into ${SECRETS_FILE}, for this machine alone.`);

const { values } = parseArgs({
  args,
  options: { port: { type: "string", default: "8787" }, ip: { type: "string", default: "127.0.0.1" } },
  strict: false,
});
const origin = `http://${String(values.ip)}:${String(values.port)}`;

const wrangler = spawn("wrangler", ["dev", ...defaultsFor(args), ...args], {
  stdio: "inherit",
  env: {
    ...process.env,
    // Neither statistics nor a look-up of request properties leave the machine.
    WRANGLER_SEND_METRICS: "false",
    CLOUDFLARE_CF_FETCH_ENABLED: "false",
  },
});
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => wrangler.kill(signal));
wrangler.on("error", (error) => {
  console.error(`wrangler did not start (${error.message}). Run npm ci first, and start with npm start.`);
  process.exit(1);
});
wrangler.on("exit", (code) => process.exit(code ?? 1));
announceWhenServing(origin);

/** Adds what the file lacks, and touches nothing that is there. */
function addDevelopmentSecrets(): string[] {
  const present = existsSync(SECRETS_FILE) ? readFileSync(SECRETS_FILE, "utf8") : "";
  const missing = {
    SSE_RESUME_SECRET: randomBytes(32).toString("base64url"),
    HMAC_SECRET: randomBytes(32).toString("base64url"),
    CLIENT_AUTH: "none",
    ADMIN_TOKEN: randomBytes(32).toString("base64url"),
    // Quoted, so that a shell can read the file as well.
    INGEST_KEYS: `'${JSON.stringify({ local: [randomBytes(24).toString("base64url")] })}'`,
    ICEBERG_READ_TOKEN: randomBytes(32).toString("base64url"),
  };
  const lines = Object.entries(missing).filter(([name]) => !new RegExp(`^\\s*${name}\\s*=`, "m").test(present));
  const text = lines.map(([name, value]) => `${name}=${value}\n`).join("");
  const separator = present === "" || present.endsWith("\n") ? "" : "\n";
  if (text !== "") writeFileSync(SECRETS_FILE, present + separator + text, { mode: 0o600 });
  return lines.map(([name]) => name);
}

/** Defaults for arguments that were not given. */
function defaultsFor(given: readonly string[]): string[] {
  const isGiven = (name: string) => given.some((arg) => arg === name || arg.startsWith(`${name}=`));
  const defaults = [];
  if (!isGiven("--port")) defaults.push("--port", "8787");
  if (!isGiven("--ip")) defaults.push("--ip", "127.0.0.1");
  if (!isGiven("--show-interactive-dev-session")) defaults.push("--show-interactive-dev-session=false");
  return defaults;
}

function announceWhenServing(url: string): void {
  let isAnnounced = false;
  const timer = setInterval(() => {
    fetch(`${url}/health`)
      .then(async (response) => {
        if (!response.ok || isAnnounced) return;
        isAnnounced = true;
        clearInterval(timer);
        console.log(`\nDemo page: ${url}/\nReadiness: ${url}/ready\n`);
        const ready = await fetch(`${url}/ready`);
        if (!ready.ok) console.log(`Not ready: ${await ready.text()}\n`);
      })
      // Not serving yet: the next look will tell.
      .catch(() => undefined);
  }, 250);
  timer.unref();
}
