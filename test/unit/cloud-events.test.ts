/**
 * CloudEvents 1.0.2 to rows: every rule of every attribute, the modes, and the examples of the specification.
 */
import { expect, test } from "vitest";

import { BATCH, faultOf, JSON_TYPE, NOW_US, read, readOne, REQUIRED, STRUCTURED } from "../fixtures/ingest-calls.ts";

const TIME = "2018-04-05T17:31:00Z";
const TIME_US = Date.UTC(2018, 3, 5, 17, 31) * 1000;
const EXAMPLE = { ...REQUIRED, time: TIME, comexampleextension1: "value", comexampleothervalue: 5 };
const EXTENSIONS = { comexampleextension1: "value", comexampleothervalue: 5 };

test("the four required attributes make an event: no time is now, the rest is unset", () => {
  expect(readOne(STRUCTURED, REQUIRED)).toEqual({
    id: "A234-1234-1234",
    source: "/mycontext",
    type: "com.example.someevent",
    subject: undefined,
    timeUs: NOW_US,
    requestId: undefined,
    tenant: "acme",
    data: undefined,
    extensions: undefined,
  });
});

test.each([
  [
    "binary data",
    { datacontenttype: "application/vnd.apache.thrift.binary", data_base64: "AQID" },
    '{"data_base64":"AQID"}',
  ],
  [
    "XML",
    { unsetextension: null, datacontenttype: "application/xml", data: '<much wow="xml"/>' },
    '"<much wow=\\"xml\\"/>"',
  ],
  [
    "an object",
    { subject: null, datacontenttype: "application/json", data: { appinfoA: "abc", appinfoB: 123, appinfoC: true } },
    '{"appinfoA":"abc","appinfoB":123,"appinfoC":true}',
  ],
  ["a string without a type", { data: "I'm just a string" }, '"I\'m just a string"'],
])("JSON Event Format 3.2, the specification's example: %s", (_name, rest: Record<string, unknown>, data) => {
  const event = readOne(STRUCTURED, JSON.stringify({ ...EXAMPLE, ...rest }, null, 4));
  expect(event).toMatchObject({ id: REQUIRED.id, timeUs: TIME_US, data, subject: undefined });
  const { datacontenttype } = rest;
  expect(JSON.parse(event.extensions ?? "")).toEqual({
    ...EXTENSIONS,
    ...(datacontenttype === undefined ? {} : { datacontenttype }),
  });
});

const CE = {
  "ce-specversion": "1.0",
  "ce-type": "com.example.someevent",
  "ce-time": TIME,
  "ce-id": "1234-1234-1234",
  "ce-source": "/mycontext/subcontext",
};

test.each([
  [
    "application/json; charset=utf-8",
    '{\n "appinfoA" : "abc",\n "n": 9007199254740993 }',
    '{"appinfoA":"abc","n":9007199254740993}',
  ],
  ["application/vnd.acme+json", "[1, 2]", "[1,2]"],
  ["application/json", "12345678901234567890", "12345678901234567890"],
  ["application/json", "null", "null"],
  ["text/plain", 'say "hi"\n', '"say \\"hi\\"\\n"'],
  ["application/xml", "<much wow='ü'/>", "\"<much wow='ü'/>\""],
  ["application/octet-stream", new Uint8Array([0, 255, 16]), '{"data_base64":"AP8Q"}'],
  // Another charset, and no type: the bytes as they are.
  ["text/plain; charset=ISO-8859-1", new Uint8Array([0xfc]), '{"data_base64":"/A=="}'],
  [undefined, "abc", '{"data_base64":"YWJj"}'],
  ["application/json", "", undefined],
])("HTTP binding 3.1, binary mode: %s", (contentType, body, data) => {
  const event = readOne(contentType, body, { ...CE, "ce-traceparent": "00-ab-cd-01", "user-agent": "curl" });
  expect(event).toMatchObject({ id: "1234-1234-1234", source: "/mycontext/subcontext", timeUs: TIME_US });
  expect(event.data).toBe(data);
  const type = contentType === undefined ? {} : { datacontenttype: contentType };
  expect(JSON.parse(event.extensions ?? "")).toEqual({ ...type, traceparent: "00-ab-cd-01" });
});

