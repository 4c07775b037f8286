/**
 * What the Worker would say of its configuration when it starts: its own reading of the variables, with
 * stand-ins for bindings and for secrets whose values are unknown. Pure.
 *
 * Not for what is valid and still unwise: that is in prudence-checks.ts.
 */
import type { ConfigFault } from "../../protocol/errors.ts";
import { isMissing } from "../../protocol/variable-reading.ts";
import { readConfig } from "../../workers/config.ts";
import type { Finding } from "./finding.ts";
import { baseName, placeholderFor, putCommand, referencedSecrets, type KnownSecrets } from "./secrets.ts";
import { LOCAL, type Target } from "./target.ts";

/** @param secretNames every secret there is, besides those that routes name */
export function checkConfiguration(target: Target, secrets: KnownSecrets, secretNames: readonly string[]): Finding[] {
  const names = new Set([...secretNames, ...referencedSecrets(target.vars["ROUTES"])]);
  const given = secretValues(target, secrets, names);
  const faults = faultsOf(target, given);
  const findings: Finding[] = [];
  for (const fault of faults) {
    const secret = secretOf(fault, names);
    if (secret === undefined) findings.push(configurationFault(target, fault));
    else if (isMissing(given[secret])) findings.push(missingSecret(target, secret, fault));
    // A stand-in of the wrong form is no fault of theirs.
    else if (secrets.kind === "values") findings.push(configurationFault(target, fault));
  }
  if (!findings.some(({ check }) => check === "configuration")) {
    findings.push({ status: "ok", check: "configuration", detail: "the Worker would start with these variables" });
  }
  if (!findings.some(({ check }) => check === "secrets")) findings.push(secretsFinding(target, secrets, names));
  return withoutRepeats([...findings, ...checkUnread(target, secrets, names)]);
}

function secretValues(target: Target, secrets: KnownSecrets, names: ReadonlySet<string>): Record<string, string> {
  if (secrets.kind === "values") return { ...secrets.values };
  const present = secrets.kind === "names" ? secrets.names : neededSecrets(target, names);
  return Object.fromEntries(present.map((name) => [name, placeholderFor(name)]));
}

/** Those without which the Worker would not start. */
function neededSecrets(target: Target, names: ReadonlySet<string>): string[] {
  const needed = faultsOf(target, {}).map((fault) => secretOf(fault, names));
  return [...new Set(needed.filter((name) => name !== undefined))];
}

function faultsOf(target: Target, secrets: Readonly<Record<string, string>>): readonly ConfigFault[] {
  const reading = readConfig({ ...target.vars, ...bindingsOf(target), ...secrets });
  return reading.ok ? [] : reading.faults;
}

/** Something for each binding that its reader takes for one. */
function bindingsOf(target: Target): Record<string, unknown> {
  const limiter = { limit: async () => ({ success: true }) };
  const names = [...target.objects.map(({ name }) => name), ...Object.keys(target.buckets), ...target.pipelines];
  return {
    ...Object.fromEntries(names.map((name) => [name, {}])),
    ...Object.fromEntries(target.rateLimits.map((name) => [name, limiter])),
  };
}

/** A fault is about a secret by its variable, or by the `${NAME}` that a header holds. */
function secretOf({ variable, found }: ConfigFault, names: ReadonlySet<string>): string | undefined {
  const referenced = /^\$\{(.+)\}$/.exec(found)?.[1];
  const name = referenced ?? baseName(variable);
  return names.has(name) ? name : undefined;
}

function configurationFault(target: Target, { variable, found, allowed }: ConfigFault): Finding {
  const place = target.environment === LOCAL ? "vars" : `env.${target.environment}.vars`;
  return {
    status: "failed",
    check: "configuration",
    detail: `${variable}: found ${found}, allowed: ${allowed}`,
    remedy: `${place} in wrangler.jsonc; docs/configuration.md`,
  };
}

function missingSecret(target: Target, name: string, { allowed, variable }: ConfigFault): Finding {
  const why = variable.startsWith("ROUTES") ? `${variable} names it` : allowed;
  return {
    status: "failed",
    check: "secrets",
    detail: `${name} is not set: ${why}`,
    remedy: putCommand(name, target),
  };
}

function secretsFinding(target: Target, secrets: KnownSecrets, names: ReadonlySet<string>): Finding {
  const check = "secrets";
  if (secrets.kind === "unknown") {
    const detail = `${secrets.why}. Needed: ${neededSecrets(target, names).join(", ")}`;
    return { status: "not_checked", check, detail };
  }
  const set = namesOf(secrets).filter((name) => names.has(name));
  return { status: "ok", check, detail: `none is missing; set: ${set.join(", ")}` };
}

/** A name with a slip in it is set, and missing all the same. */
function checkUnread(target: Target, secrets: KnownSecrets, names: ReadonlySet<string>): Finding[] {
  const unread = namesOf(secrets).filter((name) => !names.has(name) && !(name in target.vars));
  if (unread.length === 0) return [];
  return [{ status: "warning", check: "secrets", detail: `set, and read by nothing: ${unread.join(", ")}` }];
}

function namesOf(secrets: KnownSecrets): readonly string[] {
  if (secrets.kind === "unknown") return [];
  if (secrets.kind === "names") return secrets.names;
  return Object.keys(secrets.values).filter((name) => secrets.values[name] !== "");
}

/** Two headers may name one secret. */
function withoutRepeats(findings: readonly Finding[]): Finding[] {
  return [...new Map(findings.map((finding) => [`${finding.check} ${finding.detail}`, finding])).values()];
}
