/**
 * A seed in which something did not hold: where, what, and how to see it again.
 */
export interface FailedAt {
  readonly seed: number;
  readonly step: number;
  /** Command that shows the failure again. */
  readonly replay: string;
  /** The last steps. */
  readonly lines: readonly string[];
}

export class SeedFailure extends Error {
  override readonly name = "SeedFailure";
  readonly at: FailedAt;

  constructor(at: FailedAt, message: string, cause: unknown) {
    super(`seed ${at.seed}, step ${at.step}: ${message}\n  ${at.lines.join("\n  ")}\n  again: ${at.replay}`, { cause });
    this.at = at;
  }
}
