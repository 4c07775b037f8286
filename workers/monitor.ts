/**
 * The Worker's only way to the monitor object.
 */
import type { AlertReport, MonitorReport, TestAlertReport } from "../protocol/monitor-report.ts";
import { MONITOR_OBJECT_NAME } from "../protocol/shard-choice.ts";
import type { Result } from "../protocol/stream-call.ts";
import { within } from "../protocol/timing.ts";

/** It asks all shards first, and gives each its time. */
const TIMEOUT_MS = 20_000;
const RETRY_SEC = 5;

type MonitorStub = ReturnType<Env["SERVICE_MONITOR"]["getByName"]>;

export class Monitor {
  private readonly monitors: Env["SERVICE_MONITOR"];

  constructor({ SERVICE_MONITOR }: Pick<Env, "SERVICE_MONITOR">) {
    this.monitors = SERVICE_MONITOR;
  }

  async overview(): Promise<Result<MonitorReport>> {
    return this.ask<MonitorReport>((monitor) => monitor.overview());
  }

  async alerts(): Promise<Result<AlertReport>> {
    return this.ask<AlertReport>((monitor) => monitor.alerts());
  }

  async testAlert(): Promise<Result<TestAlertReport>> {
    return this.ask<TestAlertReport>((monitor) => monitor.testAlert());
  }

  /** Prometheus text. */
  async metrics(): Promise<Result<string>> {
    return this.ask<string>((monitor) => monitor.metrics());
  }

  private async ask<T>(call: (monitor: MonitorStub) => Promise<T>): Promise<Result<T>> {
    try {
      const monitor = this.monitors.getByName(MONITOR_OBJECT_NAME);
      return { ok: true, value: await within(call(monitor), "the monitor", TIMEOUT_MS) };
    } catch (error) {
      const name = error instanceof Error ? error.name : typeof error;
      console.log(JSON.stringify({ event: "InternalError", object: MONITOR_OBJECT_NAME, name }));
      return { ok: false, error: { code: "storage_unavailable", retryAfterSec: RETRY_SEC } };
    }
  }
}
