/**
 * The variables of monitor and alerts: bounds, order, secrets never repeated, and the documents that state them.
 */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";

import { expect, test } from "vitest";

import type { ConfigFault } from "../../protocol/errors.ts";
import { MONITOR_NUMBER_VARIABLES, readMonitorSettings } from "../../protocol/monitor-settings.ts";

const SECRET = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const URL_TEXT = "https://hooks.example/in?token=url-secret";

function read(variables: Readonly<Record<string, unknown>>) {
  const faults: ConfigFault[] = [];
  const settings = readMonitorSettings(variables, faults);
  return { settings, faults, faulty: faults.map(({ variable }) => variable) };
}

test("without a variable the defaults hold, and there is no webhook", () => {
  const { settings, faults } = read({});
  expect(faults).toEqual([]);
  expect(settings).toMatchObject({ intervalMs: 30_000, webhook: undefined, metricsToken: undefined });
  expect(settings.alerts).toMatchObject({ windowMs: 300_000, clearMs: 120_000, fill: { forMs: 300_000 } });
});

test.each(Object.entries(MONITOR_NUMBER_VARIABLES))("%s is held to its bounds", (variable, { min, max, fallback }) => {
  const isFaulty = (value: unknown) => read({ [variable]: value }).faulty.includes(variable);
  for (const value of [min - 1, max + 1, "x", {}, true, Number.NaN]) expect(isFaulty(value)).toBe(true);
  for (const value of [fallback, String(fallback), ""]) expect(isFaulty(value)).toBe(false);
});

test.each([
  [{ ALERT_FILL_WARNING: 0.4 }, "ALERT_FILL_WARNING"],
  [{ ALERT_FILL_CRITICAL: 0.6 }, "ALERT_FILL_CRITICAL"],
  [{ ALERT_TRIM_RATE_INFO: 0.006 }, "ALERT_TRIM_RATE_WARNING"],
  [{ ALERT_RESUME_SUCCESS_CRITICAL: 0.99 }, "ALERT_RESUME_SUCCESS_MIN"],
])("levels that lie below a milder one are a fault: %o", (variables, variable) => {
  expect(read(variables).faulty).toEqual([variable]);
});

test.each([SECRET, `whsec_${SECRET}`, "A".repeat(43) + "=", "A".repeat(86) + "=="])(
  "a webhook with the secret %s",
  (secret) => {
    const { settings, faults } = read({ ALERT_WEBHOOK_URL: URL_TEXT, ALERT_WEBHOOK_SECRET: secret });
    expect(faults).toEqual([]);
    expect(settings.webhook).toEqual({ url: URL_TEXT, secret: secret.replace("whsec_", "") });
  },
);

test.each([
  ["no secret", { ALERT_WEBHOOK_URL: URL_TEXT }, ["ALERT_WEBHOOK_SECRET"]],
  ["no base64", { ALERT_WEBHOOK_URL: URL_TEXT, ALERT_WEBHOOK_SECRET: "-".repeat(32) }, ["ALERT_WEBHOOK_SECRET"]],
  ["too short", { ALERT_WEBHOOK_URL: URL_TEXT, ALERT_WEBHOOK_SECRET: "A".repeat(28) }, ["ALERT_WEBHOOK_SECRET"]],
  ["too long", { ALERT_WEBHOOK_URL: URL_TEXT, ALERT_WEBHOOK_SECRET: "A".repeat(88) }, ["ALERT_WEBHOOK_SECRET"]],
  [
    "another scheme",
    { ALERT_WEBHOOK_URL: "ftp://hooks.example/?token=url-secret", ALERT_WEBHOOK_SECRET: SECRET },
    ["ALERT_WEBHOOK_URL"],
  ],
  ["no URL", { ALERT_WEBHOOK_URL: "https://?token=url-secret", ALERT_WEBHOOK_SECRET: SECRET }, ["ALERT_WEBHOOK_URL"]],
  ["a short token", { METRICS_TOKEN: "url-secret" }, ["METRICS_TOKEN"]],
])("a fault that repeats nothing: %s", (_, variables, expected) => {
  const { settings, faults, faulty } = read(variables);
  expect(faulty).toEqual(expected);
  expect(settings.webhook).toBeUndefined();
  expect(JSON.stringify(faults)).not.toMatch(/url-secret|MfKQ9r8|-{32}|A{20}/);
});

test("docs/configuration.md states every variable with default and bounds", () => {
  const rows = readFileSync(resolve(import.meta.dirname, "../../docs/configuration.md"), "utf8").split("\n");
  for (const [variable, { fallback, min, max }] of Object.entries(MONITOR_NUMBER_VARIABLES)) {
    const row = rows.find((line) => line.startsWith(`| \`${variable}\` |`));
    expect(row, variable).toContain(`| ${fallback} | ${min} – ${max} |`);
  }
  for (const variable of ["METRICS_TOKEN", "ALERT_WEBHOOK_URL", "ALERT_WEBHOOK_SECRET"]) {
    expect(rows.some((line) => line.startsWith(`| \`${variable}\` (secret) |`))).toBe(true);
  }
});
