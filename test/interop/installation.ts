/**
 * The foreign engines, each installed once into `.interop/`, which git ignores. ClickHouse comes from npm
 * (about 540 MB); PyIceberg and DuckDB need Python on the machine, Apache's REST catalog Java and Maven.
 */
import { execFile, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const FOLDER = resolve(import.meta.dirname, "../../.interop");
const COMMAND_TIMEOUT_MS = 600_000;
const OUTPUT_LINES = 8;

/** Versions are exact: what is shown is that these read the table. */
const CHDB = "chdb@3.4.0";
const PYICEBERG = [
  "pyiceberg[pyarrow,pyiceberg-core]==0.12.0",
  "pyiceberg-core==0.10.1",
]; /** The extensions as packages: elsewhere they come from a server of DuckDB's own alone. */
const DUCKDB = [
  "duckdb==1.5.5",
  "duckdb-extension-avro==1.5.5",
  "duckdb-extension-httpfs==1.5.5",
  "duckdb-extension-iceberg==1.5.5",
  // For timestamps with a zone.
  "pytz==2025.2",
];

/** Some systems have venv's parts in a package of their own, and fail only when it is used. */
const PYTHON_CHECK = "import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 10))";

interface Engine {
  readonly name: string;
  readonly folder: string;
  /** Another one is installed anew. */
  readonly version: string;
  readonly fill: (folder: string) => Promise<void>;
}

interface Need {
  readonly name: string;
  readonly command: readonly string[];
  /** What its output has to hold. */
  readonly says?: RegExp;
}

const CLICKHOUSE: Engine = {
  name: "ClickHouse",
  folder: "clickhouse",
  version: CHDB,
  fill: async (folder) => {
    writeFileSync(join(folder, "package.json"), '{"private":true}');
    // By itself npm tries for more than a minute where there is no registry.
    await runCommand("npm", ["install", "--no-audit", "--no-fund", "--fetch-retries=1", CHDB], folder);
  },
};

const PYICEBERG_ENGINE: Engine = {
  name: "PyIceberg",
  folder: "pyiceberg",
  version: PYICEBERG.join(" "),
  fill: (folder) => fillPythonEnvironment(folder, PYICEBERG),
};

const DUCKDB_ENGINE: Engine = {
  name: "DuckDB with its extension for Iceberg",
  folder: "duckdb",
  version: DUCKDB.join(" "),
  fill: (folder) => fillPythonEnvironment(folder, DUCKDB),
};

const REST_CATALOG: Engine = {
  name: "Apache's REST catalog",
  folder: "rest-catalog",
  version: "iceberg 1.10.0",
  fill: async (folder) => {
    const pom = join(import.meta.dirname, "rest-catalog-pom.xml");
    const goal = ["dependency:copy-dependencies", `-DoutputDirectory=${folder}`];
    await runCommand("mvn", ["-q", "-B", "-f", pom, ...goal], folder);
  },
};

/** Folder with chdb in its `node_modules`. @throws where it cannot be fetched */
export function installClickHouse(): Promise<string> {
  return install(CLICKHOUSE);
}

/** @returns the interpreter of an environment that has PyIceberg. @throws where it cannot be fetched */
export async function installPyIceberg(): Promise<string> {
  return join(await install(PYICEBERG_ENGINE), "bin/python");
}

/** @returns the interpreter of an environment that has DuckDB. @throws where it cannot be fetched */
export async function installDuckDb(): Promise<string> {
  return join(await install(DUCKDB_ENGINE), "bin/python");
}

/** @returns folder of the catalog's jars. @throws where they cannot be fetched */
export function installRestCatalog(): Promise<string> {
  return install(REST_CATALOG);
}

const PYTHON: Need = { name: "Python 3.10 or later with venv", command: ["python3", "-c", PYTHON_CHECK] };

/** Why PyIceberg cannot be had on this machine; `undefined` where it can. */
export const noPyIceberg = whyMissing(PYICEBERG_ENGINE, [PYTHON]);

/** Why DuckDB's extension cannot be had on this machine; `undefined` where it can. */
export const noDuckDb = whyMissing(DUCKDB_ENGINE, [PYTHON]);

/** Why Apache's REST catalog cannot be had on this machine; `undefined` where it can. */
export const noRestCatalog = whyMissing(REST_CATALOG, [
  // The launcher is compiled by `java` as it starts.
  { name: "JDK 11 or later", command: ["java", "--list-modules"], says: /^jdk\.compiler@/m },
  { name: "Maven", command: ["mvn", "--version"] },
]);

/** Printed, so that a run says what it leaves out; the tests it concerns are counted as skipped. */
function whyMissing({ name }: Engine, needs: readonly Need[]): string | undefined {
  const lacking = needs.find(({ command: [command = "", ...args], says }) => {
    const { status, stdout } = spawnSync(command, args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
    return status !== 0 || (says !== undefined && !says.test(stdout));
  });
  if (lacking === undefined) return undefined;
  const reason = `${name} is skipped: there is no ${lacking.name} on this machine`;
  console.log(reason);
  return reason;
}

const installations = new Map<Engine, Promise<string>>();

/** Tried once in a process: where it fails, every caller is told why, at once. */
function install(engine: Engine): Promise<string> {
  const known = installations.get(engine) ?? installOnce(engine);
  installations.set(engine, known);
  return known;
}

/** A marker written last tells a finished installation from one that was broken off. */
async function installOnce({ name, folder: folderName, version, fill }: Engine): Promise<string> {
  const folder = join(FOLDER, folderName);
  const marker = join(folder, "installed-version");
  if (existsSync(marker) && readFileSync(marker, "utf8") === version) return folder;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const failure = await fill(folder).then(
    () => undefined,
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  );
  if (failure !== undefined) {
    throw new Error(`${name} could not be installed; the first run needs the network.\n${failure}`);
  }
  writeFileSync(marker, version);
  return folder;
}

async function fillPythonEnvironment(folder: string, packages: readonly string[]): Promise<void> {
  await runCommand("python3", ["-m", "venv", folder], folder);
  await runCommand(join(folder, "bin/pip"), ["install", "--quiet", "--retries=1", ...packages], folder);
}

/** @throws with the beginning of what the command says; a cause would tell all of it over again */
async function runCommand(command: string, args: readonly string[], cwd: string): Promise<void> {
  const said = await run(command, args, { cwd, timeout: COMMAND_TIMEOUT_MS }).then(
    () => undefined,
    (error: unknown) => {
      const {
        message = "",
        stdout = "",
        stderr = "",
      } = error as Partial<Record<"message" | "stdout" | "stderr", string>>;
      return stderr === "" && stdout === "" ? message : `${stdout}\n${stderr}`;
    },
  );
  if (said === undefined) return;
  const lines = said.split("\n").filter((line) => line.trim() !== "");
  throw new Error([`${command} ${args.join(" ")}:`, ...lines.slice(0, OUTPUT_LINES)].join("\n"));
}
