/**
 * Requests for a route's upstream: none moves it to somewhere else, or overrides what is fixed.
 */
import * as fc from "fast-check";

import type { UpstreamCall } from "../../protocol/stream-call.ts";
import { readRoutes } from "../../workers/route-config.ts";
import { buildUpstreamCall, forwardedQuery } from "../../workers/upstream-call.ts";
import { claim, fuzz } from "./fuzzing.ts";

interface Call {
  readonly upstream: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
}
type Build = (call: Call) => UpstreamCall;

const FIXED = "https://api.example.com/v1/chat?model=a&key=k";
const build: Build = ({ upstream: to, path, headers }) => {
  const [config] = readRoutes(
    [{ name: "r", upstream: to, forwardHeaders: ["x-key"], headers: { "x-fixed": "f" } }],
    {},
    [],
  );
  if (config === undefined) throw new Error("the route is not valid");
  const request = new Request(new URL(path, "http://edge.test/"), { headers });
  return buildUpstreamCall(config, request, forwardedQuery(request.url));
};

fuzz<Call, Build>({
  name: "upstream calls",
  inputs: fc.record({
    upstream: fc.constantFrom(FIXED, "http://host:8080/", "https://host/a%2Fb/..%2f?x=1"),
    path: fc.oneof(
      fc.webQueryParameters().map((query) => `/r/stream?${query}`),
      fc
        .array(
          fc.constantFrom(
            "model=z",
            "key",
            "model",
            "%6dodel=z",
            "model%00=1",
            "@evil.test/",
            "//evil.test",
            "token=t",
            "&",
            "=",
            "#",
            "?",
            "a=1",
          ),
          { maxLength: 8 },
        )
        .map((parts) => `/r/stream?${parts.join("&")}`),
      fc.string().map((text) => `/r/stream?q=${encodeURIComponent(text.toWellFormed())}`),
    ),
    headers: fc.dictionary(
      fc.constantFrom(
        "host",
        "x-key",
        "x-fixed",
        "accept",
        "content-type",
        "authorization",
        "x-forwarded-host",
        "cookie",
      ),
      fc.string({ maxLength: 20 }).map((text) => text.replaceAll(/[^\x21-\x7e]/g, "")),
    ),
  }),
  subject: build,
  holds: (call, buildIt) => {
    const { url, headers, method } = buildIt(call);
    const [wanted, built] = [new URL(call.upstream), new URL(url)];
    claim([built.origin, built.pathname, method]).toEqual([wanted.origin, wanted.pathname, "POST"]);
    for (const name of new Set(wanted.searchParams.keys())) {
      claim(built.searchParams.getAll(name)).toEqual(wanted.searchParams.getAll(name));
    }
    for (const own of ["token", "last_event_id", "idempotency_key"]) claim(built.searchParams.has(own)).toBe(false);
    claim(headers["x-fixed"]).toBe("f");
    for (const name of Object.keys(headers)) claim(["accept", "content-type", "x-key", "x-fixed"]).toContain(name);
  },
  faults: {
    "a caller's query goes before the fixed one": (call) => {
      const made = build(call);
      const url = new URL(made.url);
      for (const [name, value] of new URL(call.path, "http://edge.test/").searchParams)
        url.searchParams.set(name, value);
      return { ...made, url: url.href };
    },
    "all of a caller's headers go along": (call) => {
      const made = build(call);
      return { ...made, headers: { ...call.headers, ...made.headers } };
    },
  },
});