test("bytes of every value and number come back from base64", () => {
  for (const length of [1, 2, 3, 24_575, 24_576, 24_577, 70_000]) {
    const body = Uint8Array.from({ length }, (_, at) => (at * 7) % 256);
    const { data = "" } = readOne("application/octet-stream", body, CE);
    const { data_base64: base64 } = JSON.parse(data) as { data_base64: string };
    expect(Buffer.from(base64, "base64").equals(body)).toBe(true);
  }
});

test.each([
  ["Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀"],
  ["%e2%82%ac", "€"],
  ["unn%65cessary", "unnecessary"],
  ["%2525", "%25"],
  ['"quoted \\"text\\" %41"', 'quoted "text" A'],
  ['not "quoted" whole', 'not "quoted" whole'],
  ["with space", "with space"],
  ["%C0%A0", undefined],
  ["%zz", undefined],
  ["100%", undefined],
  ["Zürich", undefined],
  ["%00", undefined],
])("HTTP binding 3.1.3.2: header value %s is %s", (value, text) => {
  const { events, rejected } = read(undefined, "", { ...CE, "ce-subject": value });
  expect(events[0]?.subject).toBe(text);
  expect(rejected.map(({ code, field }) => `${code} ${field}`)).toEqual(
    text === undefined ? ["invalid_event subject"] : [],
  );
});

test.each([
  [{ "ce-data": "x" }, "invalid_event data"],
  [{ "ce-data_base64": "AA==" }, "invalid_event data_base64"],
  [{ "ce-datacontenttype": "text/plain" }, "invalid_event datacontenttype"],
  [{ "ce-my-name": "x" }, "invalid_event my-name"],
  [{ "ce-specversion": "0.3" }, "unsupported_specversion specversion"],
  [{ "ce-id": "" }, "invalid_event id"],
  [{ "ce-flag": "true" }, "taken"],
])("binary mode, headers %j: %s", (headers, fault) => {
  expect(faultOf("text/plain", "x", { ...CE, ...headers })).toBe(fault);
});

test("binary mode: a lone ce- header is not enough, and the body must be what its type says", () => {
  expect(faultOf(JSON_TYPE, "{}", { "ce-id": "1" })).toBe("unsupported_specversion specversion");
  expect(faultOf(JSON_TYPE, "{oops", CE)).toBe("invalid_event data");
  expect(faultOf(JSON_TYPE, "{} {}", CE)).toBe("invalid_event data");
  expect(faultOf("text/plain", new Uint8Array([0xff]), CE)).toBe("invalid_event data");
  expect(faultOf("nonsense", "x", CE)).toBe("invalid_event datacontenttype");
});

test.each([
  ["application/cloudevents+avro", {}],
  ["application/cloudevents", {}],
  ["application/cloudevents-batch+avro", CE],
  ["text/plain;charset=UTF-8", {}],
  ["application/x-www-form-urlencoded", {}],
  ["application/json; charset=latin1", {}],
])("415 for %s says what is accepted", (contentType, headers) => {
  const reading = read(contentType, REQUIRED, headers);
  expect(reading.code).toBe("unsupported_media_type");
  expect(reading.detail).toContain("application/cloudevents-batch+json");
});

test("the media type decides, in any case and with parameters; headers beside a structured event do not count", () => {
  expect(readOne("Application/CloudEvents+JSON; charset=UTF-8", REQUIRED, { "ce-id": "other" }).id).toBe(REQUIRED.id);
  expect(readOne('application/json; charset="utf-8"', REQUIRED).extensions).toBe(undefined);
  expect(readOne(undefined, REQUIRED).type).toBe(REQUIRED.type);
});

