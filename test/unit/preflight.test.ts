/**
 * The preflight names everything that a deployment lacks, how to set it, and what it could not look at; and
 * nothing that it did not look at is called in order.
 */
import { describe, expect, test } from "vitest";

import type { Finding } from "../../scripts/preflight/finding.ts";
import { renderReport } from "../../scripts/preflight/finding.ts";
import { runPreflight, type PreflightOptions } from "../../scripts/preflight/preflight.ts";
import type { WranglerAnswer } from "../../scripts/preflight/wrangler-calls.ts";
import { answerOf, createProject, FULL_ACCOUNT, type Account, type RawProject } from "../fixtures/preflight-project.ts";

const SECRET = "correct horse battery staple 0123456789";

interface Look {
  readonly change?: (project: RawProject) => void;
  readonly account?: Partial<Account>;
  readonly environment?: string;
  readonly devVars?: string;
  readonly options?: Partial<PreflightOptions>;
}

async function look({ change, account, environment = "production", devVars, options }: Look = {}) {
  using project = createProject(change, devVars);
  return runPreflight({
    root: project.root,
    environment,
    isDeployed: environment !== "local",
    isOffline: false,
    run: (args) => answerOf({ ...FULL_ACCOUNT, ...account }, args),
    fetch: () => Promise.reject(new TypeError("no network here")),
    shell: {},
    ...options,
  });
}

function told(findings: readonly Finding[], status: Finding["status"], check: string): Finding[] {
  return findings.filter((finding) => finding.status === status && finding.check === check);
}

function uncheckedOf(findings: readonly Finding[]): string[] {
  const unchecked = findings.filter(({ status }) => status === "not_checked");
  return unchecked.map(({ check }) => check).toSorted();
}

function refuseToRun(): WranglerAnswer {
  throw new Error("wrangler was run");
}

function production(vars: Record<string, unknown>): (project: RawProject) => void {
  return (project) => Object.assign(environmentOf(project).vars, vars);
}

function environmentOf(project: RawProject): RawProject["env"][string] {
  const environment = project.env["production"];
  if (environment === undefined) throw new Error("there is no production environment");
  return environment;
}

test("a complete environment passes, and says that no limits are bound and what cannot be read back", async () => {
  const report = await look();
  expect(report).toMatchObject({ ok: true, failed: 0, worker: "spillway-production", environment: "production" });
  expect(report.findings.filter(({ status }) => status === "warning").map(({ check }) => check)).toEqual([
    "rate limits",
  ]);
  expect(report.findings.filter(({ status }) => status === "not_checked").map(({ check }) => check)).toEqual([
    "admin tokens",
  ]);
});

describe("secrets", () => {
  test("each that is missing is named, with the command that sets it", async () => {
    const { ok, findings } = await look({ account: { secrets: ["HMAC_SECRET", "CLIENT_KEYS"] } });
    expect(ok).toBe(false);
    const missing = told(findings, "failed", "secrets");
    expect(missing.map(({ remedy }) => remedy)).toEqual([
      "npx wrangler secret put API_KEY --env production",
      "npx wrangler secret put ADMIN_TOKEN --env production",
    ]);
    expect(missing[0]?.detail).toContain("ROUTES[0].headers.authorization");
  });

  test("a Worker that was never deployed has none", async () => {
    const { findings } = await look({ account: { secrets: undefined } });
    expect(told(findings, "failed", "secrets").map(({ remedy }) => remedy?.split(" ")[4])).toEqual([
      "SSE_RESUME_SECRET",
      "API_KEY",
      "CLIENT_KEYS",
      "ADMIN_TOKEN",
    ]);
  });

  test("named operators serve in the place of the one token", async () => {
    const secrets = ["SSE_RESUME_SECRET", "CLIENT_KEYS", "ADMIN_TOKENS", "API_KEY", "METRICS_TOKEN"];
    expect(await look({ account: { secrets } })).toMatchObject({ ok: true });
  });

  test("one that nothing reads is a slip worth a warning", async () => {
    const secrets = [...(FULL_ACCOUNT.secrets ?? []), "ADMIN_TOKNE"];
    const [warning] = told((await look({ account: { secrets } })).findings, "warning", "secrets");
    expect(warning?.detail).toContain("ADMIN_TOKNE");
  });

  test("of this machine are read with their values, which are never told", async () => {
    const weak = "a".repeat(40);
    const devVars = `SSE_RESUME_SECRET=short\nADMIN_TOKEN=${weak}\nCLIENT_AUTH=none\n`;
    const report = await look({ environment: "local", devVars });
    expect(report.ok).toBe(false);
    expect(told(report.findings, "failed", "configuration")[0]?.detail).toContain("a secret of 5 characters");
    expect(told(report.findings, "warning", "admin tokens")).toHaveLength(1);
    expect(JSON.stringify(report)).not.toContain(weak);
    const sound = `SSE_RESUME_SECRET="${SECRET}"\nADMIN_TOKEN=${SECRET.replaceAll(" ", "")}\nCLIENT_AUTH=none\n`;
    expect(await look({ environment: "local", devVars: sound })).toMatchObject({ ok: true, not_checked: 0 });
  });
});

