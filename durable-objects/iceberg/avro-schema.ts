/**
 * Avro schemas and the values they describe, as far as reading and writing files needs them. Logical
 * types, defaults and aliases are passed over: a value is what its bytes say.
 *
 * Source: Apache Avro 1.12 specification, "Schema Declaration"; field ids: Iceberg spec, appendix A.
 */
import type { LongInt } from "./table-metadata.ts";

/** Bytes or a schema that are not Avro as specified, or a value that does not fit its schema. */
export class AvroError extends Error {
  override readonly name = "AvroError";
}

/**
 * A value in memory. `int`, `float` and `double` are numbers, `long` is a {@link LongInt}, `bytes` and
 * `fixed` are bytes, an `enum` is its symbol, a `map` is a Map and a `record` an object by field name.
 */
export type AvroValue = null | boolean | LongInt | string | Uint8Array | AvroList | AvroMap | AvroRecord;
export type AvroList = readonly AvroValue[];
export type AvroMap = ReadonlyMap<string, AvroValue>;
export interface AvroRecord {
  readonly [field: string]: AvroValue;
}

export function isAvroRecord(value: AvroValue): value is AvroRecord {
  return (
    typeof value === "object" &&
    value !== null &&
    !Array.isArray(value) &&
    !(value instanceof Map) &&
    !(value instanceof Uint8Array)
  );
}

const PRIMITIVES = ["null", "boolean", "int", "long", "float", "double", "bytes", "string"] as const;
type AvroPrimitive = (typeof PRIMITIVES)[number];

export interface AvroField {
  readonly name: string;
  readonly type: AvroType;
  /** Iceberg's `field-id`, where the writer gave one. */
  readonly fieldId: number | undefined;
}

export interface AvroRecordType {
  readonly kind: "record";
  readonly name: string;
  readonly fields: readonly AvroField[];
}

export type AvroType =
  | { readonly kind: AvroPrimitive }
  | { readonly kind: "fixed"; readonly name: string; readonly size: number }
  | { readonly kind: "enum"; readonly name: string; readonly symbols: readonly string[] }
  | { readonly kind: "array"; readonly items: AvroType }
  | { readonly kind: "map"; readonly values: AvroType }
  | { readonly kind: "union"; readonly branches: readonly AvroType[] }
  | AvroRecordType;

/** Nesting of schemas and of values; Iceberg's own files need about eight. */
export const MAX_DEPTH = 64;

/**
 * Reads a schema from parsed JSON. Named types may be used before the record that holds them is
 * complete, so the result can be cyclic.
 *
 * @throws {AvroError} if it is not a schema, names an unknown type or nests deeper than {@link MAX_DEPTH}
 */
export function parseAvroSchema(json: unknown): AvroType {
  return parseType(json, { named: new Map(), namespace: "", depth: 0 });
}

interface Scope {
  readonly named: Map<string, AvroType>;
  readonly namespace: string;
  readonly depth: number;
}

function parseType(json: unknown, outer: Scope): AvroType {
  const scope = { ...outer, depth: outer.depth + 1 };
  if (scope.depth > MAX_DEPTH) throw new AvroError("Avro schema nests too deeply");
  if (typeof json === "string") return findType(json, scope);
  if (Array.isArray(json)) return parseUnion(json, scope);
  if (!isObject(json)) throw new AvroError("Avro schema is neither a name, an object nor an array");
  switch (json["type"]) {
    case "record":
    case "error":
      return parseRecord(json, scope);
    case "enum":
      return parseEnum(json, scope);
    case "fixed":
      return parseFixed(json, scope);
    case "array":
      return { kind: "array", items: parseType(json["items"], scope) };
    case "map":
      return { kind: "map", values: parseType(json["values"], scope) };
    default:
      // A primitive with properties such as a logical type, or a schema in one more pair of braces.
      return parseType(json["type"], scope);
  }
}

function findType(name: string, { named, namespace }: Scope): AvroType {
  const primitive = PRIMITIVES.find((known) => known === name);
  if (primitive !== undefined) return { kind: primitive };
  const found = named.get(qualify(name, namespace)) ?? named.get(name);
  if (found === undefined) throw new AvroError(`Avro schema names an unknown type: ${name}`);
  return found;
}

function parseUnion(json: readonly unknown[], scope: Scope): AvroType {
  const branches = json.map((branch) => parseType(branch, scope));
  if (branches.some(({ kind }) => kind === "union")) throw new AvroError("Avro union holds a union");
  return { kind: "union", branches };
}

function parseRecord(json: JsonObject, scope: Scope): AvroType {
  const fields: AvroField[] = [];
  const { name, namespace } = readName(json, scope);
  const record: AvroRecordType = { kind: "record", name, fields };
  declare(record, name, scope);
  if (!Array.isArray(json["fields"])) throw new AvroError(`Avro record ${name} has no fields`);
  const seen = new Set<string>();
  for (const field of json["fields"] as readonly unknown[]) {
    if (!isObject(field) || typeof field["name"] !== "string") {
      throw new AvroError(`Avro record ${name} has a field without a name`);
    }
    if (seen.has(field["name"])) throw new AvroError(`Avro record ${name} has two fields named ${field["name"]}`);
    seen.add(field["name"]);
    const fieldId = field["field-id"];
    fields.push({
      name: field["name"],
      type: parseType(field["type"], { ...scope, namespace }),
      fieldId: typeof fieldId === "number" ? fieldId : undefined,
    });
  }
  return record;
}

function parseEnum(json: JsonObject, scope: Scope): AvroType {
  const { name } = readName(json, scope);
  const symbols: unknown = json["symbols"];
  if (!Array.isArray(symbols) || !symbols.every((symbol) => typeof symbol === "string")) {
    throw new AvroError(`Avro enum ${name} has no symbols`);
  }
  return declare({ kind: "enum", name, symbols }, name, scope);
}

function parseFixed(json: JsonObject, scope: Scope): AvroType {
  const { name } = readName(json, scope);
  const size = json["size"];
  if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0) {
    throw new AvroError(`Avro fixed ${name} has no size`);
  }
  return declare({ kind: "fixed", name, size }, name, scope);
}

function declare(type: AvroType, name: string, { named }: Scope): AvroType {
  if (named.has(name)) throw new AvroError(`Avro schema defines ${name} twice`);
  named.set(name, type);
  return type;
}

/** The full name, and the namespace for what lies within (Avro, "Names"). */
function readName(json: JsonObject, scope: Scope): { name: string; namespace: string } {
  if (typeof json["name"] !== "string" || json["name"] === "") throw new AvroError("Avro named type has no name");
  const own = json["namespace"];
  const name = qualify(json["name"], typeof own === "string" ? own : scope.namespace);
  return { name, namespace: name.slice(0, Math.max(0, name.lastIndexOf("."))) };
}

function qualify(name: string, namespace: string): string {
  return name.includes(".") || namespace === "" ? name : `${namespace}.${name}`;
}

type JsonObject = Readonly<Record<string, unknown>>;

function isObject(json: unknown): json is JsonObject {
  return typeof json === "object" && json !== null && !Array.isArray(json);
}
