/**
 * The tables of docs/scaling.md, each between `<!-- simulate … -->`, which says how it comes about, and
 * `<!-- end -->`. Pure.
 */
import { sceneOf } from "./computed.ts";
import { readOptions, UsageError } from "./options.ts";
import { figuresTable, reportText, SECTION_NAMES, type SectionName } from "./report.ts";

const BLOCK = /<!-- simulate (?<section>[\w-]+)(?<args>[^>]*?) -->\n[\s\S]*?<!-- end -->/g;

/** @returns the document with every table as the program makes it now. @throws {UsageError} */
export function withTables(document: string): string {
  return document.replaceAll(BLOCK, (_block, section: string, args: string) => {
    return `<!-- simulate ${section}${args} -->\n${tableOf(section, args)}\n<!-- end -->`;
  });
}

function tableOf(section: string, args: string): string {
  const options = readOptions(args.split(/\s+/).filter((word) => word !== ""));
  if (options === undefined) throw new UsageError(`a table of help: ${args}`);
  if (section === "figures") return figuresTable(options.figures);
  const name = SECTION_NAMES.find((known): known is SectionName => known === section);
  if (name === undefined) throw new UsageError(`no table is called ${section}`);
  return reportText(sceneOf(options), [name]);
}