const LONG = (chars: number) => "x".repeat(chars);
test.each<[string, Record<string, unknown>]>([
  ["unsupported_specversion specversion", { specversion: "0.3" }],
  ["unsupported_specversion specversion", { specversion: 1.0 }],
  ["unsupported_specversion specversion", { specversion: undefined }],
  ["unsupported_specversion specversion", { specversion: null }],
  ...["id", "source", "type"].flatMap((name): [string, Record<string, unknown>][] =>
    [undefined, null, "", 1, {}, "a\u0000b", "\ud800", "\ufffe", "\u{1fffe}", "\u0085"].map((value) => [
      `invalid_event ${name}`,
      { [name]: value },
    ]),
  ),
  ["taken", { id: LONG(256), type: LONG(256), source: LONG(2048), subject: LONG(1024) }],
  ["invalid_event id", { id: LONG(257) }],
  ["invalid_event type", { type: LONG(257) }],
  ["invalid_event source", { source: LONG(2049) }],
  ["invalid_event subject", { subject: LONG(1025) }],
  ["invalid_event subject", { subject: "" }],
  ["invalid_event subject", { subject: 5 }],
  ["taken", { id: "ü 😀 \u2028", subject: "naïve" }],
  ["taken", { source: "https://github.com/cloudevents?x=1#y" }],
  ["taken", { source: "urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66" }],
  ["taken", { source: "mailto:cncf-wg-serverless@lists.cncf.io" }],
  ["taken", { source: "1-555-123-4567" }],
  ["taken", { source: "/a%20b" }],
  ["invalid_event source", { source: "/a b" }],
  ["invalid_event source", { source: "spillway/streams/demo" }],
  ["taken", { source: "/spillway/streams/demo" }],
  ["invalid_event source", { source: "/a%2" }],
  ["invalid_event source", { source: "/ü" }],
  ["invalid_event source", { source: "<x>" }],
  ["taken", { time: null }],
  ["invalid_event time", { time: "" }],
  ["invalid_event time", { time: "yesterday" }],
  ["invalid_event time", { time: 1_700_000_000 }],
  ["invalid_event time", { time: "1969-12-31T23:59:59Z" }],
  ["taken", { datacontenttype: "text/plain; charset=utf-8" }],
  ["invalid_event datacontenttype", { datacontenttype: "json" }],
  ["invalid_event datacontenttype", { datacontenttype: "" }],
  ["invalid_event datacontenttype", { datacontenttype: `a/${LONG(255)}` }],
  ["taken", { dataschema: "https://example.com/schema#1" }],
  ["invalid_event dataschema", { dataschema: "/schema" }],
  ["invalid_event dataschema", { dataschema: "" }],
  ["taken", { [LONG(64)]: "", flag: false, count: -2_147_483_648, most: 2_147_483_647 }],
  ["invalid_event camelCase", { camelCase: "x" }],
  ["invalid_event my_ext", { my_ext: "x" }],
  ["invalid_event ", { "": "x" }],
  [`invalid_event ${LONG(65)}`, { [LONG(65)]: "x" }],
  [`invalid_event ${LONG(256)}`, { [LONG(300_000)]: "x" }],
  ["invalid_event ext", { ext: { a: 1 } }],
  ["invalid_event ext", { ext: [] }],
  ["invalid_event ext", { ext: 1.5 }],
  ["invalid_event ext", { ext: 2_147_483_648 }],
  ["invalid_event ext", { ext: "a\nb" }],
  ["taken", { unset: null }],
  ["invalid_event requestid", { requestid: "" }],
  ["invalid_event requestid", { requestid: 7 }],
  ["invalid_event requestid", { requestid: LONG(257) }],
  ["taken", { data_base64: "" }],
  ["taken", { data_base64: null, data: 1 }],
  ["invalid_event data_base64", { data_base64: "AQID", data: 1 }],
  ["invalid_event data_base64", { data_base64: "AQID", data: null }],
  ["invalid_event data_base64", { data_base64: "AQI" }],
  ["invalid_event data_base64", { data_base64: "AQ-_" }],
  ["invalid_event data_base64", { data_base64: "AQ==\n" }],
  ["invalid_event data_base64", { data_base64: 5 }],
])("%s: %j", (fault, members) => {
  expect(faultOf(STRUCTURED, { ...REQUIRED, ...members })).toBe(fault);
});

