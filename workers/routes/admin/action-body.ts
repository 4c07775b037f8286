/**
 * The JSON that comes with an operator's action, checked member by member.
 */
import { z } from "zod";

import type { SpillwayError } from "../../../protocol/errors.ts";
import type { Result } from "../../../protocol/stream-call.ts";
import { readBody } from "../../http/request-limits.ts";

const BODY_MAX_BYTES = 128 * 1024;
/** More than a shard's letters can be (DEAD_LETTER_MAX). */
const IDS_MAX = 10_000;

export const letterIds = z.array(z.number().int().positive().safe()).min(1).max(IDS_MAX);

/** A missing body is an empty object. */
export async function readActionBody<T>(request: Request, schema: z.ZodType<T>): Promise<Result<T>> {
  const reading = await readBody(request, BODY_MAX_BYTES);
  if (!reading.ok) return reading;
  let value: unknown;
  try {
    value = reading.body === undefined ? {} : JSON.parse(new TextDecoder().decode(reading.body));
  } catch {
    return { ok: false, error: invalid("body", "is not JSON") };
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return { ok: true, value: parsed.data };
  const [issue] = parsed.error.issues;
  const unknown = issue?.code === "unrecognized_keys" ? issue.keys[0] : undefined;
  const field = unknown ?? issue?.path.join(".") ?? "";
  const detail = unknown === undefined ? (issue?.message ?? "is not valid") : "is no member of this action";
  return { ok: false, error: invalid(field === "" ? "body" : field.slice(0, 64), detail) };
}

export function invalid(field: string, detail: string): SpillwayError {
  return { code: "invalid_request", field, detail };
}
