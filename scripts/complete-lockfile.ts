/**
 * `npm run lockfile`: puts into the lockfiles, the project's and the comparison's, the optional packages of other
 * platforms that `npm install` leaves out where the registry in use does not offer them.
 *
 * `npm ci` compares manifest and lockfile for all platforms and stops at the first one missing, so a
 * lockfile made on one machine would not install on another. Run it after every `npm install`; a
 * test says when it is due.
 */
import { readFileSync, writeFileSync } from "node:fs";

const LOCKFILES = ["package-lock.json", "bench/peers/npm/package-lock.json"];

interface LockedPackage {
  readonly version?: string;
  readonly dev?: boolean;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

interface Lockfile {
  packages: Record<string, object>;
}

interface MissingPackage {
  readonly key: string;
  readonly name: string;
  readonly version: string;
  readonly isDev: boolean;
}

/** Optional dependencies that no entry of the lockfile stands for. Pure. */
export function findMissing(packages: Readonly<Record<string, LockedPackage>>): MissingPackage[] {
  const missing: MissingPackage[] = [];
  for (const [owner, { optionalDependencies = {}, dev }] of Object.entries(packages)) {
    const names = Object.keys(optionalDependencies);
    const located = names.map((name) => locate(packages, owner, name)).find((key) => key !== undefined);
    for (const [name, version] of Object.entries(optionalDependencies)) {
      if (locate(packages, owner, name) !== undefined) continue;
      // Beside the sibling that was installed here, where the owner finds it.
      const folder = located?.slice(0, located.lastIndexOf("node_modules/")) ?? "";
      missing.push({ key: `${folder}node_modules/${name}`, name, version, isDev: dev === true });
    }
  }
  return missing;
}

/** Node's look-up: beside the owner, then in each folder above it. */
function locate(packages: Readonly<Record<string, LockedPackage>>, owner: string, name: string): string | undefined {
  const steps = owner.split("/node_modules/");
  for (let depth = steps.length; depth > 0; depth--) {
    const key = `${steps.slice(0, depth).join("/node_modules/")}/node_modules/${name}`;
    if (packages[key] !== undefined) return key;
  }
  const key = `node_modules/${name}`;
  return packages[key] === undefined ? undefined : key;
}

/** Platform packages carry their platform in their name. */
function platformOf(name: string): { os: string[]; cpu: string[]; libc?: string[] } {
  const os = ["android", "darwin", "freebsd", "netbsd", "openbsd", "openharmony", "sunos", "aix"].find((known) =>
    name.includes(known),
  );
  const cpu = ["arm64", "arm", "ia32", "ppc64", "riscv64", "s390x", "loong64", "mips64el"].find((known) =>
    name.includes(known),
  );
  const libc = ["musl", "gnu"].find((known) => name.includes(known));
  return {
    os: [os ?? (/win32|windows/.test(name) ? "win32" : "linux")],
    cpu: [cpu ?? "x64"],
    ...(libc === undefined ? {} : { libc: [libc === "gnu" ? "glibc" : "musl"] }),
  };
}

function complete(path: string): void {
  const lockfile = JSON.parse(readFileSync(path, "utf8")) as Lockfile;
  const missing = findMissing(lockfile.packages);
  for (const { key, name, version, isDev } of missing) {
    lockfile.packages[key] = { version, ...(isDev ? { dev: true } : {}), optional: true, ...platformOf(name) };
  }
  const sorted = Object.entries(lockfile.packages).toSorted(([left], [right]) => (left < right ? -1 : 1));
  writeFileSync(path, `${JSON.stringify({ ...lockfile, packages: Object.fromEntries(sorted) }, null, 2)}\n`);
  console.log(`${path}: ${missing.length} optional packages of other platforms added.`);
}

if (import.meta.main) LOCKFILES.forEach(complete);
