/**
 * Holds a source back while no reader takes bytes, for as long as the readers' registry says.
 */
export interface SourcePaceOptions {
  readonly clock: () => number;
  /** Until when to wait, or `undefined` to read on. */
  readonly untilMs: (nowMs: number) => number | undefined;
}

export class SourcePace {
  private release: (() => void) | undefined;
  private readonly options: SourcePaceOptions;

  constructor(options: SourcePaceOptions) {
    this.options = options;
  }

  /** Resolves when the source may be read on; `undefined` where nobody holds it back. */
  wait(): Promise<void> | undefined {
    const { clock, untilMs } = this.options;
    const nowMs = clock();
    const atMs = untilMs(nowMs);
    if (atMs === undefined) return undefined;
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.release?.(), atMs - nowMs);
      this.release = () => {
        this.release = undefined;
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** After anything that may have made room. */
  check(): void {
    const { clock, untilMs } = this.options;
    if (this.release !== undefined && untilMs(clock()) === undefined) this.release();
  }
}
