// @ts-check
/**
 * Acting and telling what came of it: one line at the foot of the page, also spoken.
 */
import { ApiProblem } from "./api.js";
import { find, isEnabled, setEnabled } from "./elements.js";

const frame = find("#outcome", HTMLElement);
const good = find("#outcome-good", HTMLElement);
const bad = find("#outcome-bad", HTMLElement);

/** What is under way. @type {Set<Promise<void>>} */
const running = new Set();

find("#outcome-close", HTMLButtonElement).addEventListener("click", () => {
  frame.hidden = true;
  find("#main", HTMLElement).focus({ preventScroll: true });
});

/** @param {string} text @param {{ isFailure?: boolean }} [options] */
export function tell(text, { isFailure = false } = {}) {
  frame.hidden = false;
  good.textContent = isFailure ? "" : text;
  bad.textContent = isFailure ? text : "";
}

/** What went wrong, for people. */
export function describe(/** @type {unknown} */ error) {
  if (!(error instanceof ApiProblem)) return error instanceof Error ? error.message : String(error);
  if (error.status === 0) return error.message;
  const wait = error.retryAfterSec === undefined ? "" : ` Try again in ${error.retryAfterSec} s.`;
  return `${error.message.replace(/([^.!?])$/, "$1.")}${wait} (${error.status} ${error.code})`;
}

/**
 * Runs what a control stands for, once at a time, and tells its result.
 * @param {{ control: Element, name: string, work: () => Promise<string | undefined> }} action `undefined`: nothing was done
 */
export async function act(action) {
  if (!isEnabled(action.control)) return;
  const run = runAction(action);
  running.add(run);
  await run;
  running.delete(run);
}

/** When nothing is under way any more: what the page says that came of it. */
export async function untilAllDone() {
  while (running.size > 0) await Promise.all(running);
  return frame.hidden ? "" : `${good.textContent}${bad.textContent}`;
}

/** @param {{ control: Element, name: string, work: () => Promise<string | undefined> }} action */
async function runAction({ control, name, work }) {
  setEnabled(control, false);
  control.classList.add("busy");
  try {
    const result = await work();
    if (result !== undefined) tell(`${name}: ${result}`);
  } catch (error) {
    tell(`${name} failed. ${describe(error)}`, { isFailure: true });
  } finally {
    control.classList.remove("busy");
    setEnabled(control, true);
  }
}
