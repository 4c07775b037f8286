/**
 * Whether an environment binds what the Worker needs, and runs on the platform that it is tested on. Pure.
 *
 * The top level, which all tests run, is the measure: wrangler hands bindings and variables down to no
 * environment.
 */
import type { Finding } from "./finding.ts";
import type { Target } from "./target.ts";

/** Without it an object never sees that a reader has gone. */
const NEEDED_FLAGS = ["enable_request_signal"];

export function checkBindings(target: Target, local: Target): Finding[] {
  const missing = [
    ...absent(names(local.objects), names(target.objects)),
    ...absent(Object.keys(local.buckets), Object.keys(target.buckets)),
    ...(local.assets !== undefined && target.assets !== local.assets ? [local.assets] : []),
  ];
  const findings = missing.map((name): Finding => {
    const remedy = `add it under env.${target.environment} in wrangler.jsonc, as at the top level`;
    return { status: "failed", check: "bindings", detail: `${name} is not bound`, remedy };
  });
  for (const { name, className } of target.objects) {
    const expected = local.objects.find((binding) => binding.name === name)?.className;
    if (expected !== undefined && className !== expected) {
      const detail = `${name} is bound to ${className}, not to ${expected}`;
      findings.push({ status: "failed", check: "bindings", detail, remedy: "wrangler.jsonc, durable_objects" });
    }
  }
  return findings.length > 0 ? findings : [{ status: "ok", check: "bindings", detail: "all that the Worker uses" }];
}

export function checkClasses(target: Target): Finding[] {
  const missing = absent(
    target.objects.map(({ className }) => className),
    target.sqliteClasses,
  );
  const findings = missing.map((className): Finding => {
    const remedy = `"${className}": { "type": "durable-object", "storage": "sqlite" } in exports of wrangler.jsonc`;
    return { status: "failed", check: "classes", detail: `${className} is not declared with SQLite storage`, remedy };
  });
  return findings.length > 0 ? findings : [{ status: "ok", check: "classes", detail: target.sqliteClasses.join(", ") }];
}

export function checkPlatform(target: Target, local: Target): Finding[] {
  const check = "compatibility";
  const findings = absent(NEEDED_FLAGS, target.compatibilityFlags).map((flag): Finding => {
    const remedy = `"compatibility_flags": ["${flag}"]`;
    return { status: "failed", check, detail: `${flag} is missing`, remedy };
  });
  if (target.compatibilityDate !== local.compatibilityDate) {
    const detail = `${target.compatibilityDate} is not the date that all tests run with, ${local.compatibilityDate}`;
    findings.push({ status: "warning", check, detail });
  }
  const sound = `${target.compatibilityDate}, ${target.compatibilityFlags.join(", ")}`;
  return findings.length > 0 ? findings : [{ status: "ok", check, detail: sound }];
}

/** A variable that an environment leaves out has its default there, whatever the top level says. */
export function checkVariables(target: Target, local: Target): Finding[] {
  const missing = absent(Object.keys(local.vars), Object.keys(target.vars));
  if (missing.length === 0) return [];
  const detail = `not in env.${target.environment}.vars, so that defaults apply: ${missing.join(", ")}`;
  return [{ status: "warning", check: "variables", detail }];
}

function absent(wanted: readonly string[], present: readonly string[]): string[] {
  return wanted.filter((name) => !present.includes(name));
}

function names(bindings: Target["objects"]): string[] {
  return bindings.map(({ name }) => name);
}
