/**
 * What the Worker's parts are made of.
 */
import type { KeyRing } from "../../protocol/resume-token.ts";
import type { TelemetrySink } from "../../protocol/telemetry.ts";
import type { Config } from "../config.ts";
import type { LakeAdmin } from "../lake-admin.ts";
import type { Lake } from "../lake.ts";
import type { Readiness } from "../readiness.ts";
import type { Monitor } from "../monitor.ts";
import type { StreamAdmin } from "../stream-admin.ts";
import type { StreamObjects } from "../stream-objects.ts";
import type { RateGate } from "./rate-limit.ts";

/** Made once per isolate and configuration; clock, randomness and network come in here. */
export interface Services {
  readonly config: Config;
  readonly ring: KeyRing;
  readonly rateGate: RateGate;
  readonly streams: StreamObjects;
  readonly streamAdmin: StreamAdmin;
  readonly lake: Lake;
  readonly lakeAdmin: LakeAdmin;
  readonly readiness: Readiness;
  readonly monitor: Monitor;
  readonly telemetry: TelemetrySink;
  readonly clock: () => number;
  readonly randomBytes: (length: number) => Uint8Array;
  readonly randomId: () => string;
  readonly fetch: typeof fetch;
  /** Keeps the isolate alive for work that goes on when the caller has hung up. */
  readonly waitUntil: (work: Promise<unknown>) => void;
}
