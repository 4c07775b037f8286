/**
 * The few JSON paths that routes may use: member names, array indexes, and where said `[*]` for every
 * element. No filters, no recursive descent.
 */
import { z } from "zod";

/** `$.a.b[0]`: names one value. */
export const JsonPath = z
  .string()
  .regex(/^\$(\.[A-Za-z_][\w-]*|\[\d+\])+$/, "a JSON path such as $.type or $.choices[0].finish_reason");

/** `$.a[*].b`: may name several. */
export const JsonPathPattern = z
  .string()
  .regex(/^\$(\.[A-Za-z_][\w-]*|\[\d+\]|\[\*\])+$/, "a JSON path such as $.delta or $.choices[*].delta.content");

/** Every element of an array; no member can be called so. */
const EVERY_ELEMENT = "*";

/** `$.choices[*].delta` → ["choices", "*", "delta"]. The schemas above have checked the form. */
export function pathSteps(path: string): (string | number)[] {
  return Array.from(path.matchAll(/\.([A-Za-z_][\w-]*)|\[(\d+|\*)\]/g), ([, member, index]) => {
    if (member !== undefined) return member;
    return index === EVERY_ELEMENT ? EVERY_ELEMENT : Number(index);
  });
}
