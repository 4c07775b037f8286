/**
 * `POST /events` with CloudEvents in every mode, plain JSON, gzip, and whatever these become when damaged:
 * a caller's mistake is answered as one, every event is accounted for, and what is taken is what was sent, column by column.
 */
import { gzipSync } from "node:zlib";

import * as fc from "fast-check";
import { expect, test } from "vitest";

import type { LakeEvent } from "../../protocol/lake-event.ts";
import type { AppendAnswer, AppendCall } from "../../protocol/lake-call.ts";
import { answerEvents } from "../../workers/ingest/events-call.ts";
import { BATCH, JSON_TYPE, REQUIRED, STRUCTURED } from "../fixtures/ingest-calls.ts";
import { claim, fuzz } from "./fuzzing.ts";
import { rowText, rowTextsOf, type WholeCall } from "./ingest-oracle.ts";
import { jsonText, maybeMutated } from "./mutations.ts";

const KEY = "ingest-key-0123456789";
const NOW_MS = Date.UTC(2026, 10, 21);
const SHARDS = 3;
/** Of so many inputs, this share at least reaches what lies behind the checks. */
const SAMPLE = 1000;
const TAKEN_MIN_SHARE = 0.15;
const encoder = new TextEncoder();

interface Sent {
  readonly contentType: string;
  readonly body: Uint8Array;
  readonly headers: Readonly<Record<string, string>>;
  /** What a body that was not damaged holds. */
  readonly events: number | undefined;
  /** That body. */
  readonly whole?: WholeCall;
  /** Whether nothing of it may be refused. */
  readonly isGood?: boolean;
}

const value = fc.oneof(
  fc.string({ maxLength: 20 }),
  fc.jsonValue(),
  fc.constantFrom<unknown>(1e21, -0, 2 ** 53, null, ""),
);
const event = fc
  .record(
    {
      subject: value,
      time: fc.oneof(
        fc.date({ noInvalidDate: true }).map((date) => date.toISOString()),
        fc.constantFrom<unknown>("2026-11-21T00:00:00.123456789Z", "2026-02-30T00:00:00Z", "1969-12-31T23:59:59Z", 7),
      ),
      datacontenttype: fc.constantFrom<unknown>("application/json", "text/plain", "a/b; c=d", "", 1),
      data: value,
      data_base64: fc.constantFrom<unknown>("AAEC", "=", "", 7),
      traceparent: value,
      request_id: value,
      "bad-name": value,
      __proto__: value,
    },
    { requiredKeys: [] },
  )
  .chain((rest) =>
    fc
      .record({
        id: fc.oneof(fc.constantFrom("a", "b", "c"), value),
        source: fc.oneof(fc.constantFrom("/s", "spillway/x"), value),
      })
      .map((keys) => ({
        ...REQUIRED,
        ...rest,
        ...keys,
      })),
  );
const many = fc.array(event, { maxLength: 6 });

const words = fc.constantFrom("s", "überall", "a b", "東京", "🜁", "x".repeat(256), "null", "0");
const times = fc.oneof(
  fc
    .date({ noInvalidDate: true, min: new Date("1970-01-01T00:00:00Z"), max: new Date("2200-12-31T23:59:59Z") })
    .map((date) => date.toISOString()),
  fc.constantFrom("2026-11-21T00:00:00.123456789Z", "2024-02-29T23:59:59Z", "2026-11-21T00:00:00.1Z"),
);
/** Members that are right in a CloudEvent and in a plain object. */
const goodMembers = {
  id: words,
  source: fc.constantFrom("/s", "urn:x:y", "https://example.com/a?b#c"),
  type: words,
  subject: words,
  time: fc.oneof(times, fc.constant(null)),
  data: fc.jsonValue(),
};
const goodEvent = fc
  .record(
    {
      ...goodMembers,
      requestid: words,
      datacontenttype: fc.constantFrom("application/json", "text/plain", "a/b; c=d"),
      dataschema: fc.constantFrom("https://example.com/schema", "urn:x"),
      own1: fc.oneof(words, fc.boolean(), fc.integer(), fc.constantFrom("", null)),
      traceparent: words,
    },
    { requiredKeys: ["id", "source", "type"] },
  )
  .map((made) => ({ specversion: "1.0", ...made }));
const goodBytes = fc
  .record(
    { ...goodMembers, data: fc.constant(undefined), data_base64: fc.constantFrom("AAEC", "", "/+8=") },
    { requiredKeys: ["id", "source", "type", "data_base64"] },
  )
  .map((made) => ({ specversion: "1.0", ...made }));
const goodPlain = fc.record(
  { ...goodMembers, id: fc.oneof(words, fc.integer(), unusualNumber()), request_id: words, event: words, more: value },
  { requiredKeys: [] },
);

function unusualNumber(): fc.Arbitrary<number> {
  return fc.constantFrom(1e21, 2 ** 53, 0.5, -1);
}

function json(made: unknown): Uint8Array {
  return encoder.encode(JSON.stringify(made));
}

