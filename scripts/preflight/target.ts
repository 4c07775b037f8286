/**
 * What is about to be deployed: one environment of wrangler.jsonc, as wrangler itself reads it.
 *
 * Not for judging it: that is in the checks.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { unstable_readConfig } from "wrangler";

interface ObjectBinding {
  readonly name: string;
  readonly className: string;
}

export interface Target {
  /** `local` is the top level. */
  readonly environment: string;
  readonly worker: string;
  readonly vars: Readonly<Record<string, unknown>>;
  readonly objects: readonly ObjectBinding[];
  /** Bucket by binding. */
  readonly buckets: Readonly<Record<string, string>>;
  readonly pipelines: readonly string[];
  readonly rateLimits: readonly string[];
  readonly assets: string | undefined;
  /** Names of the Durable Object classes that are declared with SQLite storage. */
  readonly sqliteClasses: readonly string[];
  readonly compatibilityDate: string;
  readonly compatibilityFlags: readonly string[];
  readonly logsAreKept: boolean;
}

export const LOCAL = "local";

/** What of wrangler's reading is used here; its own type needs packages that are not installed. */
interface WranglerReading {
  readonly name?: string;
  readonly vars: Readonly<Record<string, unknown>>;
  readonly durable_objects: { readonly bindings: readonly { readonly name: string; readonly class_name: string }[] };
  readonly r2_buckets: readonly { readonly binding: string; readonly bucket_name?: string }[];
  readonly pipelines: readonly { readonly binding: string }[];
  readonly ratelimits?: readonly { readonly name: string }[];
  readonly assets?: { readonly binding?: string };
  readonly exports?: Readonly<Record<string, { readonly storage?: string }>>;
  readonly compatibility_date?: string;
  readonly compatibility_flags: readonly string[];
  readonly observability?: { readonly enabled?: boolean; readonly logs?: { readonly enabled?: boolean } };
}

/** @throws with wrangler's own words where the file or the environment is not as it must be */
export function readTarget(root: string, environment: string): Target {
  const env = environment === LOCAL ? "" : environment;
  const given: unknown = unstable_readConfig({ config: join(root, "wrangler.jsonc"), env }, { hideWarnings: true });
  const config = given as WranglerReading;
  return {
    environment,
    worker: config.name ?? "",
    vars: config.vars,
    objects: config.durable_objects.bindings.map(({ name, class_name }) => ({ name, className: class_name })),
    buckets: Object.fromEntries(config.r2_buckets.map(({ binding, bucket_name }) => [binding, bucket_name ?? ""])),
    pipelines: config.pipelines.map(({ binding }) => binding),
    rateLimits: (config.ratelimits ?? []).map(({ name }) => name),
    assets: config.assets?.binding,
    sqliteClasses: Object.entries(config.exports ?? {})
      .filter(([, entry]) => entry.storage === "sqlite")
      .map(([name]) => name),
    compatibilityDate: config.compatibility_date ?? "",
    compatibilityFlags: config.compatibility_flags,
    logsAreKept: config.observability?.logs?.enabled ?? config.observability?.enabled ?? false,
  };
}

/** Every secret there is: the names in `.dev.vars.example`, also of lines that are commented out. */
export function readSecretNames(root: string): string[] {
  const text = readFileSync(join(root, ".dev.vars.example"), "utf8");
  return [...text.matchAll(/^(?:# ?)?([A-Z][A-Z0-9_]*)=/gm)].map(([, name = ""]) => name);
}
