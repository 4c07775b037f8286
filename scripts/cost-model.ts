/**
 * `npm run cost-model`: what a million streams cost, by their length and rate, and what makes it up.
 *
 * Reckoned, not measured: counts from cost-model/stream-usage.ts, prices from cost-model/prices.ts.
 * docs/cost.md says what is assumed.
 */
import { readOptions } from "./cost-model/options.ts";
import { costsOf, toJson, toTable } from "./cost-model/report.ts";

try {
  const options = readOptions(process.argv.slice(2));
  if ("help" in options) console.log(options.help);
  else {
    const costs = costsOf(options);
    console.log(options.isJson ? toJson(costs) : toTable(costs));
  }
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 2;
}