test("a wide integer is no extension value, and says so", () => {
  const body = JSON.stringify({ ...REQUIRED, ext: 0 }).replace('"ext":0', '"ext":12345678901234567890');
  expect(read(STRUCTURED, body).rejected[0]?.detail).toContain("found a number");
});

const extensions = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, at) => [`ext${at}`, "x"]));

test("at most 64 extensions, requestid among them; content type and schema are none", () => {
  const others = { datacontenttype: "text/plain", dataschema: "urn:x", requestid: "r-1" };
  const taken = readOne(STRUCTURED, { ...REQUIRED, ...others, ...extensions(63) });
  expect(Object.keys(JSON.parse(taken.extensions ?? "") as object)).toHaveLength(65);
  expect(faultOf(STRUCTURED, { ...REQUIRED, ...others, ...extensions(64) })).toBe("invalid_event ext63");
});

test("requestid fills its column and is not kept twice", () => {
  const event = readOne(STRUCTURED, { ...REQUIRED, requestid: "req-1", traceparent: "00-1-2-01" });
  expect(event).toMatchObject({ requestId: "req-1", extensions: '{"traceparent":"00-1-2-01"}' });
});

test("data null is a payload of null, and no data is none", () => {
  expect(readOne(STRUCTURED, { ...REQUIRED, data: null }).data).toBe("null");
  expect(readOne(STRUCTURED, REQUIRED).data).toBe(undefined);
});

test("JSON Event Format 4.3, the specification's batch; each event keeps its index", () => {
  const batch = [
    {
      ...EXAMPLE,
      source: "/mycontext/4",
      datacontenttype: "application/vnd.apache.thrift.binary",
      data_base64: "AQID",
    },
    { ...EXAMPLE, id: "" },
    { ...EXAMPLE, source: "/mycontext/9", id: "C234-1234-1234", data: { appinfoA: "abc" } },
    "no event",
    { id: "plain objects are none here" },
  ];
  const reading = read(BATCH, JSON.stringify(batch, null, 2));
  expect(reading.indexes).toEqual([0, 2]);
  expect(reading.events.map(({ source }) => source)).toEqual(["/mycontext/4", "/mycontext/9"]);
  expect(reading.rejected).toMatchObject([
    { index: 1, code: "invalid_event", field: "id", detail: "is empty" },
    { index: 3, code: "invalid_event", field: "event", detail: "a JSON object is needed, found a string" },
    { index: 4, code: "unsupported_specversion", field: "specversion" },
  ]);
  expect(read(BATCH, " [ ] ")).toMatchObject({ events: [], rejected: [], code: undefined });
});

test("a batch under the wrong type, and one event under the batch's", () => {
  expect(read(STRUCTURED, [REQUIRED]).rejected[0]?.detail).toContain(BATCH);
  expect(faultOf(BATCH, REQUIRED)).toBe("invalid_request is not a JSON array");
});

test("no answer repeats what was sent", () => {
  const secret = "hunter2";
  const values = { specversion: secret, id: 5, source: `${secret} ${secret}`, time: secret, data_base64: `${secret}!` };
  for (const [name, value] of Object.entries(values)) {
    const { rejected } = read(STRUCTURED, { ...REQUIRED, [name]: value });
    expect(rejected).toHaveLength(1);
    expect(JSON.stringify(rejected)).not.toContain(secret);
  }
});
