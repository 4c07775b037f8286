/**
 * Avro files: what is written reads back the same, by us and by others; what others write is read; what
 * is cut, broken or hostile is an error, soon.
 */
import * as fc from "fast-check";
import { avroMetadata, avroRead } from "icebird";
import { describe, expect, test } from "vitest";

import { readAvroFile, writeAvroFile } from "../../durable-objects/iceberg/avro-container.ts";
import { AvroCursor, decodeAvro } from "../../durable-objects/iceberg/avro-decode.ts";
import { AvroSink, encodeAvro } from "../../durable-objects/iceberg/avro-encode.ts";
import { AvroError, parseAvroSchema, type AvroValue } from "../../durable-objects/iceberg/avro-schema.ts";
import { avroBytes, avroSamples, handmadeFile, longInt } from "../fixtures/avro-samples.ts";

function encode(schema: unknown, value: AvroValue): Uint8Array {
  return avroBytes((sink) => encodeAvro(parseAvroSchema(schema), value, sink));
}

function decode(schema: unknown, bytes: Uint8Array): AvroValue {
  return decodeAvro(parseAvroSchema(schema), new AvroCursor(bytes), { left: 10_000 });
}

/** The error, or `undefined`. Anything but an AvroError fails the test. */
function refusal(read: () => unknown): string | undefined {
  try {
    read();
    return undefined;
  } catch (error) {
    if (error instanceof AvroError) return error.message;
    throw error;
  }
}

function long(...values: (number | bigint)[]): Uint8Array {
  return avroBytes((sink) => values.forEach((value) => sink.writeLong(value)));
}

/** A file of one block without compression. */
function one(schema: unknown, bytes: Uint8Array, count = 1): Uint8Array {
  return handmadeFile({ schema, blocks: [{ count, bytes }] });
}

const LINKED_LIST = {
  type: "record",
  name: "node",
  namespace: "a.b",
  fields: [
    { name: "value", type: "long" },
    { name: "next", type: ["null", "node"] },
  ],
};

describe("values", () => {
  test("are read back as they were written", () => {
    fc.assert(
      fc.property(avroSamples, fc.constantFrom("deflate" as const, "null" as const), ({ schema, values }, codec) => {
        const file = writeAvroFile({ schema: { type: schema }, metadata: { key: "ü" }, records: values, codec });
        const read = readAvroFile(file);
        expect(read.records).toEqual(values);
        expect(read.metadata.get("key")).toBe("ü");
      }),
      { numRuns: 500 },
    );
  });

  // Examples of the specification, "Binary Encoding".
  test.each([
    ["long", 0, [0]],
    ["long", -1, [1]],
    ["long", 1, [2]],
    ["int", -64, [0x7f]],
    ["long", 64, [0x80, 1]],
    ["long", -(2n ** 63n), [255, 255, 255, 255, 255, 255, 255, 255, 255, 1]],
    ["string", "foo", [6, 0x66, 0x6f, 0x6f]],
    ["bytes", Uint8Array.of(9), [2, 9]],
    [{ type: "array", items: "long" }, [3, 27], [4, 6, 0x36, 0]],
    [["null", "string"], null, [0]],
    [["null", "string"], "a", [2, 2, 0x61]],
    [{ type: "int", logicalType: "date" }, 20_000, [0xc0, 0xb8, 2]],
  ] as const)("%j %s are the bytes the specification gives", (schema, value, expected) => {
    expect([...encode(schema, value)]).toEqual(expected);
    expect(decode(schema, Uint8Array.from(expected))).toEqual(value);
  });

  test("64-bit longs are exact: a number as far as numbers are, a bigint beyond", () => {
    fc.assert(
      fc.property(longInt, (value) => {
        expect(decode("long", encode("long", value))).toBe(value);
      }),
    );
  });

  test("of a type that refers to itself by its name in a namespace", () => {
    const list = { value: 1, next: { value: 2n ** 60n, next: null } };
    expect(decode(LINKED_LIST, encode(LINKED_LIST, list))).toEqual(list);
    const qualified = [LINKED_LIST, "a.b.node"];
    expect(refusal(() => parseAvroSchema({ type: "array", items: qualified }))).toBeUndefined();
  });

  test("in blocks with sizes, as writers of streams make them", () => {
    const bytes = avroBytes((sink) => {
      sink.writeLong(-2);
      sink.writeLong(2);
      sink.writeLong(5);
      sink.writeLong(6);
      sink.writeLong(1);
      sink.writeLong(7);
      sink.writeLong(0);
    });
    expect(decode({ type: "array", items: "int" }, bytes)).toEqual([5, 6, 7]);
  });

  test.each([
    ["int", 2 ** 31],
    ["int", 0.5],
    ["long", 2 ** 53],
    ["long", 2n ** 63n],
    ["float", 0.1],
    ["boolean", 0],
    ["string", "\ud800"],
    ["bytes", "a"],
    [{ type: "fixed", name: "f", size: 2 }, Uint8Array.of(1)],
    [{ type: "enum", name: "e", symbols: ["A"] }, "B"],
    [["null", "string"], 1],
    [{ type: "record", name: "r", fields: [{ name: "a", type: "null" }] }, {}],
    [{ type: "map", values: "int" }, { a: 1 }],
  ] as const)("%j refuses %s rather than change it", (schema, value) => {
    expect(refusal(() => encode(schema, value))).toBeTypeOf("string");
  });
});

