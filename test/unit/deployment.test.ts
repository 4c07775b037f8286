/**
 * What is deployed: no environment lacks what the top level has, every secret is described, and what the
 * deploy button asks for exists.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { describe, expect, test } from "vitest";

import { checkBindings, checkClasses, checkPlatform, checkVariables } from "../../scripts/preflight/binding-checks.ts";
import { checkConfiguration } from "../../scripts/preflight/configuration-checks.ts";
import { checkWarehouse } from "../../scripts/preflight/lake-checks.ts";
import { LOCAL, readSecretNames, readTarget } from "../../scripts/preflight/target.ts";
import { ROOT } from "../fixtures/preflight-project.ts";

const ENVIRONMENTS = ["staging", "production"];
const local = readTarget(ROOT, LOCAL);
const secretNames = readSecretNames(ROOT);
/** Whatever an environment may be about alone. */
const OWN_VARIABLES = ["ROUTES", "ICEBERG_WAREHOUSE"];

describe.each(ENVIRONMENTS)("%s", (environment) => {
  const target = readTarget(ROOT, environment);

  test("has every binding, class and variable of the top level", () => {
    const findings = [
      ...checkBindings(target, local),
      ...checkClasses(target),
      ...checkPlatform(target, local),
      ...checkVariables(target, local),
      ...checkWarehouse(target),
    ];
    expect(findings.filter(({ status }) => status !== "ok")).toEqual([]);
    expect(Object.keys(local.vars)).toEqual(Object.keys(target.vars));
  });

  test("differs from the top level in nothing but its own variables, Worker and buckets", () => {
    const differing = Object.keys(local.vars).filter(
      (name) => JSON.stringify(local.vars[name]) !== JSON.stringify(target.vars[name]),
    );
    expect(differing.toSorted()).toEqual(OWN_VARIABLES.toSorted());
    expect(target.worker).toBe(`spillway-${environment}`);
    for (const bucket of Object.values(target.buckets)) expect(bucket).toContain(`spillway-${environment}-`);
  });

  test("asks readers for keys, and keeps its logs", () => {
    expect(target).toMatchObject({ logsAreKept: true, vars: { CLIENT_AUTH: "bearer", CORS_ORIGINS: "" } });
  });

  test("starts once it has routes and secrets", () => {
    const routes = [{ name: "chat", upstream: "https://api.example.com/" }];
    const filled = { ...target, vars: { ...target.vars, ROUTES: routes } };
    const findings = checkConfiguration(filled, { kind: "unknown", why: "not asked" }, secretNames);
    expect(findings.filter(({ status }) => status === "failed")).toEqual([]);
  });
});

test("staging streams the demo, and production nothing until it has a route of its own", () => {
  expect(readTarget(ROOT, "staging").vars["ROUTES"]).toMatchObject([{ upstream: "builtin:demo" }]);
  expect(readTarget(ROOT, "production").vars["ROUTES"]).toEqual([]);
});

test(".dev.vars.example describes every secret that the code reads", () => {
  const example = readFileSync(join(ROOT, ".dev.vars.example"), "utf8");
  const read = new Set<string>();
  for (const path of sourceFiles()) {
    const source = readFileSync(join(ROOT, path), "utf8");
    for (const [, name = ""] of source.matchAll(
      /["'`]([A-Z][A-Z0-9_]*_(?:SECRET|SECRET_PREVIOUS|TOKENS?|KEYS))["'`]/g,
    )) {
      read.add(name);
    }
  }
  expect([...read]).toEqual(expect.arrayContaining(["SSE_RESUME_SECRET", "CLIENT_KEYS", "ADMIN_TOKEN"]));
  expect(secretNames).toEqual(expect.arrayContaining([...read]));
  expect(secretNames).toHaveLength(new Set(secretNames).size);
  for (const name of secretNames) {
    expect(example, name).toMatch(new RegExp(`^# [A-Z].*\\n(?:# )?${name}=$`, "m"));
  }
});

test("the deploy button describes secrets and bindings that exist, and every secret that is needed", () => {
  const manifest = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
    cloudflare: { bindings: Record<string, { description: string }> };
  };
  const described = Object.keys(manifest.cloudflare.bindings);
  const existing = new Set([...secretNames, ...Object.keys(local.buckets), ...Object.keys(local.vars)]);
  expect(described.filter((name) => !existing.has(name))).toEqual([]);
  const example = readFileSync(join(ROOT, ".dev.vars.example"), "utf8");
  // The button asks for each line that is not commented out.
  const asked = [...example.matchAll(/^([A-Z_]+)=/gm)].map(([, name]) => name);
  expect(described).toEqual(expect.arrayContaining(asked));
});

function sourceFiles(): string[] {
  return ["protocol", "workers", "durable-objects"].flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".ts"))
      .map((name) => join(folder, name)),
  );
}
