/**
 * One timer in memory, moved to an earlier time only.
 */
export class TickTimer {
  private timer: ReturnType<typeof setTimeout> | null = null;
  private atMs: number | undefined;
  private readonly onTick: () => void;

  constructor(onTick: () => void) {
    this.onTick = onTick;
  }

  /** Whether it goes off at `timeMs` or before. */
  isDueBy(timeMs: number): boolean {
    return this.atMs !== undefined && this.atMs <= timeMs;
  }

  setFor(timeMs: number, nowMs: number): void {
    if (this.isDueBy(timeMs)) return;
    if (this.timer !== null) clearTimeout(this.timer);
    this.atMs = timeMs;
    this.timer = setTimeout(
      () => {
        this.atMs = undefined;
        this.onTick();
      },
      Math.max(0, timeMs - nowMs),
    );
  }

  stop(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.atMs = undefined;
  }
}
