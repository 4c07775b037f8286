/**
 * Secrets in a preflight: which are set, which are needed, and what stands in for one whose value cannot be
 * read back. No value is ever told.
 */
import type { Finding } from "./finding.ts";
import { LOCAL, type Target } from "./target.ts";

export type KnownSecrets =
  /** Of this machine: the values themselves. May hold variables that differ here, too. */
  | { readonly kind: "values"; readonly values: Readonly<Record<string, string>> }
  /** Of a deployed Worker: it tells names alone. */
  | { readonly kind: "names"; readonly names: readonly string[] }
  | { readonly kind: "unknown"; readonly why: string };

const JSON_SECRETS = new Set(["CLIENT_KEYS", "INGEST_KEYS", "ADMIN_TOKENS"]);
const PLACEHOLDER_CHARS = 64;

/** Something of the right form where a secret is set and its value unknown; of each secret another. */
export function placeholderFor(name: string): string {
  const text = `stands-in-for-${name}-`.padEnd(PLACEHOLDER_CHARS, "x");
  return JSON_SECRETS.has(name) ? JSON.stringify({ someone: [text] }) : text;
}

/** The secrets that headers of the routes name: `${API_KEY}`. */
export function referencedSecrets(routes: unknown): string[] {
  return [...JSON.stringify(routes ?? null).matchAll(/\$\{([^}"]+)\}/g)].map(([, name = ""]) => name);
}

/** Of a fault's variable: `ADMIN_TOKENS.alice` is about `ADMIN_TOKENS`. */
export function baseName(variable: string): string {
  return /^\w+/.exec(variable)?.[0] ?? variable;
}

export function putCommand(name: string, { environment }: Target): string {
  if (environment === LOCAL) return `${name}=… in .dev.vars (npm start makes what it can by itself)`;
  return `npx wrangler secret put ${name} --env ${environment}`;
}

const DISTINCT_CHARS_MIN = 10;

/** How hard the operators' tokens are to guess, as far as a look at them can say. */
export function checkAdminTokens(secrets: KnownSecrets): Finding {
  const check = "admin tokens";
  if (secrets.kind !== "values") {
    const detail = "values of secrets cannot be read back; the Worker itself refuses fewer than 32 characters";
    return { status: "not_checked", check, detail, remedy: "use what openssl rand -hex 32 makes" };
  }
  const tokens = [secrets.values["ADMIN_TOKEN"] ?? "", ...tokensOf(secrets.values["ADMIN_TOKENS"] ?? "")];
  const isWeak = tokens.some((token) => token !== "" && new Set(token).size < DISTINCT_CHARS_MIN);
  if (!isWeak) return { status: "ok", check, detail: "none that looks easy to guess" };
  const detail = `a token of fewer than ${DISTINCT_CHARS_MIN} different characters`;
  return { status: "warning", check, detail, remedy: "use what openssl rand -hex 32 makes" };
}

function tokensOf(text: string): string[] {
  try {
    return Object.values(Object(JSON.parse(text)))
      .flat()
      .map(String);
  } catch {
    // No JSON: the Worker's own reading of it tells so.
    return [];
  }
}
