/**
 * The foreign engines, each installed once into `.interop/`, which git ignores. ClickHouse comes from npm
 * (about 540 MB); PyIceberg needs Python on the machine, Apache's REST catalog Java and Maven.
 */
import { execFile, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const FOLDER = resolve(import.meta.dirname, "../../.interop");
const INSTALL_TIMEOUT_MS = 600_000;

/** Versions are exact: what is shown is that these read the table. */
const CHDB = "chdb@3.4.0";
const PYICEBERG = ["pyiceberg[pyarrow,pyiceberg-core]==0.12.0", "pyiceberg-core==0.10.1"];

/** Folder with chdb in its `node_modules`. */
export async function installClickHouse(): Promise<string> {
  return install("clickhouse", CHDB, async (folder) => {
    writeFileSync(join(folder, "package.json"), '{"private":true}');
    await run("npm", ["install", "--no-audit", "--no-fund", CHDB], { cwd: folder, timeout: INSTALL_TIMEOUT_MS });
  });
}

/** @returns the interpreter of an environment that has PyIceberg */
export async function installPyIceberg(): Promise<string> {
  const folder = await install("pyiceberg", PYICEBERG.join(" "), async (folder) => {
    await run("python3", ["-m", "venv", folder], { timeout: INSTALL_TIMEOUT_MS });
    await run(join(folder, "bin/pip"), ["install", "--quiet", ...PYICEBERG], { timeout: INSTALL_TIMEOUT_MS });
  });
  return join(folder, "bin/python");
}

/** @returns folder of the catalog's jars */
export async function installRestCatalog(): Promise<string> {
  return install("rest-catalog", "iceberg 1.10.0", async (folder) => {
    const pom = join(import.meta.dirname, "rest-catalog-pom.xml");
    const goal = ["dependency:copy-dependencies", `-DoutputDirectory=${folder}`];
    await run("mvn", ["-q", "-B", "-f", pom, ...goal], { timeout: INSTALL_TIMEOUT_MS });
  });
}

/** Why PyIceberg cannot be had on this machine; `undefined` where it can. */
export function whyNoPython(): string | undefined {
  return whyMissing(
    ["python3", "-c", "import sys, venv; sys.exit(sys.version_info < (3, 10))"],
    "Python 3.10 or later",
  );
}

/** Why Apache's REST catalog cannot be had on this machine; `undefined` where it can. */
export function whyNoJava(): string | undefined {
  return whyMissing(["javac", "--version"], "a JDK") ?? whyMissing(["mvn", "--version"], "Maven");
}

function whyMissing([command = "", ...args]: readonly string[], name: string): string | undefined {
  return spawnSync(command, args, { stdio: "ignore" }).status === 0 ? undefined : `there is no ${name} on this machine`;
}

/** A marker written last tells a finished installation from one that was broken off. */
async function install(name: string, version: string, fill: (folder: string) => Promise<void>): Promise<string> {
  const folder = join(FOLDER, name);
  const marker = join(FOLDER, `${name}-${version.replace(/[^\w.-]+/g, "-")}`);
  if (!existsSync(marker)) {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    await fill(folder);
    writeFileSync(marker, "");
  }
  return folder;
}
