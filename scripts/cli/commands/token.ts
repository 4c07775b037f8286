/**
 * `token mint|verify`: resume tokens, with the secrets of the environment or of `.dev.vars`.
 */
import { formatEventId, parseEventId } from "../../../protocol/event-id.ts";
import { createKeyRing, issueToken, verifyToken, type KeyRing } from "../../../protocol/resume-token.ts";
import type { SpillwayError } from "../../../protocol/errors.ts";
import type { Command, CommandContext, Host } from "../command.ts";
import { readAll } from "../credentials.ts";
import { readDevVars } from "../dev-vars.ts";
import { EXIT, failure, usageFailure } from "../exit-codes.ts";
import type { Terminal } from "../terminal.ts";
import { duration, list } from "../units.ts";

const DEFAULT_LIFE_SEC = 900;
const LIFE_MAX_SEC = 604_800;
const SECRETS = ["SSE_RESUME_SECRET", "HMAC_SECRET", "SSE_RESUME_SECRET_PREVIOUS"] as const;

const NOTES = [
  "The secret is SSE_RESUME_SECRET, or HMAC_SECRET where that is missing, of the environment, else of",
  ".dev.vars. It is never printed.",
].join("\n");

const MINT: Command = {
  name: "token mint",
  summary: "sign a resume token, for tests and support",
  options: {
    "request-id": { type: "string", value: "ID", help: "the stream" },
    route: { type: "string", value: "ROUTE", help: "its route" },
    tenant: { type: "string", value: "TENANT", help: "its tenant; default where not given" },
    position: { type: "string", value: "ID", help: "event id after which a reader goes on; 0-0 where not given" },
    "ttl-sec": { type: "string", value: "N", help: `its life in seconds; ${DEFAULT_LIFE_SEC}` },
  },
  notes: `${NOTES} Whoever holds the token may read the stream.`,
  callsService: false,
  examples: ["scripts/spillway token mint --request-id 3uSfSvttIfO6Pb-nGa3sX4mOVgU --route demo --ttl-sec 60"],
  async run({ values, terminal, host }) {
    const requestId = values.needed("request-id");
    const route = values.needed("route");
    const position = parseEventId(values.text("position") ?? "0-0");
    if (position === undefined) throw usageFailure("--position takes an event id such as 1-42.");
    const ttlSec = values.wholeNumber("ttl-sec", 1, LIFE_MAX_SEC) ?? DEFAULT_LIFE_SEC;
    const ring = await readRing(host, terminal);
    const claims = { requestId, route, tenant: values.text("tenant") ?? "default", position };
    const { token, expiresAtMs } = await issueToken(ring, claims, { nowMs: host.nowMs(), ttlMs: ttlSec * 1000 });
    const report = { token, kid: ring.keys[0].kid, expires_at: new Date(expiresAtMs).toISOString() };
    terminal.result(report, () => token);
    return EXIT.ok;
  },
};

const VERIFY: Command = {
  name: "token verify",
  summary: "what a resume token says, and what is wrong with it",
  operands: "TOKEN|-",
  maxOperands: 1,
  options: {},
  notes: `${NOTES} With - the token is read from stdin. Exit code 1: it would not be accepted.`,
  callsService: false,
  examples: ['scripts/spillway token verify "$RESUME_TOKEN"', "pbpaste | scripts/spillway token verify -"],
  async run(context) {
    const { host, terminal } = context;
    const token = await tokenOf(context);
    const ring = await readRing(host, terminal);
    const nowMs = host.nowMs();
    const verdict = await verifyToken(ring, token, nowMs);
    const said = decode(token);
    const isValid = verdict.ok;
    const reason = verdict.ok ? "accepted" : faultText(verdict.error);
    const isPrevious = said.kid !== undefined && said.kid === ring.keys[1]?.kid;
    const report = { valid: isValid, reason, kid: said.kid ?? null, ...said.claims };
    terminal.result(report, () => {
      const signer = said.kid === undefined ? "–" : `${said.kid}${isPrevious ? " (the previous secret)" : ""}`;
      return list([
        ["verdict", isValid ? "accepted" : `NOT accepted: ${reason}`],
        ["key", signer],
        ...shown(said.claims, nowMs),
      ]);
    });
    return isValid ? EXIT.ok : EXIT.failed;
  },
};

