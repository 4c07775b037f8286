/**
 * Looking up a token tells nothing by the work it takes: the same for none, a nearly right one and the right one.
 */
import { expect, test } from "vitest";

import { AdminTokens } from "../../workers/http/admin-tokens.ts";

const A = "token-a-0123456789abcdef0123456789abcdef";
const B = "token-b-fedcba9876543210fedcba9876543210-longer";
const TOKENS = new Map([
  [A, "ann"],
  [B, "bob"],
]);

interface Work {
  digests: number;
  bytesRead: number;
}

/** SHA-256 that counts how often it is made, and how often any of its bytes is looked at. */
function countingTokens(): { tokens: AdminTokens; work: Work } {
  const work = { digests: 0, bytesRead: 0 };
  const digest = async (text: string): Promise<ArrayLike<number>> => {
    work.digests++;
    const bytes = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
    return new Proxy(bytes, {
      get(target, name) {
        if (typeof name === "string" && /^\d+$/.test(name)) work.bytesRead++;
        return Reflect.get(target, name) as unknown;
      },
    });
  };
  return { tokens: new AdminTokens(TOKENS, digest), work };
}

const CASES: readonly (readonly [string, string | undefined, string | undefined])[] = [
  ["none", undefined, undefined],
  ["an empty one", "", undefined],
  ["one that is short", "x", undefined],
  ["one that is long", "x".repeat(10_000), undefined],
  ["one of the right length", "x".repeat(A.length), undefined],
  ["one wrong in its first character", `x${A.slice(1)}`, undefined],
  ["one wrong in its last character", `${A.slice(0, -1)}x`, undefined],
  ["one that goes on", `${A}x`, undefined],
  ["two at once", A + B, undefined],
  ["another case", A.toUpperCase(), undefined],
  ["the first", A, "ann"],
  ["the last", B, "bob"],
];

test.each(CASES)("%s is found whole or not at all", async (_, given, actor) => {
  expect((await new AdminTokens(TOKENS).find(given))?.actor).toBe(actor);
});

test("one digest and one comparison with each token, byte by byte to the end, whatever was sent", async () => {
  const { tokens, work } = countingTokens();
  await tokens.find(undefined);
  const spent = [];
  for (const [name, given] of CASES) {
    work.digests = 0;
    work.bytesRead = 0;
    await tokens.find(given);
    spent.push({ name, ...work });
  }
  // 32 bytes of either side, for each of the two tokens.
  expect(spent).toEqual(CASES.map(([name]) => ({ name, digests: 1, bytesRead: 2 * 2 * 32 })));
});

test("without tokens nothing is found", async () => {
  for (const given of [undefined, "", A]) expect(await new AdminTokens(new Map()).find(given)).toBeUndefined();
});
