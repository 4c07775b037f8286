/**
 * The command line of scripts/spillway: what is understood, what is refused with which advice.
 */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";

import { expect, test } from "vitest";

import { nearest, optionsOf, readCommandLine } from "../../scripts/cli/arguments.ts";
import { COMMANDS } from "../../scripts/cli/commands.ts";
import { EXIT } from "../../scripts/cli/exit-codes.ts";
import { commandHelp, programHelp } from "../../scripts/cli/help.ts";
import { runHere } from "../fixtures/cli-run.ts";

const DOCUMENT = readFileSync(resolve(import.meta.dirname, "../../docs/cli.md"), "utf8");

function read(line: string) {
  const reading = readCommandLine(line.split(" ").filter(Boolean), COMMANDS);
  if (reading.kind !== "run") throw new Error("help was read");
  return reading.invocation;
}

test("a command is one word or two, and the longer name wins", () => {
  expect(read("alerts").command.name).toBe("alerts");
  expect(read("alerts test").command.name).toBe("alerts test");
  expect(read("dead-letters list --shard 3").values.wholeNumber("shard", 0, 9)).toBe(3);
});

test("common options may stand before the command", () => {
  const { command, values, operands } = read("--json --url http://127.0.0.1:9 streams show abc");
  expect([command.name, values.flag("json"), values.text("url"), operands]).toEqual([
    "streams show",
    true,
    "http://127.0.0.1:9",
    ["abc"],
  ]);
});

test.each([
  ["flsh", 'Did you mean "flush"?'],
  ["stats", 'Did you mean "status"?'],
  ["dead-letters redrvie", 'Did you mean "dead-letters redrive"?'],
  ["streams", "It has: streams list, streams show, streams cancel."],
  ["flush --shrad 1", "Did you mean --shard?"],
  ["status --jsn", "Did you mean --json?"],
  ["flush extra", 'does not take "extra"'],
  ["flush --shard", "argument missing"],
  ["flush --shard one", "--shard takes a whole number from 0 to 255."],
  ["streams list --state odd", "--state takes recent, hot, stuck."],
  ["flush --shard 1 --request-id a", "not both"],
  ["--json", "Name a command"],
])("%s is refused as usage, with advice", async (line, advice) => {
  const { code, stderr, stdout } = await runHere(line.split(" "));
  expect([code, stdout]).toEqual([EXIT.usage, ""]);
  expect(stderr).toContain(advice);
});

test.each(["-", "--"])("a stream's id that begins with %s is an id, not an option", (dashes) => {
  for (const length of [27, 43]) {
    const id = dashes.padEnd(length, "a");
    expect(read(`streams show ${id} --json`).operands).toEqual([id]);
    expect(read(`streams show --json -- ${id}`).operands).toEqual([id]);
    expect(read(`flush --request-id ${id} --json`).values.text("request-id")).toBe(id);
  }
});

test("nothing is suggested for what resembles nothing", () => {
  expect(nearest("xyzzy", ["flush", "status"])).toBeUndefined();
  expect(nearest("compcat", ["compact", "status"])).toBe("compact");
});

test("help needs no token and exits with 0, of the program and of every command", async () => {
  expect((await runHere(["--help"])).stdout).toBe(programHelp(COMMANDS));
  for (const command of COMMANDS) {
    const words = command.name.split(" ");
    expect(await runHere([...words, "--help"])).toEqual({ code: 0, stdout: commandHelp(command), stderr: "" });
    expect((await runHere(["help", ...words])).stdout).toBe(commandHelp(command));
  }
});

test("every command has examples that are read as they stand", () => {
  for (const { name, examples } of COMMANDS) {
    expect(examples.length, name).toBeGreaterThan(0);
    const own = examples.flatMap((example) => example.match(/(?<=scripts\/spillway |npm run rotate -- )[^|]*/g) ?? []);
    expect(own.length, name).toBeGreaterThan(0);
    for (const line of own) {
      const prefix = name === "rotate" ? ["rotate"] : [];
      const words = line.trim().match(/"[^"]*"|\S+/g) ?? [];
      expect(readCommandLine([...prefix, ...words], COMMANDS), line).toMatchObject({ kind: "run" });
    }
  }
});

test("docs/cli.md has every command's help as the program prints it, and no other", () => {
  for (const command of COMMANDS) expect(DOCUMENT).toContain(`\`\`\`text\n${commandHelp(command)}\`\`\``);
  expect(DOCUMENT).toContain(`\`\`\`text\n${programHelp(COMMANDS)}\`\`\``);
  const documented = [...DOCUMENT.matchAll(/^### `([\w -]+)`$/gm)].map(([, name = ""]) => name);
  expect(documented.toSorted()).toEqual(COMMANDS.map(({ name }) => name).toSorted());
});

test("no two options of a command have one name", () => {
  for (const command of COMMANDS) {
    const own = Object.keys(command.options);
    const common = Object.keys(optionsOf({ ...command, options: {} }));
    expect(own.filter((name) => common.includes(name))).toEqual([]);
  }
});
