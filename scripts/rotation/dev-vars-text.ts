/**
 * Changes of variables in the text of `.dev.vars`, everything else left as it is. No I/O.
 */
import { parseEnv } from "node:util";

import { failure } from "../cli/exit-codes.ts";
import type { SecretChanges } from "./plan.ts";

/**
 * @throws where the text is such that a change would touch something else: values over several lines, say
 */
export function editDevVars(text: string, changes: SecretChanges): string {
  const newline = text.includes("\r\n") ? "\r\n" : "\n";
  const lines = text === "" ? [] : text.replace(/\r?\n$/, "").split(/\r?\n/);
  const written = new Set<string>();
  const kept = lines.flatMap((line) => {
    const name = /^\s*(?:export\s+)?([\w.-]+)\s*=/.exec(line)?.[1];
    const value = name === undefined ? undefined : changes[name];
    if (name === undefined || value === undefined) return [line];
    const isSecond = written.has(name);
    written.add(name);
    return value === null || isSecond ? [] : [`${name}=${value}`];
  });
  const added = Object.entries(changes).flatMap(([name, value]) =>
    value === null || written.has(name) ? [] : [`${name}=${value}`],
  );
  const edited = [...kept, ...added].map((line) => `${line}${newline}`).join("");
  check(text, edited, changes);
  return edited;
}

function check(before: string, after: string, changes: SecretChanges): void {
  const expected = { ...parseEnv(before) };
  for (const [name, value] of Object.entries(changes)) {
    if (value === null) delete expected[name];
    else expected[name] = value;
  }
  const found = parseEnv(after);
  const names = [...new Set([...Object.keys(expected), ...Object.keys(found)])];
  const wrong = names.filter((name) => expected[name] !== found[name]);
  if (wrong.length > 0) throw failure(`.dev.vars cannot be edited safely (${wrong.join(", ")}): do it by hand.`);
}