async function tokenOf({ operands, host }: CommandContext): Promise<string> {
  const [given] = operands;
  if (given === undefined) throw usageFailure("Give the token, or - to read it from stdin.");
  return given === "-" ? (await readAll(host.stdin)).trim() : given;
}

/** As the service makes it (durable-objects/token-issuer.ts); an empty variable is none. */
async function readRing(host: Host, terminal: Terminal): Promise<KeyRing> {
  // All from one place: a key of here beside one of there is no ring that any service has.
  const isInEnvironment = Boolean(host.env["SSE_RESUME_SECRET"] || host.env["HMAC_SECRET"]);
  const variables = isInEnvironment ? host.env : readDevVars(host.folder);
  for (const name of SECRETS) terminal.hide(variables[name] ?? "");
  const secret = variables["SSE_RESUME_SECRET"] || variables["HMAC_SECRET"] || undefined;
  if (secret === undefined) throw failure("No SSE_RESUME_SECRET, in the environment or in .dev.vars.");
  return createKeyRing(secret, variables["SSE_RESUME_SECRET_PREVIOUS"] || undefined);
}

function faultText(error: SpillwayError): string {
  if (error.code === "token_expired") return "its life is over (410 token_expired)";
  if (error.code !== "token_invalid") return error.code;
  switch (error.reason) {
    case "malformed":
      return "it is no signed token of ours (malformed)";
    case "bad_signature":
      return "its signature does not hold (bad_signature)";
    case "unknown_key":
      return "it was signed with a secret that is not here (unknown_key)";
    case "wrong_audience":
      return "it was made for something else (wrong_audience)";
    case "bad_claims":
      return "a claim is missing, wrong or not valid yet (bad_claims)";
  }
}

interface Said {
  readonly kid?: string;
  readonly claims: {
    readonly request_id?: string;
    readonly route?: string;
    readonly tenant?: string;
    readonly position?: string;
    readonly issued_at?: string;
    readonly expires_at?: string;
  };
}

/** What stands in it, whether it is genuine or not. */
function decode(token: string): Said {
  const [header, payload] = token.split(".").map(decodePart);
  const kid = text(header?.["kid"]);
  const { sub, rte, tnt, seq, iat, exp } = payload ?? {};
  const position = typeof seq === "string" ? parseEventId(seq) : undefined;
  const claims = {
    request_id: text(sub),
    route: text(rte),
    tenant: text(tnt),
    position: position === undefined ? undefined : formatEventId(position),
    issued_at: time(iat),
    expires_at: time(exp),
  };
  const known = Object.fromEntries(Object.entries(claims).filter(([, value]) => value !== undefined));
  return { ...(kid === undefined ? {} : { kid }), claims: known };
}

function text(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

/** A JWT's NumericDate, within what a Date holds. */
function time(value: unknown): string | undefined {
  const isTime = typeof value === "number" && Math.abs(value) < 8.64e12;
  return isTime ? new Date(value * 1000).toISOString() : undefined;
}

function decodePart(part: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, "base64url").toString("utf8"));
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    // Not a token's part; the verdict says so.
    return undefined;
  }
}

function shown(claims: Said["claims"], nowMs: number): (readonly [string, string])[] {
  return Object.entries(claims).map(([name, value]) => {
    if (name !== "expires_at") return [name, value];
    const leftMs = Date.parse(value) - nowMs;
    const left = leftMs > 0 ? `in ${duration(leftMs)}` : `${duration(-leftMs)} ago`;
    return [name, `${value} (${left})`];
  });
}

export const TOKEN: readonly Command[] = [MINT, VERIFY];
