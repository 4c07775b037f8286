/**
 * Queries and bodies of the operators' calls: what is not as it must be is refused as a mistake of the
 * caller's, and the lake is asked for nothing but what a shard, a letter or a limit can be.
 */
import * as fc from "fast-check";
import { Hono } from "hono";

import type { AdminGuard } from "../../workers/http/admin-auth.ts";
import type { HonoEnv } from "../../workers/http/hono-env.ts";
import { queryFault } from "../../workers/http/query-names.ts";
import type { LetterAdmin } from "../../workers/letter-admin.ts";
import { mountDeadLetterAdmin } from "../../workers/routes/admin/dead-letters.ts";
import { selectShards } from "../../workers/shard-selection.ts";
import { claim, fuzz } from "./fuzzing.ts";
import { jsonText, mutatedText } from "./mutations.ts";

interface Asked {
  readonly path: "" | "/redrive" | "/purge";
  readonly query: string;
  readonly body: string;
}
interface Seen {
  readonly status: number;
  readonly asks: readonly { readonly what: string; readonly args: readonly unknown[] }[];
}
type Ask = (asked: Asked) => Promise<Seen>;

const KNOWN = { findShards: async () => ({ indexes: [0, 1, 7], error: null }) };

const ask: Ask = async ({ path, query, body }) => {
  const asks: { what: string; args: readonly unknown[] }[] = [];
  const note =
    <T>(what: string, answer: T) =>
    async (...args: unknown[]) => {
      asks.push({ what, args });
      return answer;
    };
  const lakeAdmin = {
    select: (given: string | number | undefined) => selectShards(given, KNOWN, 2),
    listLetters: note("list", { ok: true, value: { letters: [], next: null } }),
    redrive: note("redrive", { failed: [], full: [] }),
    purge: note("purge", { ok: true, value: { purged: 0 } }),
  };
  const app = new Hono<HonoEnv>();
  app.use(async (context, next) => {
    context.set("requestId", "req-1");
    await next();
  });
  // The guard's own checks of a query, without its doors.
  const guard = ((options: { query?: readonly string[] }, handler: (context: never) => Promise<Response>) =>
    async (context: { req: { url: string } }) => {
      const fault = queryFault(new URL(context.req.url).searchParams, options.query ?? []);
      return fault === undefined ? handler(context as never) : new Response(null, { status: 400 });
    }) as unknown as AdminGuard;
  mountDeadLetterAdmin(app, { lakeAdmin: lakeAdmin as unknown as LetterAdmin }, guard);
  const init = path === "" ? {} : { method: "POST", body };
  const response = await app.request(`/admin/dead-letters${path}?${query}`, init);
  return { status: response.status, asks };
};

const value = fc.oneof(
  fc.constantFrom(
    "0",
    "1",
    "7",
    "8",
    "255",
    "256",
    "007",
    "1e1",
    "-1",
    " 1",
    "٣",
    "0.1",
    "1.99999999999999999",
    "",
    "%",
    "%00",
    "null",
    "shard",
  ),
  fc.string({ maxLength: 8 }).map((text) => encodeURIComponent(text.toWellFormed())),
  fc.nat(300).map(String),
);
const query = fc
  .array(fc.tuple(fc.constantFrom("shard", "limit", "after", "shard", "Limit", "x", "__proto__"), value), {
    maxLength: 3,
  })
  .map((pairs) => pairs.map(([name, text]) => `${name}=${text}`).join("&"));
const body = fc
  .record(
    {
      shard: fc.oneof(fc.nat(9), fc.jsonValue(), fc.constantFrom<unknown>(1.5, -1, 256, "0")),
      ids: fc.oneof(fc.array(fc.integer({ min: -1, max: 9 })), fc.jsonValue()),
      confirm: fc.jsonValue(),
      more: fc.jsonValue(),
    },
    { requiredKeys: [] },
  )
  .map((made) => JSON.stringify(made));

fuzz<Asked, Ask>({
  name: "operators' queries and bodies",
  inputs: fc.record({
    path: fc.constantFrom("" as const, "/redrive" as const, "/purge" as const),
    query,
    body: fc.oneof(
      body,
      mutatedText(body).map(({ text }) => text),
      jsonText,
      fc.constant(""),
    ),
  }),
  subject: ask,
  holds: async (asked, askIt) => {
    const { status, asks } = await askIt(asked);
    claim([200, 400, 404, 413]).toContain(status);
    if (status !== 200) claim(asks).toEqual([]);
    for (const { what, args } of asks) {
      if (what === "list") {
        const [, limit, after] = args as [unknown, number, { shardIndex: number; letterId: number } | undefined];
        claim(Number.isInteger(limit) && limit >= 1 && limit <= 200).toBe(true);
        if (after !== undefined) claim(Number.isSafeInteger(after.letterId) && after.shardIndex < 256).toBe(true);
        continue;
      }
      const ids = what === "redrive" ? args[1] : (args[1] as { ids: unknown }).ids;
      const isList = Array.isArray(ids) && ids.length > 0 && ids.every((id) => Number.isSafeInteger(id) && id > 0);
      claim(ids === undefined || isList).toBe(true);
      for (const shard of [args[0]].flat()) claim([0, 1, 7]).toContain(shard);
      // A slip of the pen never widens what is asked for.
      const meant = JSON.parse(asked.body === "" ? "{}" : asked.body) as Record<string, unknown>;
      if (what === "purge") claim(args[0]).toBe(meant["shard"]);
      if ("ids" in meant) claim(ids).toEqual(meant["ids"]);
    }
  },
  faults: {
    "ids that are none stand for all": (asked) =>
      ask({
        ...asked,
        body: asked.body.replaceAll(/"ids":\[\]/g, '"shard":0').replaceAll(/"ids":[^[,}]+/g, '"shard":0'),
      }),
    "what is no query is a fault of the service": async (asked) => {
      const seen = await ask(asked);
      return seen.status === 400 ? { ...seen, status: 500 } : seen;
    },
  },
});
