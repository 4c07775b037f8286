/**
 * Iceberg metadata from a bucket or a REST catalog: every id to its last digit, and of what is damaged a
 * failure that is told apart, never a table that is none.
 */
import * as fc from "fast-check";

import { CatalogError, type LoadedTable } from "../../durable-objects/iceberg/catalog.ts";
import { parseLossless, stringifyLossless } from "../../durable-objects/iceberg/lossless-json.ts";
import { readTable } from "../../durable-objects/iceberg/rest-table.ts";
import { TABLE_COLUMNS } from "../../durable-objects/iceberg/table-columns.ts";
import { createMetadata, currentSnapshot, type TableMetadata } from "../../durable-objects/iceberg/table-metadata.ts";
import { claim, fuzz, requireTagged } from "./fuzzing.ts";
import { jsonText, mutatedText } from "./mutations.ts";

const int63 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });

function narrow(value: bigint): number | bigint {
  return Number.isSafeInteger(Number(value)) ? Number(value) : value;
}

const lossless = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { depthSize: "small" },
    int63.map(narrow),
    fc.string({ unit: "binary" }),
    fc.constantFrom<unknown>(null, true, 0.5, "9223372036854775807", "12345678901234567890"),
    fc.array(tie("value"), { maxLength: 4 }),
    fc.dictionary(
      fc.string({ maxLength: 8 }).filter((key) => key !== "__proto__"),
      tie("value"),
      { maxKeys: 4 },
    ),
  ),
})).value;

fuzz<unknown, (value: unknown) => unknown>({
  name: "lossless JSON",
  inputs: lossless,
  subject: (value) => parseLossless(stringifyLossless(value)),
  holds: (value, pass) => claim(pass(value)).toEqual(JSON.parse(JSON.stringify(value, asMarked), asRead)),
  faults: {
    "numbers are doubles": (value) => JSON.parse(stringifyLossless(value)),
    "digits in strings are numbers": (value) =>
      parseLossless(stringifyLossless(value).replaceAll(/"(\d{17,})"/g, "$1")),
  },
});

function asMarked(_: string, value: unknown): unknown {
  return typeof value === "bigint" ? `big:${value}` : value;
}

function asRead(_: string, value: unknown): unknown {
  return typeof value === "string" && /^big:-?\d+$/.test(value) ? BigInt(value.slice(4)) : value;
}

const SNAPSHOT = {
  "snapshot-id": 9_223_372_036_854_775_807n,
  "sequence-number": 1,
  "timestamp-ms": 1,
  "manifest-list": "s3://b/metadata/snap-1.avro",
  summary: { operation: "append" },
  "schema-id": 0,
};
const empty = createMetadata({
  uuid: "00000000-0000-4000-8000-000000000000",
  location: "s3://b/warehouse/spillway/events",
  columns: TABLE_COLUMNS,
  nowMs: 1_700_000_000_000,
});
const filled = {
  ...empty,
  "last-sequence-number": 1,
  "current-snapshot-id": SNAPSHOT["snapshot-id"],
  snapshots: [SNAPSHOT],
  refs: { main: { "snapshot-id": SNAPSHOT["snapshot-id"], type: "branch" } },
} as unknown as TableMetadata;
const answers = fc
  .constantFrom(empty, filled)
  .map((metadata) => stringifyLossless({ "metadata-location": "s3://b/metadata/v1.metadata.json", metadata }));

/** Members taken out, or given another value: what byte changes seldom hit. */
const changedMember = fc
  .tuple(answers, fc.nat(200), fc.oneof(lossless, fc.constant(undefined)))
  .map(([text, at, value]) => {
    const answer = parseLossless(text) as { metadata: Record<string, unknown> };
    const places: (readonly [Record<string, unknown>, string])[] = [];
    const walk = (node: unknown) => {
      if (typeof node !== "object" || node === null) return;
      for (const [key, child] of Object.entries(node)) {
        places.push([node as Record<string, unknown>, key]);
        walk(child);
      }
    };
    walk(answer);
    const [node, key] = places[at % places.length] ?? [answer.metadata, "schemas"];
    node[key] = value;
    return stringifyLossless(answer);
  });

type Load = (text: string) => LoadedTable | undefined;
const load: Load = (text) => {
  let body: unknown;
  try {
    body = parseLossless(text);
  } catch {
    // Not JSON: the caller says so before a table is looked for.
    return undefined;
  }
  return readTable(body, TABLE_COLUMNS);
};

fuzz<string, Load>({
  name: "metadata of a catalog",
  inputs: fc.oneof(
    answers,
    changedMember,
    mutatedText(answers).map(({ text }) => text),
    jsonText,
    jsonText.map((metadata) => `{"metadata-location":"s3://b/x","metadata":${metadata}}`),
  ),
  subject: load,
  holds: (text, loadIt) => {
    let table: LoadedTable | undefined;
    try {
      table = loadIt(text);
    } catch (error) {
      return requireTagged(error, CatalogError);
    }
    if (table === undefined) return;
    const { metadata } = table;
    claim(metadata["format-version"]).toBe(2);
    // What is read is what was sent, to the last digit.
    const sent = parseLossless(text) as { metadata: unknown };
    claim(stringifyLossless(metadata)).toBe(stringifyLossless(sent.metadata));
    const head = metadata["current-snapshot-id"];
    if (head !== null && head !== undefined && head !== -1) {
      claim(currentSnapshot(metadata)?.["manifest-list"]).toBeTypeOf("string");
    }
    for (const { fieldId, name } of TABLE_COLUMNS) {
      const schema = metadata.schemas.find((one) => one["schema-id"] === metadata["current-schema-id"]);
      const field = schema?.fields.find((one) => one.name === name);
      if (field !== undefined) claim(field.id).toBe(fieldId);
    }
  },
  faults: {
    "metadata is taken as it comes": (text) => {
      const body = JSON.parse(text) as { metadata: TableMetadata };
      return { metadata: body.metadata, metadataLocation: "" };
    },
    "ids are doubles": (text) => {
      const table = load(text);
      return table === undefined
        ? undefined
        : { ...table, metadata: JSON.parse(stringifyLossless(table.metadata)) as TableMetadata };
    },
  },
});