describe("files", () => {
  const records = Array.from({ length: 3000 }, (_, at) => ({ id: at, name: `file ${at} ${"x".repeat(40)}` }));
  const schema = {
    type: "record",
    name: "r",
    fields: [
      { name: "id", type: "int" },
      { name: "name", type: ["null", "string"], default: null },
    ],
  };

  test.each(["deflate", "null"] as const)("of many blocks are read by another reader, codec %s", (codec) => {
    const bytes = writeAvroFile({ schema, metadata: {}, records, codec });
    const reader = { view: new DataView(bytes.buffer), offset: 0 };
    const { metadata, syncMarker } = avroMetadata(reader);
    expect(avroRead({ reader, metadata, syncMarker })).toEqual(records);
  });

  test("are the same bytes each time, and others for other records", () => {
    const write = (some: typeof records) => writeAvroFile({ schema, metadata: {}, records: some, codec: "deflate" });
    expect(write(records)).toEqual(write(records));
    expect(write(records.slice(1))).not.toEqual(write(records));
  });

  test.each(["zstandard", "deflate", "null", undefined])("of another writer are read, codec %s", (codec) => {
    const blocks = [
      { count: 2, bytes: long(0, 1) },
      { count: 0, bytes: long() },
      { count: 3, bytes: long(2, 3, 4) },
    ];
    const file = handmadeFile({ schema: "long", blocks, ...(codec === undefined ? {} : { codec }) });
    expect(readAvroFile(file).records).toEqual([0, 1, 2, 3, 4]);
  });

  test.each(["snappy", "bzip2", "xz"])("with codec %s are refused by its name", (codec) => {
    const file = handmadeFile({ schema: "long", codec, blocks: [{ count: 1, bytes: Uint8Array.of(2) }] });
    expect(refusal(() => readAvroFile(file))).toBe(`Avro codec is not supported: ${codec}`);
  });
});

