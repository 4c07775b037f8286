// @ts-check
/**
 * Says how old the numbers are, and whether the service still answers.
 */
import { find, setText } from "./elements.js";
import { duration } from "./format.js";
import { describe } from "./outcome.js";

/** @import { PollState } from "./polling.js" */

const STALE_MS = 90_000;

export class Connection {
  /** @type {PollState} */
  #state = { kind: "stopped" };
  #isLost = false;
  #sinceMs = 0;
  #heardAtMs = 0;
  #ageThenMs = 0;

  constructor() {
    this.pill = find("#connection", HTMLElement);
    this.announcer = find("#announcer", HTMLElement);
    setInterval(() => this.#show(), 1000);
  }

  /** @param {string} madeAt when the numbers were made, by the service's clock @param {number} ageMs how old they were when they came */
  heard(madeAt, ageMs) {
    this.#heardAtMs = performance.now();
    this.#ageThenMs = Math.max(0, ageMs);
    this.pill.title = `Numbers of ${madeAt}`;
    this.#show();
  }

  follow(/** @type {PollState} */ state) {
    // Spoken only where it changes: the age itself would talk all day.
    if (state.kind === "lost" && !this.#isLost) {
      this.#isLost = true;
      setText(this.announcer, `Connection lost. ${describe(state.error)}`);
    } else if (state.kind === "live" && this.#isLost) {
      this.#isLost = false;
      setText(this.announcer, "Connected again.");
    }
    this.#state = state;
    this.#sinceMs = performance.now();
    this.pill.hidden = state.kind === "stopped";
    this.#show();
  }

  #show() {
    const nowMs = performance.now();
    const ageMs = this.#ageThenMs + nowMs - this.#heardAtMs;
    const age =
      this.#heardAtMs === 0
        ? ""
        : `numbers ${Math.floor(ageMs / 1000) < 1 ? "of now" : `${duration(Math.floor(ageMs / 1000) * 1000).replace(".0 ", " ")} old`}`;
    const state = this.#state;
    if (state.kind === "live") {
      this.pill.dataset["state"] = ageMs > STALE_MS ? "stale" : "live";
      setText(this.pill, `Live · ${age}`);
    } else if (state.kind === "paused") {
      this.pill.dataset["state"] = "paused";
      setText(this.pill, `Paused · ${age}`);
    } else if (state.kind === "lost") {
      const leftSec = Math.max(0, Math.ceil((state.retryInMs - (nowMs - this.#sinceMs)) / 1000));
      this.pill.dataset["state"] = "lost";
      const next = leftSec === 0 ? "trying again" : `again in ${leftSec} s`;
      setText(this.pill, `Connection lost, ${next}${age === "" ? "" : ` · ${age}`}`);
    }
  }
}
