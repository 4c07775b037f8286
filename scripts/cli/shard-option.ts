/**
 * `--shard N`: the option that several commands have.
 */
import type { OptionValues } from "./arguments.ts";
import type { OptionSpec } from "./command.ts";

const SHARDS_MAX = 256;

export const SHARD_OPTION: OptionSpec = { type: "string", value: "N", help: "this shard alone, by its number" };

export function shardOf(values: OptionValues): number | undefined {
  return values.wholeNumber("shard", 0, SHARDS_MAX - 1);
}
