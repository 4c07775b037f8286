/**
 * The workflows of GitHub: that they run what package.json and .ci/run have, that nothing foreign can change under them,
 * and that none may do more than it has to.
 *
 * Read line by line, by their indentation: that is all of YAML that they use.
 */
import { accessSync, constants, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { describe, expect, it, test } from "vitest";

import { readOptions as readDashboardOptions } from "../../bench/dashboard/options.ts";
import { readPeersOptions } from "../../bench/peers/options.ts";
import { SYSTEM_NAMES } from "../../bench/peers/system.ts";
import { readOptions as readSoakOptions } from "../../bench/soak/options.ts";
import { readOptions as readNightlyOptions } from "../simulation/nightly/options.ts";

const ROOT = join(import.meta.dirname, "../..");
const FOLDER = ".github/workflows";
const text = (path: string) => readFileSync(join(ROOT, path), "utf8");
const { scripts } = JSON.parse(text("package.json")) as { scripts: Record<string, string> };

interface Line {
  readonly indent: number;
  /** Without its comment and its dash. */
  readonly content: string;
  readonly raw: string;
}

const WORKFLOWS = readdirSync(join(ROOT, FOLDER)).map((name) => ({ name, lines: linesOf(text(`${FOLDER}/${name}`)) }));

function linesOf(yaml: string): Line[] {
  return yaml
    .split("\n")
    .filter((raw) => raw.trim() !== "" && !raw.trimStart().startsWith("#"))
    .map((raw) => ({
      raw,
      indent: raw.length - raw.trimStart().length,
      content: raw
        .trim()
        .replace(/^- /, "")
        .replace(/ +#.*$/, ""),
    }));
}

/** The lines below one, by their indentation. */
function below(lines: readonly Line[], at: number): readonly Line[] {
  const parent = lines[at]?.indent ?? 0;
  const end = lines.findIndex((line, index) => index > at && line.indent <= parent);
  return lines.slice(at + 1, end === -1 ? undefined : end);
}

function member(lines: readonly Line[], name: string): readonly Line[] {
  const least = Math.min(...lines.map(({ indent }) => indent));
  const at = lines.findIndex(({ indent, content }) => indent === least && content.startsWith(`${name}:`));
  return at === -1 ? [] : [...lines.slice(at, at + 1), ...below(lines, at)];
}

function jobsOf(lines: readonly Line[]): { readonly name: string; readonly lines: readonly Line[] }[] {
  const jobs = member(lines, "jobs").slice(1);
  const least = Math.min(...jobs.map(({ indent }) => indent));
  return jobs.flatMap(({ indent, content }, at) =>
    indent === least ? [{ name: content.replace(":", ""), lines: below(jobs, at) }] : [],
  );
}

/** Each begins with a dash. */
function stepsOf(job: readonly Line[]): (readonly Line[])[] {
  const steps = member(job, "steps").slice(1);
  const least = Math.min(...steps.map(({ indent }) => indent));
  return steps.flatMap(({ indent, raw }, at) =>
    indent === least && raw.trimStart().startsWith("- ") ? [steps.slice(at, at + 1).concat(below(steps, at))] : [],
  );
}

const COMMANDS = WORKFLOWS.flatMap(({ name, lines }) =>
  lines.flatMap(({ content }) =>
    [...content.matchAll(/npm run (?:--silent )?([\w:-]+)(?: -- ([^|;&]*))?/g)].map(([, script = "", args = ""]) => ({
      name,
      script,
      args: args.trim().split(/\s+/).filter(Boolean),
    })),
  ),
);

describe("what they run", () => {
  it.each(COMMANDS)("$name: npm run $script is there", ({ script }) => {
    expect(scripts).toHaveProperty([script]);
  });

  it("everything that proves something is run by one of them", () => {
    const run = new Set(COMMANDS.map(({ script }) => script));
    const proofs = ["perf:gate", "perf:gate:self-test", "perf:dashboard", "sim:nightly", "fuzz", "test:chaos", "soak"];
    for (const script of [...proofs, "bench:peers", "bench"]) expect([...run]).toContain(script);
  });

  it("CI is .ci/run, and that is the README's test command and the checks", () => {
    const runs = WORKFLOWS.find(({ name }) => name === "ci.yml")?.lines.filter(({ content }) =>
      content.startsWith("run:"),
    );
    expect(runs?.map(({ content }) => content)).toEqual(["run: .ci/run"]);
    expect(() => accessSync(join(ROOT, ".ci/run"), constants.X_OK)).not.toThrow();
    const [, testCommand = "none"] = /^(npm ci && npm test)$/m.exec(text("README.md")) ?? [];
    expect(text(".ci/run")).toContain(testCommand);
    for (const [, script = ""] of text(".ci/run").matchAll(/npm run (?:--silent )?([\w:]+)/g)) {
      expect(scripts).toHaveProperty([script]);
    }
  });

  it("options are such as the commands know", () => {
    const argsOf = (wanted: string) => COMMANDS.filter(({ script }) => script === wanted).flatMap(({ args }) => args);
    const nightly = (day: string) => readNightlyOptions(argsOf("sim:nightly"), Date.parse(day));
    expect(nightly("2026-11-21").out).toMatch(/^perf-results\//);
    // Each night other seeds, and as many.
    const [one, next] = [nightly("2026-11-21").range, nightly("2026-11-22").range];
    expect(next.first).toBe(one.last + 1);
    expect(next.last - next.first).toBe(one.last - one.first);
    expect(readSoakOptions(argsOf("soak"), () => 1)).toMatchObject({ minutes: 30, out: "perf-results" });
    expect(readPeersOptions(argsOf("bench:peers"), "bench/results")).toMatchObject({ required: SYSTEM_NAMES });
    const dashboard = argsOf("perf:dashboard");
    expect(readDashboardOptions(dashboard, () => true)).toMatchObject({
      folders: ["perf-history/results"],
      out: "perf-dashboard",
    });
    // Everything that takes options in a workflow is looked at here.
    const withOptions = COMMANDS.filter(({ args }) => args.length > 0).map(({ script }) => script);
    expect(new Set(withOptions)).toEqual(new Set(["sim:nightly", "soak", "bench:peers", "perf:dashboard"]));
  });

  it("the page's workflow waits for the gate's by its name", () => {
    const gate = WORKFLOWS.find(({ name }) => name === "perf-gate.yml")?.lines ?? [];
    const page = WORKFLOWS.find(({ name }) => name === "perf-dashboard.yml")?.lines ?? [];
    const name = member(gate, "name")[0]?.content.replace("name: ", "");
    expect(member(page, "on").map(({ content }) => content)).toContain(`workflows: [${name}]`);
  });
});

describe.each(WORKFLOWS)("$name", ({ name, lines }) => {
  const jobs = jobsOf(lines);
  const steps = jobs.flatMap(({ lines: job }) => stepsOf(job));

  it("has jobs with steps, each with a time limit, on ubuntu-latest, with Node 20 where it runs npm", () => {
    expect(jobs.length).toBeGreaterThan(0);
    for (const job of jobs) {
      expect(member(job.lines, "timeout-minutes")).toHaveLength(1);
      expect(member(job.lines, "runs-on")[0]?.content).toBe("runs-on: ubuntu-latest");
      expect(stepsOf(job.lines).length).toBeGreaterThan(0);
      const contents = job.lines.map(({ content }) => content);
      const runsNpm = contents.some((content) => /npm|\.ci\/run/.test(content) && content.startsWith("run:"));
      expect(contents.includes('node-version: "20"')).toBe(runsNpm);
    }
  });

  it("uses actions by the hash of a commit, with the version beside it", () => {
    const used = lines.filter(({ content }) => content.startsWith("uses:"));
    expect(used.length).toBeGreaterThan(0);
    for (const { raw } of used) expect(raw).toMatch(/uses: actions\/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/);
  });

  it("may read, and write only where the page is kept and published", () => {
    const top = member(lines, "permissions").map(({ content }) => content);
    expect([["permissions:", "contents: read"], ["permissions: {}"]]).toContainEqual(top);
    const writes = jobs.flatMap((job) =>
      member(job.lines, "permissions").flatMap(({ content }) =>
        content.endsWith(": write") ? [`${job.name} ${content}`] : [],
      ),
    );
    const allowed = ["page contents: write", "publish pages: write", "publish id-token: write"];
    expect(writes).toEqual(name === "perf-dashboard.yml" ? allowed : []);
  });

  it("leaves no credentials behind, and lets nobody's words into a shell", () => {
    const checkouts = steps.filter(([first]) => first?.content.startsWith("uses: actions/checkout@"));
    for (const step of checkouts) {
      expect(step.map(({ content }) => content)).toContain("persist-credentials: false");
    }
    expect(lines.map(({ content }) => content)).not.toContain("pull_request_target:");
    for (const step of steps) {
      const at = step.findIndex(({ content }) => content.startsWith("run:"));
      const shell = at === -1 ? [] : [...step.slice(at, at + 1), ...below(step, at)];
      for (const { content } of shell) expect(content).not.toMatch(/\$\{\{ *(?:github|inputs|env|steps)\b/);
    }
  });

  it("keeps results also of runs that fail", () => {
    const uploads = steps.filter((step) =>
      step.some(({ content }) => content.startsWith("uses: actions/upload-artifact@")),
    );
    for (const step of uploads) expect(step.map(({ content }) => content)).toContain("if: always()");
    expect(uploads.length > 0).toBe(name !== "perf-dashboard.yml");
  });
});

test("an action is of one version everywhere", () => {
  const used = WORKFLOWS.flatMap(({ lines }) => lines.filter(({ content }) => content.startsWith("uses:")));
  const versions = Map.groupBy(used, ({ content }) => content.split("@")[0]);
  for (const uses of versions.values()) expect(new Set(uses.map(({ content }) => content)).size).toBe(1);
});