describe("what could not be looked at is said, and is not in order", () => {
  const unknown = ["admin tokens", "buckets", "secrets"];
  test("nobody is logged in", async () => {
    const { ok, findings } = await look({ account: { isLoggedIn: false } });
    expect(ok).toBe(true);
    expect(uncheckedOf(findings)).toEqual(unknown);
    const [secrets] = told(findings, "not_checked", "secrets");
    expect(secrets?.detail).toBe(
      "nobody is logged in (npx wrangler login). Needed: SSE_RESUME_SECRET, API_KEY, CLIENT_KEYS, ADMIN_TOKEN",
    );
    for (const check of unknown) expect(told(findings, "ok", check)).toEqual([]);
  });

  test("offline, wrangler is not run at all", async () => {
    const { findings } = await look({ options: { isOffline: true, run: refuseToRun } });
    expect(uncheckedOf(findings)).toEqual(unknown);
  });

  test.each([
    ["fails", { status: 1, stdout: "", stderr: "\u001b[31m✘ [ERROR] A request to the API failed.\u001b[0m" }],
    ["answers with something else", { status: 0, stdout: "hello", stderr: "" }],
    ["cannot be run", { status: null, stdout: "", stderr: "" }],
  ])("wrangler %s", async (_, answer) => {
    const run = (args: readonly string[]) => (args[0] === "secret" ? answer : answerOf(FULL_ACCOUNT, args));
    const { findings } = await look({ options: { run } });
    expect(uncheckedOf(findings)).toEqual(["admin tokens", "secrets"]);
  });

  test("the text for people says so as well", async () => {
    const text = renderReport(await look({ account: { isLoggedIn: false } }));
    expect(text).toContain("Not checked:\n  secrets: nobody is logged in");
    expect(text).toContain("Nothing that could be checked stands in the way of a deployment: 0 failed");
  });
});

test("configuration: all faults are told at once, and where to mend them", async () => {
  const { findings } = await look({
    change: production({ ROUTES: [], SSE_MAX_CLIENTS: 0, ICEBERG_NAMESPACE: "Not This" }),
  });
  const faults = told(findings, "failed", "configuration");
  expect(faults.map(({ detail }) => detail.split(":")[0])).toEqual(["SSE_MAX_CLIENTS", "ROUTES", "ICEBERG_NAMESPACE"]);
  expect(faults[0]?.remedy).toContain("env.production.vars in wrangler.jsonc");
});

test("bindings and classes that an environment lacks are named", async () => {
  const { ok, findings } = await look({
    change: (project) => {
      const environment = environmentOf(project);
      environment["durable_objects"] = {
        bindings: [
          { name: "REQUEST_STREAM", class_name: "EventBuffer" },
          { name: "EVENT_BUFFER_DO", class_name: "EventBuffer" },
          { name: "ICEBERG_TABLE_DO", class_name: "Unknown" },
        ],
      };
      environment["r2_buckets"] = [{ binding: "LAKE_BUCKET", bucket_name: "spillway-production-lake" }];
      environment["compatibility_flags"] = [];
      environment["compatibility_date"] = "2025-01-01";
      delete environment.vars["SSE_RETRY_MS"];
    },
  });
  expect(ok).toBe(false);
  expect(told(findings, "failed", "bindings").map(({ detail }) => detail)).toEqual([
    "SERVICE_MONITOR is not bound",
    "ARCHIVE_BUCKET is not bound",
    "REQUEST_STREAM is bound to EventBuffer, not to RequestStream",
    "ICEBERG_TABLE_DO is bound to Unknown, not to IcebergTable",
  ]);
  expect(told(findings, "failed", "classes")[0]?.detail).toContain("Unknown");
  expect(told(findings, "failed", "compatibility")[0]?.detail).toContain("enable_request_signal");
  expect(told(findings, "warning", "compatibility")).toHaveLength(1);
  expect(told(findings, "warning", "variables")[0]?.detail).toContain("SSE_RETRY_MS");
});

