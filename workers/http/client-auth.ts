/**
 * Who calls: client keys to tenants, and telling client keys from resume tokens. Pure.
 */
import type { SpillwayError } from "../../protocol/errors.ts";
import { looksLikeToken } from "../../protocol/resume-token.ts";
import type { Config } from "../config.ts";
import { bearerOf, tenantOfKey } from "../tenant-keys.ts";

/** The one tenant of a service without client keys. */
const ANONYMOUS_TENANT = "default";

export type TenantVerdict =
  | { readonly ok: true; readonly tenant: string }
  | { readonly ok: false; readonly error: SpillwayError };

/** Who may start a stream: anybody without client keys, otherwise the holder of one. */
export function authenticateClient(config: Config, authorization: string | undefined): TenantVerdict {
  if (config.clientAuth === "none") return { ok: true, tenant: ANONYMOUS_TENANT };
  const key = bearerOf(authorization);
  const tenant = key === undefined ? undefined : tenantOfKey(config.tenantByKey, key);
  return tenant === undefined
    ? { ok: false, error: { code: "unauthorized", credential: "client key" } }
    : { ok: true, tenant };
}

/** What a request to go on with a stream brought along. */
export interface ResumeCredentials {
  readonly token: string | undefined;
  /** A client key, where keys are in use and one was sent beside the token. */
  readonly clientKey: string | undefined;
}

/**
 * The token of a resume, status or cancel call: `X-Resume-Token`, else a bearer that is no client key,
 * else `?token=`. With client keys in use, a bearer that does not look like a token is a key.
 */
export function readResumeCredentials(
  config: Config,
  given: { header: string | undefined; authorization: string | undefined; query: string | undefined },
): ResumeCredentials {
  // An empty header is what a script sends that has no token: it must not hide one sent otherwise.
  const header = given.header === "" ? undefined : given.header;
  const bearer = bearerOf(given.authorization);
  const usesKeys = config.clientAuth === "bearer";
  const isBearerKey = bearer !== undefined && usesKeys && (header !== undefined || !looksLikeToken(bearer));
  const clientKey = isBearerKey ? bearer : undefined;
  return { token: header ?? (isBearerKey ? undefined : bearer) ?? given.query, clientKey };
}

/**
 * Whether a key that came with a token belongs to the token's tenant. A token alone is enough: it is
 * a capability, and EventSource can send nothing else.
 */
export function checkKeyAgainstToken(
  config: Config,
  clientKey: string | undefined,
  tenant: string,
): SpillwayError | undefined {
  if (clientKey === undefined) return undefined;
  const owner = tenantOfKey(config.tenantByKey, clientKey);
  if (owner === undefined) return { code: "unauthorized", credential: "client key" };
  return owner === tenant ? undefined : { code: "stream_not_found" };
}
