/**
 * Reads single variables of the service, and collects what is wrong with them. Pure.
 *
 * Variables come as bindings give them: text, or numbers and JSON where wrangler.jsonc has them so.
 * An empty text is no value. A secret is never repeated, only its length.
 */
import type { ConfigFault } from "./errors.ts";

export type Variables = Readonly<Record<string, unknown>>;

export interface NumberVariable {
  readonly fallback: number;
  readonly min: number;
  readonly max: number;
  /** Whether fractions make sense. */
  readonly isFractional?: true;
}

/** Shorter secrets can be searched for. 32 characters of base64 are 192 bits. */
export const SECRET_MIN_CHARS = 32;

export function isMissing(value: unknown): boolean {
  return value === undefined || value === "";
}

/** Every number of a table of variables: what was given where it is allowed, else the default. */
export function readNumbers<Name extends string>(
  variables: Variables,
  table: Readonly<Record<Name, NumberVariable>>,
  faults: ConfigFault[],
): Readonly<Record<Name, number>> {
  const names = Object.keys(table) as Name[];
  const values = names.map((name) => [name, readNumber(variables, name, { bounds: table[name], faults })] as const);
  return Object.fromEntries(values) as Record<Name, number>;
}

function readNumber(
  variables: Variables,
  variable: string,
  { bounds, faults }: { bounds: NumberVariable; faults: ConfigFault[] },
): number {
  const { fallback, min, max, isFractional } = bounds;
  const given = variables[variable];
  if (isMissing(given)) return fallback;
  const value = typeof given === "number" ? given : typeof given === "string" ? Number(given) : Number.NaN;
  const isKind = Number.isInteger(value) || isFractional === true;
  if (Number.isFinite(value) && isKind && value >= min && value <= max) return value;
  const kind = isFractional === true ? "a number" : "a whole number";
  faults.push({ variable, found: JSON.stringify(given), allowed: `${kind} from ${min} to ${max}` });
  return fallback;
}

/** The first choice is the default. */
export function readChoice<T extends string>(
  variables: Variables,
  variable: string,
  choices: readonly [T, ...T[]],
  faults: ConfigFault[],
): T {
  const given = variables[variable];
  if (isMissing(given)) return choices[0];
  const found = choices.find((choice) => choice === given);
  if (found !== undefined) return found;
  faults.push({ variable, found: JSON.stringify(given), allowed: choices.join(" or ") });
  return choices[0];
}

/** `true` or `false`, as JSON or as text. */
export function readSwitch(
  variables: Variables,
  variable: string,
  { fallback, faults }: { fallback: boolean; faults: ConfigFault[] },
): boolean {
  const given = variables[variable];
  if (isMissing(given)) return fallback;
  if (given === true || given === "true") return true;
  if (given === false || given === "false") return false;
  faults.push({ variable, found: JSON.stringify(given), allowed: "true or false" });
  return fallback;
}

export function readSecret(variables: Variables, variable: string, faults: ConfigFault[]): string | undefined {
  const given = variables[variable];
  if (isMissing(given)) return undefined;
  if (typeof given === "string" && given.length >= SECRET_MIN_CHARS) return given;
  const found = typeof given === "string" ? `a secret of ${given.length} characters` : `a ${typeof given}`;
  faults.push({ variable, found, allowed: `at least ${SECRET_MIN_CHARS} characters of text` });
  return undefined;
}