const whole: fc.Arbitrary<Sent> = fc
  .oneof(
    good(fc.oneof(goodEvent, goodBytes), STRUCTURED, BATCH),
    good(fc.oneof(goodEvent, goodPlain), JSON_TYPE, JSON_TYPE),
    any(),
  )
  .map((one) => ({ ...one, whole: { contentType: one.contentType, body: one.body, headers: one.headers } }));

/** One alone or several, of which none may be refused. */
function good(one: fc.Arbitrary<object>, ofOne: string, ofMany: string): fc.Arbitrary<Sent> {
  return fc.oneof(
    one.map((made) => ({ contentType: ofOne, body: json(made), headers: {}, events: 1, isGood: true })),
    fc
      .array(one, { maxLength: 6 })
      .map((list) => ({ contentType: ofMany, body: json(list), headers: {}, events: list.length, isGood: true })),
  );
}

function any(): fc.Arbitrary<Sent> {
  return fc.oneof(
    event.map((one) => ({ contentType: STRUCTURED, body: json(one), headers: {}, events: 1 })),
    many.map((list) => ({ contentType: BATCH, body: json(list), headers: {}, events: list.length })),
    many.map((list) => ({ contentType: JSON_TYPE, body: json(list), headers: {}, events: list.length })),
    event.map((one) => ({ contentType: JSON_TYPE, body: json(one), headers: {}, events: 1 })),
    fc
      .record(
        {
          id: header(),
          type: header(),
          time: header(),
          subject: header(),
          requestid: header(),
          own: header(),
          "x-own": header(),
        },
        { requiredKeys: [] },
      )
      .chain((attributes) =>
        fc
          .tuple(
            fc.oneof(
              fc.uint8Array({ maxLength: 40 }),
              jsonText.map((text) => encoder.encode(text)),
              fc.jsonValue().map(json),
            ),
            fc.constantFrom("text/plain", "application/octet-stream", "application/json"),
          )
          .map(([body, contentType]) => ({
            contentType,
            body,
            headers: {
              "ce-specversion": "1.0",
              "ce-id": "b1",
              "ce-source": "/s",
              "ce-type": "t",
              ...Object.fromEntries(Object.entries(attributes).map(([name, text]) => [`ce-${name}`, text])),
            },
            events: 1,
          })),
      ),
  );
}

function header(): fc.Arbitrary<string> {
  return fc.oneof(
    fc.string({ maxLength: 20 }).map((text) => text.replaceAll(/[^\x20-\x7e]/g, "").trim()),
    fc.constantFrom("%00", "%E2%82%AC", "%", "%zz", "2026-11-21T00:00:00Z", "x".repeat(3000)),
  );
}

/** Nothing more is known of what it holds. */
function asDamaged({ contentType, body, headers }: Sent): Sent {
  return { contentType, body, headers, events: undefined };
}

const damaged: fc.Arbitrary<Sent> = whole.chain((sent) =>
  maybeMutated(fc.constant(sent.body)).map((body) => ({ ...asDamaged(sent), body })),
);
const anyJson: fc.Arbitrary<Sent> = fc
  .tuple(
    jsonText,
    fc.constantFrom(STRUCTURED, BATCH, JSON_TYPE, "text/plain", "application/cloudevents+xml", "", "/;="),
  )
  .map(([text, contentType]) => ({ contentType, body: encoder.encode(text), headers: {}, events: undefined }));

/** Some of them gzipped, of which some are damaged after that. */
const sent: fc.Arbitrary<Sent> = fc.oneof(
  { weight: 4, arbitrary: whole },
  { weight: 4, arbitrary: damaged },
  { weight: 2, arbitrary: anyJson },
  {
    weight: 1,
    arbitrary: whole.map((one) => ({
      ...one,
      body: new Uint8Array(gzipSync(one.body)),
      headers: { ...one.headers, "content-encoding": "gzip" },
    })),
  },
  {
    weight: 1,
    arbitrary: whole.chain((one) =>
      maybeMutated(fc.constant(new Uint8Array(gzipSync(one.body)))).map((body) => ({
        ...asDamaged(one),
        body,
        headers: { ...one.headers, "content-encoding": "gzip" },
      })),
    ),
  },
);

interface Seen {
  readonly status: number;
  readonly text: string;
  readonly calls: readonly AppendCall[];
}
type Answer = (given: Sent) => Promise<Seen>;

const answer: Answer = async ({ contentType, body, headers }) => {
  const calls: AppendCall[] = [];
  const known = new Set<string>();
  let ids = 0;
  const services = {
    ingestKeys: new Map([[KEY, "acme"]]),
    shardCount: SHARDS,
    appendToShard: async (call: AppendCall): Promise<AppendAnswer> => {
      calls.push(call);
      const duplicates: number[] = [];
      for (const [at, { source, id }] of call.events.entries()) {
        const name = JSON.stringify([source, id]);
        if (known.has(name)) duplicates.push(at);
        known.add(name);
      }
      return { ok: true, accepted: call.events.length - duplicates.length, duplicates };
    },
    clock: () => NOW_MS,
    randomId: () => `random-${ids++}`,
  };
  const sentHeaders = new Headers({ authorization: `Bearer ${KEY}`, ...headers });
  if (contentType !== "") sentHeaders.set("content-type", contentType);
  const request = new Request("http://localhost/events", { method: "POST", body: body.slice(), headers: sentHeaders });
  const response = await answerEvents(request, "req-1", services);
  return { status: response.status, text: await response.text(), calls };
};

