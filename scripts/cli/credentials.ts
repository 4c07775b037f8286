/**
 * Which service, and what opens it. The token goes to that service and nowhere else.
 */
import { readFileSync } from "node:fs";

import type { OptionValues } from "./arguments.ts";
import type { Host } from "./command.ts";
import { readDevVars } from "./dev-vars.ts";
import { CommandFailure, EXIT, usageFailure } from "./exit-codes.ts";
import type { Terminal } from "./terminal.ts";

const DEFAULT_URL = "http://127.0.0.1:8787";
const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/;

export interface Credentials {
  readonly origin: string;
  readonly token: string;
}

export async function readCredentials(
  values: OptionValues,
  host: Host,
  terminal: Terminal,
  url = readUrl(values, host),
): Promise<Credentials> {
  const token = await readToken(values, host, { url, terminal });
  terminal.hide(token);
  if (!isHeaderText(token)) throw usageFailure("The admin token holds characters that no token has.");
  if (url.protocol === "http:" && !isLoopback(url) && !values.flag("allow-http")) {
    throw usageFailure(
      `${url.origin} would be sent the token unencrypted. Use https, or --allow-http if that is meant.`,
    );
  }
  return { origin: url.origin, token };
}

export function readUrl(values: OptionValues, host: Host): URL {
  const text = values.text("url") ?? (host.env["SPILLWAY_URL"] || DEFAULT_URL);
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol)) throw usageFailure("--url takes an http or https URL.");
  if (url.username !== "" || url.password !== "")
    throw usageFailure("The URL carries no credentials: use --token-file.");
  return url;
}

export function isLoopback(url: URL): boolean {
  return LOOPBACK.test(url.hostname);
}

interface Place {
  readonly url: URL;
  readonly terminal: Terminal;
}

async function readToken(values: OptionValues, host: Host, { url, terminal }: Place): Promise<string> {
  const given = values.text("token");
  if (given !== undefined) {
    terminal.hide(given);
    terminal.note("--token shows the token to every user of this machine; --token-file does not.");
    return given;
  }
  const file = values.text("token-file");
  if (file !== undefined) return tokenIn(file, host);
  const fromEnvironment = host.env["SPILLWAY_ADMIN_TOKEN"] || undefined;
  if (fromEnvironment !== undefined) return fromEnvironment;
  const local = isLoopback(url) ? localToken(host) : undefined;
  if (local !== undefined) return local;
  throw new CommandFailure(
    EXIT.unauthorized,
    `No admin token for ${url.origin}: set SPILLWAY_ADMIN_TOKEN, or give --token-file.`,
  );
}

async function tokenIn(file: string, host: Host): Promise<string> {
  const text = file === "-" ? await readAll(host.stdin) : readFile(file);
  const token = text.trim();
  if (token === "") throw usageFailure("The token file is empty.");
  return token;
}

function readFile(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw usageFailure(`The token file cannot be read: ${(error as NodeJS.ErrnoException).code ?? "unknown"}.`);
  }
}

/** As the service reads it: `ADMIN_TOKEN`, or any of `ADMIN_TOKENS`. */
function localToken(host: Host): string | undefined {
  const vars = readDevVars(host.folder);
  const single = vars["ADMIN_TOKEN"] || undefined;
  if (single !== undefined) return single;
  try {
    const named = JSON.parse(vars["ADMIN_TOKENS"] ?? "{}") as Record<string, unknown>;
    return Object.values(named)
      .flat()
      .find((token) => typeof token === "string");
  } catch {
    // The service itself names the fault in /ready.
    return undefined;
  }
}

export async function readAll(stream: NodeJS.ReadableStream): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks).toString("utf8");
}

/** What `fetch` takes as a header's value; its own error would quote the token. */
function isHeaderText(token: string): boolean {
  return /^[\x21-\x7e]+$/.test(token);
}
