/**
 * Avro files, manifests and manifest lists, whole and damaged: what was written, or a failure that is told
 * apart; in bounded time and memory.
 */
import * as fc from "fast-check";

import { readAvroFile, writeAvroFile, type AvroFile } from "../../durable-objects/iceberg/avro-container.ts";
import { AvroError, type AvroValue } from "../../durable-objects/iceberg/avro-schema.ts";
import { ManifestError } from "../../durable-objects/iceberg/manifest-fields.ts";
import {
  decodeManifestList,
  describeManifest,
  encodeManifestList,
} from "../../durable-objects/iceberg/manifest-list.ts";
import { decodeManifest, encodeManifest } from "../../durable-objects/iceberg/manifest.ts";
import { avroSamples, handmadeFile } from "../fixtures/avro-samples.ts";
import {
  dataFile,
  DAY,
  entryOf,
  EVENTS,
  foreignManifest,
  manifestEntry,
  PARTITIONED_SCHEMA,
  PARTITIONED_SPEC,
} from "../fixtures/manifest-samples.ts";
import { claim, fuzz, requireTagged } from "./fuzzing.ts";
import { jsonText, maybeMutated, mutated } from "./mutations.ts";

interface Sample {
  readonly schema: unknown;
  readonly values: readonly AvroValue[];
  readonly codec: "deflate" | "null";
}
type Pass = (sample: Sample) => readonly AvroValue[];

const samples = fc
  .tuple(avroSamples, fc.constantFrom<"deflate" | "null">("deflate", "null"))
  .map(([{ schema, values }, codec]): Sample => ({ schema, values, codec }));
const written = samples.map(({ schema, values, codec }) =>
  writeAvroFile({ schema: schema as object, metadata: { key: "水" }, records: values, codec }),
);

fuzz<Sample, Pass>({
  name: "Avro, written and read",
  inputs: samples,
  subject: ({ schema, values, codec }) =>
    readAvroFile(writeAvroFile({ schema: schema as object, metadata: {}, records: values, codec })).records,
  holds: (sample, pass) => claim(plain(pass(sample))).toEqual(plain(sample.values)),
  faults: {
    "a record is lost": ({ values }) => values.slice(0, -1),
    "longs are doubles": ({ values }) => values.map((value) => (typeof value === "bigint" ? Number(value) : value)),
  },
});

/** Floats lose bits on the way, and records their prototype: neither is what is looked at here. */
function plain(value: unknown): unknown {
  if (typeof value === "number") return Number.isSafeInteger(value) ? value + 0 : "a fraction";
  if (value instanceof Uint8Array) return [...value];
  if (value instanceof Map) return [...value].map(([key, one]) => [key, plain(one)]);
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  return Object.entries(value).map(([key, one]) => [key, plain(one)]);
}

type ReadFile = (bytes: Uint8Array) => AvroFile;

/** What a container may not be allowed to make of a few bytes. */
const MAX_RECORDS_PER_BYTE = 4096;

fuzz<Uint8Array, ReadFile>({
  name: "Avro, damaged",
  inputs: fc.oneof(
    mutated(written).map(({ bytes }) => bytes),
    // Blocks that claim more than they hold, and schemas of any shape.
    fc
      .record({
        schema: fc.oneof(
          avroSamples.map(({ schema }) => schema),
          jsonText.map((text) => JSON.parse(text) as unknown),
        ),
        codec: fc.constantFrom("null", "deflate", "zstandard", "snappy"),
        blocks: fc.array(
          fc.record({
            count: fc.constantFrom(0, 1, 3, -1, 2 ** 31, Number.MAX_SAFE_INTEGER),
            bytes: fc.uint8Array({ maxLength: 40 }).map((bytes) => Uint8Array.from(bytes)),
          }),
          { maxLength: 3 },
        ),
      })
      .map(handmadeFile),
    fc.uint8Array({ maxLength: 80 }).map((bytes) => new Uint8Array([0x4f, 0x62, 0x6a, 1, ...bytes])),
  ),
  subject: (bytes) => readAvroFile(bytes),
  holds: (bytes, readIt) => {
    try {
      const { records } = readIt(bytes);
      claim(records.length).toBeLessThanOrEqual(MAX_RECORDS_PER_BYTE * (bytes.length + 1));
    } catch (error) {
      requireTagged(error, AvroError);
    }
  },
  faults: {
    "bytes that end early are a RangeError": (bytes) => {
      try {
        return readAvroFile(bytes);
      } catch (error) {
        throw error instanceof AvroError && error.message.includes("end too early") ? new RangeError("offset") : error;
      }
    },
    "a file of another kind is read as an empty one": (bytes) => {
      try {
        return readAvroFile(bytes);
      } catch {
        throw new TypeError("undefined is not iterable");
      }
    },
  },
});

