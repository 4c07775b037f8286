/**
 * Variables for operators: tokens with names, Access whole or not at all, and no token in any fault.
 */
import { describe, expect, test } from "vitest";

import type { ConfigFault } from "../../protocol/errors.ts";
import { readAdminConfig } from "../../workers/admin-config.ts";

const A = "token-a-0123456789abcdef0123456789abcdef";
const B = "token-b-0123456789abcdef0123456789abcdef";
const C = "token-c-0123456789abcdef0123456789abcdef";
const AUD = "4714c1358e65fe4b408ad6d432a5f878f08194bdb4752441fd56faefa9b2b6f2";
const TEAM = "https://team.cloudflareaccess.com";

function read(variables: Record<string, unknown>) {
  const faults: ConfigFault[] = [];
  const { actorByAdminToken, ...rest } = readAdminConfig(variables, faults);
  return { actors: Object.fromEntries(actorByAdminToken), ...rest, faults };
}

function faultsOf(variables: Record<string, unknown>): string[] {
  return read({ ADMIN_TOKEN: A, ...variables }).faults.map(({ variable }) => variable);
}

describe("tokens", () => {
  test.each([
    ["the single one is admin's", { ADMIN_TOKEN: A }, { [A]: "admin" }],
    ["one for each name", { ADMIN_TOKENS: { ann: A, "bob@example.com": B } }, { [A]: "ann", [B]: "bob@example.com" }],
    ["several for a name, as JSON text", { ADMIN_TOKENS: JSON.stringify({ ann: [A, B] }) }, { [A]: "ann", [B]: "ann" }],
    ["both variables", { ADMIN_TOKENS: { ann: [A], ci: B }, ADMIN_TOKEN: C }, { [A]: "ann", [B]: "ci", [C]: "admin" }],
    ["the same one under the same name", { ADMIN_TOKENS: { admin: [A, A] }, ADMIN_TOKEN: A }, { [A]: "admin" }],
  ])("%s", (_, variables, actors) => {
    expect(read(variables)).toEqual({ actors, access: undefined, faults: [] });
  });

  test("without any the service does not start, and the fault names both variables", () => {
    for (const variables of [{}, { ADMIN_TOKEN: "", ADMIN_TOKENS: "" }]) {
      const { faults } = read(variables);
      expect(faults).toMatchObject([{ variable: "ADMIN_TOKEN", found: "nothing" }]);
      expect(faults[0]?.allowed).toMatch(/at least 32 .*ADMIN_TOKENS/);
    }
  });

  test.each([
    "not json",
    "[]",
    "null",
    "{}",
    7,
    { ann: [] },
    { ann: 5 },
    { ann: "secret-of-31-characters-0123456" },
    { ann: [A, "secret with spaces 0123456789abcdef0123"] },
    { ann: ["secret-not-ascii-ü-0123456789abcdef0123"] },
    { ann: ["secret-line\n-0123456789abcdef0123456789"] },
    { "": A },
    { "two words": A },
    { unknown: A },
    { ["n".repeat(65)]: A },
    { __proto__: null, "line\nend": A },
  ])("%j is one fault that shows no token", (given) => {
    const { actors, faults } = read({ ADMIN_TOKENS: given });
    expect(actors).toEqual({});
    expect(faults).toMatchObject([{ variable: "ADMIN_TOKENS", found: expect.stringMatching(/not shown/) }]);
    expect(JSON.stringify(faults)).not.toMatch(/secret-|secret with|token-a/);
  });

  test.each(["short", "with spaces 0123456789abcdef0123456789", "ü".repeat(40), 5, {}])(
    "ADMIN_TOKEN %j is refused by its length alone",
    (given) => {
      const { faults } = read({ ADMIN_TOKEN: given });
      expect(faults.map(({ variable }) => variable)).toEqual(["ADMIN_TOKEN"]);
      expect(faults[0]?.found).toMatch(/^a (secret of \d+ characters|number|object)$/);
    },
  );

  test("one token of two names is a fault that names them and not the token", () => {
    const inOne = read({ ADMIN_TOKENS: { ann: A, bob: A } }).faults;
    const inBoth = read({ ADMIN_TOKENS: { ann: A }, ADMIN_TOKEN: A }).faults;
    expect(inOne).toMatchObject([{ variable: "ADMIN_TOKENS", found: "one token for ann and bob" }]);
    expect(inBoth).toMatchObject([{ variable: "ADMIN_TOKEN", found: "one token for ann and admin" }]);
    expect(JSON.stringify([inOne, inBoth])).not.toContain(A);
  });

  test("the metrics token is none of an operator's", () => {
    expect(faultsOf({ METRICS_TOKEN: B })).toEqual([]);
    expect(faultsOf({ METRICS_TOKEN: A })).toEqual(["METRICS_TOKEN"]);
  });
});

describe("Access", () => {
  test("a team's domain and an audience", () => {
    const access = { teamDomain: TEAM, audience: AUD };
    expect(read({ ADMIN_TOKEN: A, ACCESS_TEAM_DOMAIN: TEAM, ACCESS_AUD: AUD })).toMatchObject({ access, faults: [] });
    expect(faultsOf({ ACCESS_TEAM_DOMAIN: "http://127.0.0.1:9000", ACCESS_AUD: AUD })).toEqual([]);
    expect(read({ ADMIN_TOKEN: A, ACCESS_TEAM_DOMAIN: "", ACCESS_AUD: "" })).toMatchObject({ access: undefined });
  });

  test("one without the other is a fault of the missing one", () => {
    expect(faultsOf({ ACCESS_TEAM_DOMAIN: TEAM })).toEqual(["ACCESS_AUD"]);
    expect(faultsOf({ ACCESS_AUD: AUD })).toEqual(["ACCESS_TEAM_DOMAIN"]);
  });

  test.each([
    "team",
    "team.cloudflareaccess.com",
    `${TEAM}/`,
    `${TEAM}/path`,
    "http://team.cloudflareaccess.com",
    "http://127.0.0.1.example.com",
    "https://user:pass@team.cloudflareaccess.com",
    "javascript:alert(1)",
    5,
  ])("the domain %j is a fault", (domain) => {
    expect(faultsOf({ ACCESS_TEAM_DOMAIN: domain, ACCESS_AUD: AUD })).toEqual(["ACCESS_TEAM_DOMAIN"]);
  });

  test.each(["short", "a b".repeat(20), "x".repeat(129), 5, {}])("the audience %j is a fault", (audience) => {
    expect(faultsOf({ ACCESS_TEAM_DOMAIN: TEAM, ACCESS_AUD: audience })).toEqual(["ACCESS_AUD"]);
  });
});
