/**
 * nginx with nchan, and Redis: the machine's own where it has them, else Debian's (or Ubuntu's) packages, unpacked
 * into `.peers/`. Nothing is installed in the system, no root is needed, and no package starts anything: the
 * lists of packages are fetched into a folder of our own, and apt is only asked what an installation would bring.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { arch } from "node:os";
import { join } from "node:path";

import { findProgram, runCommand } from "./command.ts";
import { keptFolder, PEERS_FOLDER } from "./kept-folder.ts";

/** A server program, and what its process needs in its environment. */
export interface Program {
  readonly command: string;
  readonly env: Readonly<Record<string, string>>;
}

export interface NchanProgram extends Program {
  readonly modulePath: string;
}

type Note = (line: string) => void;

const NCHAN_MODULE = "usr/lib/nginx/modules/ngx_nchan_module.so";
/** Of equal length, see `keepFolderAside`. */
const BODY_FOLDER = { asBuilt: "/var/lib/nginx/body", ours: "temporary//////body" };
const OS_RELEASE = "/etc/os-release";
const DPKG_STATUS = "/var/lib/dpkg/status";

/** @throws where there is none and none can be fetched */
export async function installNchan(note: Note): Promise<NchanProgram> {
  const own = findProgram("nginx");
  const ownModule = `/${NCHAN_MODULE}`;
  if (own !== undefined && existsSync(ownModule)) return { command: own, env: {}, modulePath: ownModule };
  const folder = await unpacked({
    name: "nchan",
    packages: ["nginx-light", "libnginx-mod-nchan"],
    note,
    finish: keepFolderAside,
  });
  // Where nginx is installed without nchan only the module was fetched.
  const fetched = join(folder, "usr/sbin/nginx");
  const command = existsSync(fetched) ? fetched : (own ?? fetched);
  return { command, env: libraryPath(folder), modulePath: join(folder, NCHAN_MODULE) };
}

/** @throws where there is none and none can be fetched */
export async function installRedis(note: Note): Promise<Program> {
  const own = findProgram("redis-server");
  if (own !== undefined) return { command: own, env: {} };
  const folder = await unpacked({ name: "redis", packages: ["redis-server"], note });
  return { command: join(folder, "usr/bin/redis-server"), env: libraryPath(folder) };
}

/** What `apt-get --simulate install` would install, as `name=version`. Pure. */
export function packagesToFetch(simulation: string): string[] {
  const lines = simulation.matchAll(/^Inst (\S+) (?:\[[^\]]*\] )?\((\S+)/gm);
  return [...lines].map(([, name = "", version = ""]) => `${name}=${version}`);
}

interface Unpacking {
  readonly name: string;
  readonly packages: readonly string[];
  readonly note: Note;
  readonly finish?: (folder: string) => void;
}

async function unpacked({ name, packages, note, finish }: Unpacking): Promise<string> {
  if (findProgram("apt-get") === undefined || findProgram("dpkg") === undefined) {
    throw new Error(`not on this machine, and there is no apt-get to fetch ${packages.join(" and ")} with`);
  }
  return keptFolder({
    name,
    version: [...packages, arch(), existsSync(OS_RELEASE) ? readFileSync(OS_RELEASE, "utf8") : ""].join("\n"),
    announce: () => note(`fetching ${packages.join(" and ")} with apt-get`),
    fill: async (folder) => {
      const options = await aptOptions();
      const wanted = [...options, "--simulate", "--no-install-recommends", "install", ...packages];
      const found = packagesToFetch(await runCommand("apt-get", wanted, folder));
      await runCommand("apt-get", [...options, "download", ...found], folder);
      for (const file of readdirSync(folder).filter((entry) => entry.endsWith(".deb"))) {
        await runCommand("dpkg", ["-x", file, "."], folder);
        rmSync(join(folder, file));
      }
      finish?.(folder);
      writeFileSync(join(folder, "packages"), `${found.join("\n")}\n`);
    },
  });
}

/**
 * nchan makes a folder it was built with, whatever the configuration says, and in `/var/lib` only root may. In our copy it
 * is relative to the folder that nginx is started in.
 */
function keepFolderAside(folder: string): void {
  const path = join(folder, NCHAN_MODULE);
  const { asBuilt, ours } = BODY_FOLDER;
  writeFileSync(path, readFileSync(path, "latin1").replaceAll(asBuilt, ours), "latin1");
}

let lists: Promise<string[]> | undefined;

/** Options that make apt-get use lists of its own in `.peers/`, which are fetched once in a run. */
function aptOptions(): Promise<string[]> {
  lists ??= fetchLists();
  return lists;
}

async function fetchLists(): Promise<string[]> {
  const state = join(PEERS_FOLDER, "apt");
  for (const folder of ["lists/partial", "cache/archives/partial"]) {
    mkdirSync(join(state, folder), { recursive: true });
  }
  const settings = {
    "Dir::State": state,
    "Dir::State::status": DPKG_STATUS,
    "Dir::Cache": join(state, "cache"),
    // Run by root, apt would fetch as a user who may not write here.
    "APT::Sandbox::User": "root",
    "Acquire::Languages": "none",
    "Acquire::Retries": "1",
  };
  const options = Object.entries(settings).flatMap(([name, value]) => ["-o", `${name}=${value}`]);
  await runCommand("apt-get", [...options, "update"], state);
  return options;
}

/** Libraries that came along, for programs that are not where they were built to be. */
function libraryPath(folder: string): Record<string, string> {
  const paths = ["usr/lib", "lib"].flatMap((libraries) => {
    const path = join(folder, libraries);
    if (!existsSync(path)) return [];
    const ofMachine = readdirSync(path).filter((entry) => entry.includes("-linux-gnu"));
    return ofMachine.map((entry) => join(path, entry));
  });
  return { LD_LIBRARY_PATH: paths.join(":") };
}
