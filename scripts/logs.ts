/**
 * `npm run logs`: picks out of the logs, on standard input, what an operator looks for. Needs no jq; prints the
 * jq text for those who have it.
 */
import { parseArgs } from "node:util";

import { shieldDashedIds } from "./dashed-ids.ts";
import { printableJson } from "./cli/printable.ts";
import { isOverload, ObjectSplitter, recordsOf } from "./logs/log-records.ts";
import { findRecipe, jqCommand, pick, RECIPES, type Recipe } from "./logs/recipes.ts";

const HELP = `Picks what you look for out of the logs on standard input; one JSON line each.

  npx wrangler tail --env production --format json | npm run --silent logs -- resume-failures
  npx wrangler tail --env production --format json | npm run --silent logs -- stream REQUEST_ID
  npx wrangler tail --env production --format json | npm run --silent logs -- slow-resumes 2000
  npm start 2>&1 | npm run --silent logs -- trims
  npm run --silent logs -- trims --jq             prints the same as a jq command

Recipes:
${RECIPES.map(({ name, about }) => `  ${name.padEnd(20)}${about}`).join("\n")}

Events and fields: docs/logs.md. Exit code: 0, or 2 where the command is wrong.`;

async function main(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: shieldDashedIds(args, []),
    options: { jq: { type: "boolean", default: false }, help: { type: "boolean", short: "h", default: false } },
    allowPositionals: true,
  });
  if (values.help) {
    console.log(HELP);
    return 0;
  }
  const [name = "", argument, ...rest] = positionals;
  const recipe = findRecipe(name);
  const fault = recipe === undefined ? `no recipe ${JSON.stringify(name)}` : faultOf(recipe, argument);
  if (recipe === undefined || rest.length > 0 || (fault !== undefined && !values.jq)) {
    console.error(`${fault ?? "too many words"}\n\n${HELP}`);
    return 2;
  }
  if (values.jq) console.log(jqCommand(recipe, argument));
  else await follow(recipe, argument);
  return 0;
}

function faultOf({ name, parameter }: Recipe, argument: string | undefined): string | undefined {
  if (parameter === undefined) return argument === undefined ? undefined : `${name} takes no ${argument}`;
  const value = argument ?? parameter.fallback;
  if (value === undefined) return `${name} needs a ${parameter.name}`;
  return parameter.isText || /^\d+$/.test(value) ? undefined : `${parameter.name} is a whole number`;
}

async function follow(recipe: Recipe, argument: string | undefined): Promise<void> {
  const splitter = new ObjectSplitter();
  let looked = 0;
  let found = 0;
  process.stdin.setEncoding("utf8");
  for await (const chunk of process.stdin) {
    for (const object of splitter.push(String(chunk))) {
      if (isOverload(object)) console.error("Too much is logged for one tail: from here on this is a sample.");
      for (const record of recordsOf(object)) {
        looked++;
        const picked = pick(recipe, record, argument);
        if (picked === undefined) continue;
        found++;
        process.stdout.write(`${printableJson(picked)}\n`);
      }
    }
  }
  // Silence alone could be a pipe that carried nothing.
  if (found === 0) console.error(`${recipe.name}: none of ${looked} events.`);
}

// Whoever reads this has seen enough, as `head` does.
process.stdout.on("error", () => process.exit(0));
try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 2;
}
