// @ts-check
/**
 * Asking again and again while someone looks: at a steady pace while it goes well, ever slower while it
 * does not, and not at all while the page is hidden. Knows neither the API nor the page.
 */

const LONGEST_WAIT_MS = 30_000;

/**
 * @typedef {{ kind: "live" } | { kind: "paused" } | { kind: "stopped" }
 *   | { kind: "lost", failures: number, retryInMs: number, error: unknown }} PollState
 */

/** @template Data */
export class LivePoll {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** @type {AbortController | undefined} */
  #asking;
  #failures = 0;
  /** @type {"running" | "paused" | "stopped"} */
  #mode = "stopped";

  /**
   * @param {object} options
   * @param {(signal: AbortSignal) => Promise<Data>} options.ask
   * @param {(data: Data) => void} options.onData
   * @param {(state: PollState) => void} options.onState
   * @param {number} options.everyMs
   */
  constructor({ ask, onData, onState, everyMs }) {
    this.ask = ask;
    this.onData = onData;
    this.onState = onState;
    this.everyMs = everyMs;
  }

  start() {
    if (this.#mode === "running") return;
    this.#mode = "running";
    this.#failures = 0;
    void this.#round();
  }

  pause() {
    if (this.#mode !== "running") return;
    this.#end("paused");
    this.onState({ kind: "paused" });
  }

  /** Where it was paused, goes on at once. */
  resume() {
    if (this.#mode === "paused") this.start();
  }

  stop() {
    this.#end("stopped");
    this.onState({ kind: "stopped" });
  }

  /** Asks now, as after an action. */
  refresh() {
    if (this.#mode !== "running") return;
    this.#end("running");
    void this.#round();
  }

  /** @param {"running" | "paused" | "stopped"} mode */
  #end(mode) {
    this.#mode = mode;
    clearTimeout(this.#timer);
    this.#asking?.abort();
    this.#asking = undefined;
  }

  async #round() {
    const asking = new AbortController();
    this.#asking = asking;
    let waitMs = this.everyMs;
    try {
      const data = await this.ask(asking.signal);
      if (this.#asking !== asking) return;
      this.#failures = 0;
      this.onState({ kind: "live" });
      // Not within what is caught as a failed call.
      queueMicrotask(() => this.onData(data));
    } catch (error) {
      if (this.#asking !== asking) return;
      this.#failures += 1;
      waitMs = Math.max(backoffMs(this.#failures, this.everyMs), retryAfterMs(error));
      this.onState({ kind: "lost", failures: this.#failures, retryInMs: waitMs, error });
    }
    // An answer may have ended the polling: a session that is over.
    if (this.#asking === asking) this.#timer = setTimeout(() => void this.#round(), waitMs);
  }
}

/** @param {number} failures @param {number} everyMs */
export function backoffMs(failures, everyMs) {
  return Math.min(everyMs * 2 ** (failures - 1), LONGEST_WAIT_MS);
}

function retryAfterMs(/** @type {unknown} */ error) {
  const sec = error instanceof Error && "retryAfterSec" in error ? Number(error.retryAfterSec) : 0;
  return Number.isFinite(sec) ? sec * 1000 : 0;
}
