/**
 * The record of what operators did, and of who was not let in.
 *
 * Refusals are told up to {@link REFUSALS_PER_MIN} a minute and isolate, the rest counted: telemetry is limited per
 * kind, and a flood of them would otherwise keep real actions out of the log.
 */
import type { TelemetrySink } from "../../protocol/telemetry.ts";
import { UNKNOWN_ACTOR } from "../admin-config.ts";

export const REFUSALS_PER_MIN = 60;
const WINDOW_MS = 60_000;
const TEXT_MAX_CHARS = 254;

interface AuditEntry {
  readonly action: string;
  readonly actor: string;
  readonly result: string;
  readonly target?: string | undefined;
}

export class AdminAudit {
  private readonly deps: { readonly telemetry: TelemetrySink; readonly clock: () => number };
  private windowStartMs = Number.NEGATIVE_INFINITY;
  private refusals = 0;
  private untold = 0;

  constructor(deps: { readonly telemetry: TelemetrySink; readonly clock: () => number }) {
    this.deps = deps;
  }

  tell({ action, actor, result, target }: AuditEntry): void {
    const about = target === undefined ? {} : { target: target.slice(0, TEXT_MAX_CHARS) };
    this.write({ action, actor: actor.slice(0, TEXT_MAX_CHARS), result, ...about });
  }

  /** Somebody was not let in. */
  tellRefusal(action: string, result: string): void {
    const nowMs = this.deps.clock();
    if (nowMs - this.windowStartMs >= WINDOW_MS || nowMs < this.windowStartMs) {
      this.windowStartMs = nowMs;
      this.refusals = 0;
    }
    if (this.refusals >= REFUSALS_PER_MIN) {
      this.untold++;
      return;
    }
    this.refusals++;
    const untold = this.untold === 0 ? {} : { untold: this.untold };
    this.untold = 0;
    this.write({ action, actor: UNKNOWN_ACTOR, result, ...untold });
  }

  private write(fields: { action: string; actor: string; result: string; target?: string; untold?: number }): void {
    this.deps.telemetry({ event: "AdminAction", ...fields, time: new Date(this.deps.clock()).toISOString() });
  }
}
