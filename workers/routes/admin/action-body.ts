/**
 * The JSON that comes with an operator's action, checked member by member.
 */
import { z } from "zod";

import type { SpillwayError } from "../../../protocol/errors.ts";
import type { Result } from "../../../protocol/stream-call.ts";
import { readBody } from "../../http/request-limits.ts";

const BODY_MAX_BYTES = 128 * 1024;
/** The name of a shard's life, and a count. */
const CONFIRM_MAX_CHARS = 64;
/** More than a shard's letters can be (DEAD_LETTER_MAX). */
const IDS_MAX = 10_000;

const LETTER_ID = "is no letter's id: a whole number above 0";

/** Messages are our own: those of the library speak of types. */
export const letterIds = z
  .array(z.number(LETTER_ID).int(LETTER_ID).positive(LETTER_ID), "a list of letters' ids is needed")
  .min(1, "is empty: leave it out for all letters")
  .max(IDS_MAX, `has more than ${IDS_MAX} ids`);

export const shardIndex = z.number("the index of a shard is needed");

export const confirmation = z.string("a text is needed").max(CONFIRM_MAX_CHARS, "is too long");

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
  // Of the whole, the library would have said it.
  const fault = field === "" ? "a JSON object is needed" : (issue?.message ?? "is not valid");
  const detail = unknown === undefined ? fault : "is no member of this action";
  return { ok: false, error: invalid(field === "" ? "body" : field.slice(0, 64), detail) };
}

export function invalid(field: string, detail: string): SpillwayError {
  return { code: "invalid_request", field, detail };
}