describe("broken files", () => {
  const whole = writeAvroFile({
    schema: { type: "record", name: "r", fields: [{ name: "a", type: { type: "array", items: ["null", "string"] } }] },
    metadata: { k: "v" },
    records: [{ a: ["one", null] }, { a: [] }, { a: ["two"] }],
    codec: "null",
  });

  test("cut anywhere are an error, but for a cut between blocks", () => {
    const block = whole.length - 16 - 16;
    const cuts = Array.from({ length: whole.length }, (_, length) => length);
    const accepted = cuts.filter((length) => refusal(() => readAvroFile(whole.subarray(0, length))) === undefined);
    // The one that leaves a header alone is a file without records; nothing in it tells of more.
    expect(accepted).toHaveLength(1);
    expect(accepted[0]).toBeLessThan(block);
    expect(readAvroFile(whole.subarray(0, accepted[0])).records).toEqual([]);
  });

  test("with bytes changed are read or an error, nothing else", () => {
    const change = fc.tuple(fc.nat(whole.length - 1), fc.nat(255));
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 5 }), (changes) => {
        const broken = whole.slice();
        for (const [at, byte] of changes) broken[at] = byte;
        expect([undefined, expect.any(String)]).toContainEqual(refusal(() => readAvroFile(broken)));
      }),
      { numRuns: 2000 },
    );
  });

  test("of random bytes after a good header are an error", () => {
    const header = handmadeFile({ schema: { type: "array", items: "null" }, codec: "deflate", blocks: [] });
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 60 }), (tail) => {
        const file = Uint8Array.from([...header, ...tail]);
        expect(refusal(() => readAvroFile(file))).toBeTypeOf("string");
      }),
    );
  });

  const SELF = { type: "record", name: "s", fields: [{ name: "a", type: "s" }] };
  const TWINS = {
    type: "record",
    name: "t0",
    fields: ["a", "b"].map((name) => ({ name, type: name === "a" ? { ...SELF, name: "t1" } : "t0" })),
  };

  test.each([
    ["an array of a trillion nulls", one({ type: "array", items: "null" }, long(1e12, 0)), "too many values"],
    ["a trillion records of no bytes", one("null", new Uint8Array(), 1e12), "too many values"],
    ["2^62 items", one({ type: "array", items: "null" }, long(2n ** 62n, 0)), "too many items"],
    ["a text longer than the file", one("string", long(1e9)), "does not fit the bytes"],
    ["a text of negative length", one("string", long(-5)), "does not fit the bytes"],
    ["a fixed of a gigabyte", one({ type: "fixed", name: "f", size: 2 ** 30 }, long(1)), "end too early"],
    ["a record that holds itself", one({ ...SELF, fields: [{ name: "a", type: "s" }] }, new Uint8Array()), "nests"],
    ["a list nested without end", one(LINKED_LIST, new Uint8Array(5000).fill(2)), "nests too deeply"],
    ["two that hold each other", one({ ...TWINS, fields: [{ name: "a", type: "t0" }] }, long()), "nests too deeply"],
    ["a branch that is not there", one(["null", "int"], long(2)), "no such branch"],
    ["a symbol that is not there", one({ type: "enum", name: "e", symbols: ["A"] }, long(-1)), "no such branch"],
    ["a boolean of 2", one("boolean", Uint8Array.of(2)), "neither 0 nor 1"],
    ["text that is not UTF-8", one("string", Uint8Array.of(2, 0xff)), "not UTF-8"],
    ["an int of 33 bits", one("int", long(2 ** 32)), "out of range"],
    ["a long of 11 bytes", one("long", new Uint8Array(11).fill(0x80)), "more than 64 bits"],
    ["a long of 70 bits", one("long", Uint8Array.of(...new Uint8Array(9).fill(0xff), 0x7f)), "more than 64 bits"],
    ["a negative count", one("long", long(), -1), "negative count"],
    ["more bytes than records", one("long", long(1, 2)), "more than its records"],
    ["another marker", one("long", long(1)).fill(8, -1), "marker"],
    ["no magic", new TextEncoder().encode("PAR1 and more"), "does not begin"],
    ["nothing", new Uint8Array(), "does not begin"],
  ])("with %s are refused", (_, file, reason) => {
    expect(refusal(() => readAvroFile(file))).toContain(reason);
  });

  test.each(["deflate", "zstandard"])("that %s a great deal into little are refused before they are large", (codec) => {
    const bomb = handmadeFile({ schema: "bytes", codec, blocks: [{ count: 1, bytes: new Uint8Array(40_000_000) }] });
    expect(bomb.length).toBeLessThan(100_000);
    expect(refusal(() => readAvroFile(bomb))).toBe("Avro file is too large");
  });

  test("are refused once all blocks together are too large", () => {
    const block = { count: 1, bytes: avroBytes((sink) => sink.writeBytes(new Uint8Array(600))) };
    const limits = { maxBytes: 1000, maxValues: 100 };
    const file = (blocks: (typeof block)[]) => handmadeFile({ schema: "bytes", codec: "deflate", blocks });
    expect(readAvroFile(file([block]), limits).records).toHaveLength(1);
    expect(refusal(() => readAvroFile(file([block, block]), limits))).toBe("Avro file is too large");
  });

  test.each(["deflate", "zstandard"])("with garbage where %s belongs are refused", (codec) => {
    const good = handmadeFile({ schema: "long", codec, blocks: [{ count: 1, bytes: long(1) }] });
    const at = good.length - 16 - 3;
    expect(refusal(() => readAvroFile(good.fill(0xff, at, at + 3)))).toBeTypeOf("string");
  });
});

describe("schemas", () => {
  test.each([
    ["an unknown name", "foo"],
    ["no type", {}],
    ["a number", 5],
    ["a record without fields", { type: "record", name: "r" }],
    ["a field without a name", { type: "record", name: "r", fields: [{ type: "int" }] }],
    ["a field twice", { type: "record", name: "r", fields: [1, 2].map(() => ({ name: "a", type: "int" })) }],
    ["a name twice", [1, 2].map((size) => ({ type: "fixed", name: "f", size }))],
    ["a fixed of no size", { type: "fixed", name: "f" }],
    ["an enum of numbers", { type: "enum", name: "e", symbols: [1] }],
    ["a union in a union", ["null", ["int"]]],
  ])("with %s are refused", (_, schema) => {
    expect(refusal(() => parseAvroSchema(schema))).toBeTypeOf("string");
  });

  test("nested a thousand deep are refused", () => {
    let schema: unknown = "int";
    for (let depth = 0; depth < 1000; depth++) schema = { type: "array", items: schema };
    expect(refusal(() => parseAvroSchema(schema))).toContain("too deeply");
  });

  test("that are no JSON, or missing, are refused", () => {
    const text = new AvroSink();
    text.writeRaw(Uint8Array.of(0x4f, 0x62, 0x6a, 1));
    text.writeLong(0);
    expect(refusal(() => readAvroFile(text.toBytes()))).toBe("Avro file has no schema");
  });
});
