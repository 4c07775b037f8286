/**
 * The fenced blocks of docs/queries.md, with a test's addresses and keys in the places of those that the
 * document leaves open.
 */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";

import type { LakeService } from "../fixtures/lake-service.ts";
import { TEST_SECRETS } from "../fixtures/test-secrets.ts";

const DOCUMENT = readFileSync(resolve(import.meta.dirname, "../../docs/queries.md"), "utf8");
const MARKER = /^-- (\w+): (.+)\n/;

/** Queries that are marked as this engine's, by their names. */
export function queriesFor(engine: string): ReadonlyMap<string, string> {
  const found = blocksOf(DOCUMENT, "sql").flatMap((sql): [string, string][] => {
    const [marker, of, name] = MARKER.exec(sql) ?? [];
    return marker === undefined || name === undefined || of !== engine ? [] : [[name, sql]];
  });
  return new Map(found);
}

/** Blocks of the part on attaching one engine, in their order. */
export function attachSnippets(heading: string, language: string): readonly string[] {
  const [, part] = DOCUMENT.split(`\n### ${heading}\n`);
  if (part === undefined) throw new Error(`docs/queries.md has no part "${heading}"`);
  return blocksOf(part.split("\n#")[0] ?? "", language);
}

function blocksOf(text: string, language: string): string[] {
  return Array.from(text.matchAll(/^```(\w+)\n([^]*?)^```$/gm), ([, of, body = ""]) => ({ of, body }))
    .filter(({ of }) => of === language)
    .map(({ body }) => body);
}

/** @throws where the document leaves something open that is not known here */
export function fillIn(snippet: string, { origin, s3Origin }: LakeService): string {
  const filled = snippet
    .replaceAll("https://spillway.example.com", origin)
    .replaceAll("https://<account>.r2.cloudflarestorage.com", s3Origin)
    .replaceAll("<account>.r2.cloudflarestorage.com", new URL(s3Origin).host)
    .replaceAll("<ICEBERG_READ_TOKEN>", TEST_SECRETS.ICEBERG_READ_TOKEN)
    .replaceAll("<key id>", "test")
    .replaceAll("<secret>", "testtest");
  const [open] = /<[a-zA-Z][^<>\n]*>|…/.exec(filled) ?? [];
  if (open !== undefined) throw new Error(`the test knows nothing to put for ${open}`);
  return filled;
}