interface Counts {
  readonly accepted: number;
  readonly duplicates: number;
  readonly rejected: readonly { readonly index: number }[];
}

/** Of a whole body: each event that was not refused, as it was sent, and no other. */
function claimTaken(
  { whole: call, isGood }: Sent,
  taken: readonly LakeEvent[],
  rejected: readonly { readonly index: number }[],
): void {
  if (call === undefined) return;
  const refused = new Set(rejected.map(({ index }) => index));
  if (isGood === true) claim([...refused]).toEqual([]);
  const wanted = rowTextsOf(call, { tenant: "acme", nowMs: NOW_MS }).filter((_, index) => !refused.has(index));
  // Each shard is given its own in their order; which is whose is not said here.
  claim(taken.map(rowText).toSorted()).toEqual(wanted.toSorted());
}

/** Every event that a shard is given, with something changed. */
function changing(change: (event: LakeEvent) => Partial<Record<keyof LakeEvent, unknown>>): Answer {
  const changed = (event: LakeEvent) => ({ ...event, ...change(event) }) as LakeEvent;
  return async (given) => {
    const seen = await answer(given);
    return { ...seen, calls: seen.calls.map((call) => ({ ...call, events: call.events.map(changed) })) };
  };
}

test("a good share of the inputs is taken, with events in them", async () => {
  const seen = await Promise.all(fc.sample(sent, SAMPLE).map(answer));
  const share = seen.filter(({ calls }) => calls.some(({ events }) => events.length > 0)).length / SAMPLE;
  process.stderr.write(`ingest: events of ${Math.round(share * 100)} % of the inputs are taken\n`);
  expect(share).toBeGreaterThan(TAKEN_MIN_SHARE);
});

fuzz<Sent, Answer>({
  name: "ingest",
  inputs: sent,
  subject: answer,
  holds: async (given, ask) => {
    const { status, text, calls } = await ask(given);
    claim([202, 207, 400, 413, 415, 422]).toContain(status);
    const { accepted, duplicates, rejected } = JSON.parse(text) as Partial<Counts>;
    const taken = calls.flatMap(({ events }) => events);
    if (status === 202 || status === 207) {
      if (accepted === undefined || duplicates === undefined || rejected === undefined) throw new Error("no counts");
      claim(accepted + duplicates).toBe(taken.length);
      if (given.events !== undefined) claim(accepted + duplicates + rejected.length).toBe(given.events);
      claimTaken(given, taken, rejected);
      claim(new Set(rejected.map(({ index }) => index)).size).toBe(rejected.length);
    } else claim(taken).toEqual([]);
    if (given.isGood === true) claim(status).toBe(202);
    for (const call of calls) claim(call.shardIndex).toBeLessThan(SHARDS);
    for (const { tenant, source, id, timeUs, data, extensions } of taken) {
      claim(tenant).toBe("acme");
      claim(source.startsWith("spillway/")).toBe(false);
      claim([id.length > 0, Number.isSafeInteger(timeUs)]).toEqual([true, true]);
      for (const part of [data, extensions]) {
        if (part === undefined) continue;
        claim(part).not.toContain("\n");
        JSON.parse(part);
      }
    }
  },
  faults: {
    "the subject is lost": changing(() => ({ subject: undefined })),
    "the request id is lost": changing(() => ({ requestId: undefined })),
    "every time is now": changing(() => ({ timeUs: NOW_MS * 1000 })),
    "times end at milliseconds": changing(({ timeUs }) => ({ timeUs: Math.floor(timeUs / 1000) * 1000 })),
    "ids are cut": changing(({ id }) => ({ id: id.slice(0, 255) })),
    "the type is that of the first": changing(() => ({ type: "s" })),
    "data is lost": changing(() => ({ data: undefined })),
    "data of numbers alone is text": changing(({ data }) => (data === "0" ? { data: '"0"' } : {})),
    "extensions are lost": changing(() => ({ extensions: undefined })),
    "what cannot be read is a fault of the service": async (given) => {
      const seen = await answer(given);
      return seen.status === 400 ? { ...seen, status: 500 } : seen;
    },
    "a rejected event is counted as taken": async (given) => {
      const seen = await answer(given);
      const counts = JSON.parse(seen.text) as Partial<Counts>;
      if (counts.rejected === undefined || counts.rejected.length === 0) return seen;
      return { ...seen, text: JSON.stringify({ ...counts, accepted: (counts.accepted ?? 0) + 1 }) };
    },
    "one event of an append is lost": async (given) => {
      const seen = await answer(given);
      return { ...seen, calls: seen.calls.map((call) => ({ ...call, events: call.events.slice(1) })) };
    },
  },
});