const manifest = fc.oneof(
  fc
    .array(manifestEntry, { minLength: 1, maxLength: 3 })
    .map((entries) => encodeManifest({ schema: PARTITIONED_SCHEMA, partitionSpec: PARTITIONED_SPEC, entries })),
  fc.constant(encodeManifest({ ...EVENTS, entries: [entryOf("a", 7), entryOf("b", null)] })),
  fc.constant(foreignManifest()),
);
const facts = { ...EVENTS, entries: [entryOf("a", 7)], snapshotId: 2n ** 62n + 1n, sequenceNumber: 3 };
const LISTED = [
  describeManifest({ path: "s3://b/m1.avro", length: 1000, ...facts }),
  describeManifest({ path: "s3://b/m2.avro", length: 2 ** 40, ...facts }),
];
const list = fc.constant(
  encodeManifestList({ snapshotId: 2n ** 62n + 1n, parentSnapshotId: null, sequenceNumber: 3, manifests: LISTED }),
);

type Decode = (given: { readonly kind: "manifest" | "list"; readonly bytes: Uint8Array }) => readonly unknown[];

const decode: Decode = ({ kind, bytes }) =>
  kind === "list" ? decodeManifestList(bytes) : decodeManifest(bytes).entries;

fuzz<Parameters<Decode>[0], Decode>({
  name: "manifests and manifest lists",
  inputs: fc.oneof(
    maybeMutated(manifest).map((bytes) => ({ kind: "manifest" as const, bytes })),
    maybeMutated(list).map((bytes) => ({ kind: "list" as const, bytes })),
    // One for the other, and either for anything else.
    maybeMutated(fc.oneof(list, manifest, written)).chain((bytes) =>
      fc.constantFrom<"manifest" | "list">("manifest", "list").map((kind) => ({ kind, bytes })),
    ),
  ),
  subject: decode,
  holds: (given, decodeIt) => {
    let found: readonly unknown[];
    try {
      found = decodeIt(given);
    } catch (error) {
      return requireTagged(error, AvroError, ManifestError);
    }
    // What is read is whole: nothing of it is missing, whatever was damaged.
    for (const one of found) for (const part of Object.values(one as object)) claim(part).not.toBe(undefined);
  },
  faults: {
    "a path may be missing": (given) => decode(given).map((one) => ({ ...(one as object), path: undefined })),
    "a damaged file is a TypeError": (given) => {
      try {
        return decode(given);
      } catch {
        throw new TypeError("cannot read properties of undefined");
      }
    },
  },
});

fuzz<readonly string[], (names: readonly string[]) => readonly string[]>({
  name: "manifests, written and read",
  inputs: fc.array(
    fc.string({ unit: "binary", minLength: 1 }).filter((name) => name.isWellFormed()),
    { maxLength: 5 },
  ),
  subject: (names) => {
    const files = names.map((name) => ({
      ...entryOf("x", 2n ** 62n + 3n),
      file: { ...entryOf("x", 1).file, path: dataFile(DAY, name).path },
    }));
    return decodeManifest(encodeManifest({ ...EVENTS, entries: files })).entries.map(
      ({ file, snapshotId }) => `${file.path} ${String(snapshotId)}`,
    );
  },
  holds: (names, pass) =>
    claim(pass(names)).toEqual(names.map((name) => `${dataFile(DAY, name).path} ${2n ** 62n + 3n}`)),
  faults: {
    "ids are doubles": (names) => names.map((name) => `${dataFile(DAY, name).path} ${Number(2n ** 62n + 3n)}`),
  },
});
