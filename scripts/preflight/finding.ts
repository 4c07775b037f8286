/**
 * What a preflight found: one finding for each thing looked at, and how it is told.
 *
 * Not for looking: that is in the checks. Nothing here holds a secret's value.
 */

/** `not_checked` is never `ok`: it says what could not be looked at, and why. */
type FindingStatus = "ok" | "failed" | "warning" | "not_checked";

export interface Finding {
  readonly status: FindingStatus;
  /** What was looked at: `secrets`, `bucket`. */
  readonly check: string;
  readonly detail: string;
  /** What to do about it, as a command or in words. */
  readonly remedy?: string;
}

export interface PreflightReport {
  readonly environment: string;
  readonly worker: string;
  /** Whether nothing failed. Warnings, and what was not checked, do not stop a deployment. */
  readonly ok: boolean;
  readonly failed: number;
  readonly warnings: number;
  readonly not_checked: number;
  readonly findings: readonly Finding[];
}

export function summarize(environment: string, worker: string, findings: readonly Finding[]): PreflightReport {
  const count = (status: FindingStatus) => findings.filter((finding) => finding.status === status).length;
  const failed = count("failed");
  return {
    environment,
    worker,
    ok: failed === 0,
    failed,
    warnings: count("warning"),
    not_checked: count("not_checked"),
    findings,
  };
}

const HEADINGS = [
  ["failed", "Failed: the service would not work"],
  ["warning", "Warnings"],
  ["not_checked", "Not checked"],
  ["ok", "In order"],
] as const satisfies readonly (readonly [FindingStatus, string])[];

/** For people: what is wrong first, each with what to do. */
export function renderReport(report: PreflightReport): string {
  const lines = [`Preflight of ${report.worker} (${report.environment})`];
  for (const [status, heading] of HEADINGS) {
    const findings = report.findings.filter((finding) => finding.status === status);
    if (findings.length === 0) continue;
    lines.push("", `${heading}:`);
    for (const { check, detail, remedy } of findings) {
      lines.push(`  ${check}: ${detail}`);
      if (remedy !== undefined) lines.push(`    → ${remedy}`);
    }
  }
  const sound = report.not_checked === 0 ? "Nothing stands" : "Nothing that could be checked stands";
  const verdict = report.ok ? `${sound} in the way of a deployment` : "Do not deploy yet";
  const counts = `${report.failed} failed, ${report.warnings} warnings, ${report.not_checked} not checked`;
  return [...lines, "", `${verdict}: ${counts}.`].join("\n");
}
