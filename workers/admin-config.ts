/**
 * Who may act as an operator: the variables for it, read and checked. Pure.
 *
 * Not for checking a request: that is `http/admin-identity.ts`. No token is ever repeated in a fault.
 */
import { z } from "zod";

import type { ConfigFault } from "../protocol/errors.ts";
import { isMissing, SECRET_MIN_CHARS, type Variables } from "../protocol/variable-reading.ts";

/** Cloudflare Access in front of the service. */
export interface AccessSettings {
  /** Origin of the team's domain: the issuer of its assertions, and where its keys are. */
  readonly teamDomain: string;
  /** The application's audience tag. */
  readonly audience: string;
}

export interface AdminConfig {
  /** Name of whoever holds it, by token; several tokens may have one name. */
  readonly actorByAdminToken: ReadonlyMap<string, string>;
  readonly access: AccessSettings | undefined;
}

/** What the one token without a name of its own is told as. */
const SINGLE_ACTOR = "admin";
/** What refused callers are told as: nobody may be called so. */
export const UNKNOWN_ACTOR = "unknown";
const ACTOR_MAX_CHARS = 64;

const ALLOWED_TOKEN = `at least ${SECRET_MIN_CHARS} printable ASCII characters without spaces`;
const ALLOWED_TOKENS = `a JSON object {"name": "token"} or {"name": ["token", …]}, names of 1 to ${ACTOR_MAX_CHARS} letters, digits and ._@+- (not "${UNKNOWN_ACTOR}"), tokens of ${ALLOWED_TOKEN}, each of one name only`;
const ALLOWED_DOMAIN = "an origin such as https://team.cloudflareaccess.com";
const ALLOWED_AUDIENCE = "the application audience tag: 16 to 128 letters, digits, - and _";

/** What a bearer header can carry. */
const Token = z
  .string()
  .min(SECRET_MIN_CHARS)
  .regex(/^[\x21-\x7e]+$/);
const Actor = z
  .string()
  .max(ACTOR_MAX_CHARS)
  .regex(/^[\w.@+-]+$/)
  .refine((name) => name !== UNKNOWN_ACTOR);
const NamedTokens = z
  .record(Actor, z.union([Token.transform((token) => [token]), z.array(Token).min(1)]))
  .refine((tokens) => Object.keys(tokens).length > 0);

export function readAdminConfig(variables: Variables, faults: ConfigFault[]): AdminConfig {
  const named = readNamedTokens(variables["ADMIN_TOKENS"], faults);
  const single = readToken(variables, "ADMIN_TOKEN", faults);
  if (isMissing(variables["ADMIN_TOKENS"]) && isMissing(variables["ADMIN_TOKEN"])) {
    const allowed = `${ALLOWED_TOKEN}, since there is no ADMIN_TOKENS either: operators need one of the two`;
    faults.push({ variable: "ADMIN_TOKEN", found: "nothing", allowed });
  }
  const actorByAdminToken = new Map<string, string>();
  for (const { actor, token } of named) addToken(actorByAdminToken, { token, actor, variable: "ADMIN_TOKENS" }, faults);
  if (single !== undefined) {
    addToken(actorByAdminToken, { token: single, actor: SINGLE_ACTOR, variable: "ADMIN_TOKEN" }, faults);
  }
  const metricsToken = variables["METRICS_TOKEN"];
  const owner = typeof metricsToken === "string" ? actorByAdminToken.get(metricsToken) : undefined;
  if (owner !== undefined) {
    // Whoever may scrape would be an operator.
    faults.push({ variable: "METRICS_TOKEN", found: `the admin token of ${owner}`, allowed: "a token of its own" });
  }
  return { actorByAdminToken, access: readAccess(variables, faults) };
}

interface NamedToken {
  readonly token: string;
  readonly actor: string;
  readonly variable: string;
}

function addToken(actorByToken: Map<string, string>, { token, actor, variable }: NamedToken, faults: ConfigFault[]) {
  const other = actorByToken.get(token);
  if (other !== undefined && other !== actor) {
    faults.push({ variable, found: `one token for ${other} and ${actor}`, allowed: "each token of one name only" });
  }
  actorByToken.set(token, actor);
}

function readNamedTokens(given: unknown, faults: ConfigFault[]): { actor: string; token: string }[] {
  if (isMissing(given)) return [];
  const parsed = NamedTokens.safeParse(typeof given === "string" ? parseJson(given) : given);
  if (parsed.success) {
    return Object.entries(parsed.data).flatMap(([actor, tokens]) => tokens.map((token) => ({ actor, token })));
  }
  const found = "something else (not shown, it holds tokens)";
  faults.push({ variable: "ADMIN_TOKENS", found, allowed: ALLOWED_TOKENS });
  return [];
}

function readToken(variables: Variables, variable: string, faults: ConfigFault[]): string | undefined {
  const given = variables[variable];
  if (isMissing(given)) return undefined;
  const parsed = Token.safeParse(given);
  if (parsed.success) return parsed.data;
  const found = typeof given === "string" ? `a secret of ${given.length} characters` : `a ${typeof given}`;
  faults.push({ variable, found, allowed: ALLOWED_TOKEN });
  return undefined;
}

/** Both variables or neither: one alone would leave a door that looks shut. */
function readAccess(variables: Variables, faults: ConfigFault[]): AccessSettings | undefined {
  const domain = variables["ACCESS_TEAM_DOMAIN"];
  const audience = variables["ACCESS_AUD"];
  if (isMissing(domain) && isMissing(audience)) return undefined;
  const isGoodDomain = typeof domain === "string" && isTeamDomain(domain);
  const isGoodAudience = typeof audience === "string" && /^[\w-]{16,128}$/.test(audience);
  if (isGoodDomain && isGoodAudience) return { teamDomain: domain, audience };
  if (!isGoodDomain) faults.push({ variable: "ACCESS_TEAM_DOMAIN", found: foundIn(domain), allowed: ALLOWED_DOMAIN });
  if (!isGoodAudience) faults.push({ variable: "ACCESS_AUD", found: foundIn(audience), allowed: ALLOWED_AUDIENCE });
  return undefined;
}

function foundIn(given: unknown): string {
  return isMissing(given) ? "nothing" : (JSON.stringify(given) ?? typeof given);
}

/** Over https, or on this machine: whoever can answer for it decides who is an operator. */
function isTeamDomain(text: string): boolean {
  if (!URL.canParse(text) || new URL(text).origin !== text) return false;
  const { protocol, hostname } = new URL(text);
  return protocol === "https:" || (protocol === "http:" && isLoopback(hostname));
}

export function isLoopback(hostname: string): boolean {
  return hostname === "localhost" || hostname === "[::1]" || /^127(?:\.\d{1,3}){3}$/.test(hostname);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The schema then refuses `undefined` and says what is wanted.
    return undefined;
  }
}