test("buckets that are not there are named, and a warehouse that lies in another", async () => {
  const { findings } = await look({
    account: { buckets: ["spillway-production-lake"] },
    change: production({ ICEBERG_WAREHOUSE: "s3://spillway-production-lake2/warehouse" }),
  });
  expect(told(findings, "failed", "buckets").map(({ remedy }) => remedy)).toEqual([
    "npx wrangler r2 bucket create spillway-production-archive",
  ]);
  expect(told(findings, "failed", "catalog")[0]?.detail).toContain("readers would look elsewhere");
});

describe("a REST catalog", () => {
  const change = production({
    ICEBERG_CATALOG: "rest",
    ICEBERG_REST_URI: "https://catalog.example.com/a/b/",
    ICEBERG_WAREHOUSE: "a_b",
  });
  const shell = { ICEBERG_REST_TOKEN: SECRET };

  test.each([
    [200, "ok"],
    [401, "failed"],
    [404, "failed"],
  ] as const)("that answers %i is %s", async (status, expected) => {
    const asked: string[] = [];
    const fetch: typeof globalThis.fetch = async (input, init) => {
      asked.push(`${new Request(input).url} ${new Headers(init?.headers).get("authorization")}`);
      return new Response("{}", { status });
    };
    const { findings } = await look({ change, options: { shell, fetch } });
    expect(asked).toEqual([`https://catalog.example.com/a/b/v1/config?warehouse=a_b Bearer ${SECRET}`]);
    expect(told(findings, expected, "catalog")).toHaveLength(1);
    expect(JSON.stringify(findings)).not.toContain(SECRET);
  });

  test("that cannot be reached has failed; without a token it is not asked", async () => {
    const unreachable = await look({ change, options: { shell } });
    expect(told(unreachable.findings, "failed", "catalog")[0]?.detail).toContain("cannot be reached (TypeError)");
    expect(told((await look({ change })).findings, "not_checked", "catalog")[0]?.remedy).toContain(
      "ICEBERG_REST_TOKEN",
    );
  });
});

describe("what is valid and unwise is a warning", () => {
  test.each<[string, string, Record<string, unknown>]>([
    ["every origin", "origins", { CORS_ORIGINS: "*" }],
    ["no client keys", "clients", { CLIENT_AUTH: "none" }],
    ["the demo in production", "routes", { ROUTES: [{ name: "demo", upstream: "builtin:demo" }] }],
    ["an upstream without TLS", "routes", { ROUTES: [{ name: "a", upstream: "http://api.example.com/" }] }],
    ["the same, as text", "routes", { ROUTES: '[{"name":"a","upstream":"HTTP://api.example.com/"}]' }],
    ["tokens that die before their streams", "lifetimes", { SSE_RESUME_TTL_SEC: 60 }],
    ["streams that die before their tokens", "lifetimes", { SSE_RESUME_TTL_SEC: 3600 }],
  ])("%s", async (_, check, vars) => {
    const report = await look({ change: production(vars) });
    expect(report.ok).toBe(true);
    expect(told(report.findings, "warning", check)).toHaveLength(1);
  });

  test("tokens may outlive streams that are archived", async () => {
    const { findings } = await look({ change: production({ SSE_RESUME_TTL_SEC: 3600, SSE_ARCHIVE: true }) });
    expect(told(findings, "warning", "lifetimes")).toEqual([]);
  });

  test("but a secret that would cross the network in the clear is a failure", async () => {
    const headers = { authorization: "Bearer ${API_KEY}" };
    const report = await look({
      change: production({ ROUTES: [{ name: "a", upstream: "http://example.com/", headers }] }),
    });
    expect(told(report.findings, "failed", "routes")).toHaveLength(1);
  });

  test("observability that is off, and limits that are bound", async () => {
    const { findings } = await look({
      change: (project) => {
        const environment = environmentOf(project);
        environment["observability"] = { enabled: false };
        environment["ratelimits"] = [
          { name: "RATE_LIMIT_START", namespace_id: "1", simple: { limit: 60, period: 60 } },
        ];
      },
    });
    expect(told(findings, "warning", "logs")).toHaveLength(1);
    expect(told(findings, "warning", "rate limits")).toEqual([]);
  });
});
