/**
 * Stream ids on a command line. They are base64url: one in 64 begins with "-", and would be read as an option.
 */

const STREAM_ID = /^-(?:[\w-]{26}|[\w-]{42})$/;

/**
 * The same words, with ids that begin with "-" written so that `parseArgs` of node:util takes them for what they
 * are: the value of the option before them, or an operand.
 *
 * @param valueOptions names of the options that take a value, without "--"
 */
export function shieldDashedIds(args: readonly string[], valueOptions: readonly string[]): string[] {
  const end = args.indexOf("--");
  const words = end === -1 ? args : args.slice(0, end);
  const before: string[] = [];
  const operands: string[] = [];
  for (const word of words) {
    const last = before.at(-1) ?? "";
    if (!STREAM_ID.test(word)) before.push(word);
    else if (valueOptions.some((name) => last === `--${name}`)) before.splice(-1, 1, `${last}=${word}`);
    else operands.push(word);
  }
  if (operands.length === 0 && end === -1) return before;
  return [...before, "--", ...operands, ...(end === -1 ? [] : args.slice(end + 1))];
}
