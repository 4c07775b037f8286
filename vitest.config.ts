import { availableParallelism } from "node:os";

import { cloudflareTest } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";

import { TEST_SECRETS } from "./test/fixtures/test-secrets.ts";

/** Servers and browsers take their time on a busy machine; what they do is not timed. */
const BLACKBOX_TIMEOUT_MS = 60_000;
const SLOW_TIMEOUT_MS = 300_000;
/** How many inputs are tried is told from outside. */
const FUZZ_TIMEOUT_MS = 3_600_000;
/** The first run installs the engines. */
const INTEROP_TIMEOUT_MS = 900_000;
/** Fails a test file that has had a secret written somewhere. */
const WATCH_SECRETS = ["test/fixtures/watch-secrets.ts"];
/** test/fixtures/thoroughness.ts */
const provide = { isThorough: process.env["SPILLWAY_THOROUGH"] === "1" };

export default defineConfig({
  test: {
    // Also where there are two cores only: most of what black-box tests do is wait.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    projects: [
      {
        test: {
          name: "unit",
          provide,
          setupFiles: WATCH_SECRETS,
          include: ["test/unit/**/*.test.ts", "test/simulation/**/*.test.ts"],
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
      {
        plugins: [
          cloudflareTest({
            wrangler: { configPath: "./wrangler.jsonc" },
            miniflare: { bindings: { ...TEST_SECRETS, CLIENT_AUTH: "none" } },
          }),
        ],
        test: {
          name: "workerd",
          provide,
          setupFiles: WATCH_SECRETS,
          include: ["test/workerd/**/*.test.ts"],
          testTimeout: 30_000,
        },
      },
      {
        test: {
          name: "blackbox",
          setupFiles: WATCH_SECRETS,
          include: ["test/blackbox/**/*.test.ts"],
          globalSetup: ["test/fixtures/build-bundle.ts"],
          testTimeout: BLACKBOX_TIMEOUT_MS,
          hookTimeout: BLACKBOX_TIMEOUT_MS,
        },
      },
      {
        test: {
          name: "faults",
          provide,
          setupFiles: WATCH_SECRETS,
          include: ["test/faults/**/*.test.ts"],
          globalSetup: ["test/fixtures/build-bundle.ts"],
          testTimeout: SLOW_TIMEOUT_MS,
          hookTimeout: SLOW_TIMEOUT_MS,
        },
      },
      {
        test: {
          name: "slow",
          setupFiles: WATCH_SECRETS,
          include: ["test/slow/**/*.test.ts"],
          globalSetup: ["test/fixtures/build-bundle.ts"],
          testTimeout: SLOW_TIMEOUT_MS,
          hookTimeout: SLOW_TIMEOUT_MS,
          // One at a time: these measure memory.
          fileParallelism: false,
        },
      },
      {
        test: {
          name: "bench",
          include: ["test/bench/**/*.test.ts"],
          globalSetup: ["test/fixtures/build-bundle.ts"],
          testTimeout: SLOW_TIMEOUT_MS,
          hookTimeout: SLOW_TIMEOUT_MS,
        },
      },
      {
        test: {
          name: "chaos",
          setupFiles: WATCH_SECRETS,
          include: ["test/chaos/**/*.test.ts"],
          globalSetup: ["test/fixtures/build-bundle.ts"],
          testTimeout: SLOW_TIMEOUT_MS,
          hookTimeout: SLOW_TIMEOUT_MS,
        },
      },
      {
        test: {
          name: "peers",
          include: ["test/peers/**/*.test.ts"],
          testTimeout: SLOW_TIMEOUT_MS,
          hookTimeout: SLOW_TIMEOUT_MS,
        },
      },
      {
        test: {
          name: "fuzz",
          setupFiles: WATCH_SECRETS,
          include: ["test/fuzz/**/*.test.ts"],
          testTimeout: FUZZ_TIMEOUT_MS,
        },
      },
      {
        test: {
          name: "interop",
          setupFiles: WATCH_SECRETS,
          include: ["test/interop/**/*.test.ts"],
          globalSetup: ["test/fixtures/build-bundle.ts"],
          testTimeout: INTEROP_TIMEOUT_MS,
          hookTimeout: INTEROP_TIMEOUT_MS,
          fileParallelism: false,
        },
      },
    ],
  },
});
