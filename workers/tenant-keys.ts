/**
 * Keys that stand for tenants: read from a variable, and looked up without telling how much was right.
 */
import { z } from "zod";

import type { ConfigFault } from "../protocol/errors.ts";
import { looksLikeToken } from "../protocol/resume-token.ts";

const TENANT_KEY_MIN_CHARS = 16;

/** What such a variable may hold, in the words of a {@link ConfigFault}. */
export const ALLOWED_TENANT_KEYS = `a JSON object {"tenant": ["key", …]}, each key at least ${TENANT_KEY_MIN_CHARS} printable ASCII characters without spaces, not of the form a.b.c, and of one tenant only`;

/** A key that a bearer header can carry, and that does not look like a resume token there. */
const TenantKey = z
  .string()
  .min(TENANT_KEY_MIN_CHARS)
  .regex(/^[\x21-\x7e]+$/)
  .refine((key) => !looksLikeToken(key));
const TenantKeys = z.record(z.string().min(1), z.array(TenantKey).min(1));

/**
 * @param given a JSON object `{"tenant": ["key", …]}`, parsed or as text; missing and empty are no keys,
 *   which is no fault here
 * @param faults where faults are added, never with a key in them
 * @returns tenant by key
 */
export function readTenantKeys(variable: string, given: unknown, faults: ConfigFault[]): ReadonlyMap<string, string> {
  const tenantByKey = new Map<string, string>();
  if (given === undefined || given === "") return tenantByKey;
  const parsed = TenantKeys.safeParse(typeof given === "string" ? parseJson(given) : given);
  if (!parsed.success) {
    // Keys are secrets: say what kind of thing is there, not what it holds.
    const found = "something else (not shown, it holds keys)";
    faults.push({ variable, found, allowed: ALLOWED_TENANT_KEYS });
    return tenantByKey;
  }
  for (const [tenant, keys] of Object.entries(parsed.data)) {
    for (const key of keys) {
      const other = tenantByKey.get(key);
      if (other !== undefined && other !== tenant) {
        faults.push({ variable, found: `one key for ${other} and ${tenant}`, allowed: ALLOWED_TENANT_KEYS });
      }
      tenantByKey.set(key, tenant);
    }
  }
  return tenantByKey;
}

/** The tenant of a key. Looks at every key, in time that tells nothing about how much of one was right. */
export function tenantOfKey(tenantByKey: ReadonlyMap<string, string>, key: string): string | undefined {
  let found: string | undefined;
  for (const [candidate, tenant] of tenantByKey) {
    if (equalInConstantTime(candidate, key)) found = tenant;
  }
  return found;
}

/** The credential of an `Authorization: Bearer` header (RFC 6750, 2.1); the scheme in any case. */
export function bearerOf(authorization: string | undefined): string | undefined {
  return /^Bearer +(\S+)$/i.exec(authorization ?? "")?.[1];
}

/** In time that tells the length of the texts at most. */
export function equalInConstantTime(left: string, right: string): boolean {
  let difference = left.length ^ right.length;
  for (let at = 0; at < right.length; at++) difference |= left.charCodeAt(at % left.length) ^ right.charCodeAt(at);
  return difference === 0;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The schema then refuses `undefined` and says what is wanted.
    return undefined;
  }
}
