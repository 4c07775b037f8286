/**
 * The documents: links that lead somewhere, commands that exist, files that are where they say.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";

import { expect, test } from "vitest";

import { findMissing } from "../../scripts/complete-lockfile.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const DOCUMENTS = [
  ...readdirSync(ROOT).filter((name) => name.endsWith(".md")),
  ...readdirSync(join(ROOT, "docs")).map((name) => `docs/${name}`),
  "bench/README.md",
  "bench/peers/README.md",
  "test/chaos/README.md",
];
const { scripts } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { scripts: Record<string, string> };

test.each(DOCUMENTS)("%s: every link leads somewhere", (name) => {
  const text = readFileSync(join(ROOT, name), "utf8");
  for (const [, target = ""] of text.matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)) {
    if (URL.canParse(target)) continue;
    expect(existsSync(resolve(ROOT, dirname(name), target)), target).toBe(true);
  }
});

test.each(DOCUMENTS)("%s: every npm command exists, and every file it names", (name) => {
  const text = readFileSync(join(ROOT, name), "utf8");
  for (const [, script = ""] of text.matchAll(/npm run (?:--silent )?([\w:]+[\w:-]*)/g))
    expect(scripts).toHaveProperty([script]);
  // What benchmarks write is in no checkout.
  for (const [, path = ""] of text.matchAll(
    /`((?:test|scripts|bench(?!\/results)|docs|protocol|workers|durable-objects)\/[\w./-]+)`/g,
  ))
    expect(existsSync(join(ROOT, path)), path).toBe(true);
});

test("README.md stays short, and every dependency has its reason there", () => {
  const readme = readFileSync(join(ROOT, "README.md"), "utf8");
  expect(readme.split("\n").length).toBeLessThan(200);
  const manifest = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as Record<
    string,
    Record<string, string>
  >;
  for (const dependency of Object.keys(manifest["dependencies"] ?? {})) expect(readme).toContain(`**${dependency}**`);
  for (const group of ["dependencies", "devDependencies"]) {
    for (const version of Object.values(manifest[group] ?? {})) expect(version).toMatch(/^\d+\.\d+\.\d+[\w.-]*$/);
  }
});

test("the lockfile stands for every platform: npm run lockfile completes it", () => {
  const lockfile = JSON.parse(readFileSync(join(ROOT, "package-lock.json"), "utf8")) as {
    packages: Parameters<typeof findMissing>[0];
  };
  expect(findMissing(lockfile.packages)).toEqual([]);
  const { "node_modules/oxlint": oxlint, ...others } = lockfile.packages;
  const linux = "node_modules/@oxlint/binding-linux-x64-gnu";
  expect(findMissing({ "node_modules/oxlint": oxlint ?? {}, [linux]: others[linux] ?? {} })).not.toEqual([]);
});

test("the lockfile holds no download addresses", () => {
  expect(readFileSync(join(ROOT, "package-lock.json"), "utf8")).not.toContain('"resolved"');
});
