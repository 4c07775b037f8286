/**
 * The record of what operators did, and of who was not let in.
 *
 * Every action is told. Refusals, which anybody can cause, are of a kind of their own, told up to
 * {@link REFUSALS_PER_MIN} a minute and isolate, and the rest counted.
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

interface Refusal {
  readonly action: string;
  /** Where a credential said who. */
  readonly actor?: string;
  readonly result: string;
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
    const time = this.timeText();
    this.deps.telemetry({
      event: "AdminAction",
      action,
      actor: actor.slice(0, TEXT_MAX_CHARS),
      result,
      ...about,
      time,
    });
  }

  /** Somebody was not let in, or somebody's browser was made to ask by another site. */
  tellRefusal({ action, actor = UNKNOWN_ACTOR, result }: Refusal): void {
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
    const time = this.timeText();
    this.deps.telemetry({
      event: "AdminRefused",
      action,
      actor: actor.slice(0, TEXT_MAX_CHARS),
      result,
      ...untold,
      time,
    });
  }

  private timeText(): string {
    return new Date(this.deps.clock()).toISOString();
  }
}
