// @ts-check
/**
 * Asks before something is done. The browser's own modal dialog keeps the focus inside and gives it back.
 *
 * One question at a time, and its text stands until it is answered: a second one would put its words over the
 * first one's button, and waiting in a line it would come up under a press that was meant for the first.
 */
import { element, find } from "./elements.js";

const dialog = find("#confirm", HTMLDialogElement);
const form = find("#confirm-form", HTMLFormElement);
const yes = find("#confirm-yes", HTMLButtonElement);
const typed = find("#confirm-typed", HTMLElement);
const input = find("#confirm-value", HTMLInputElement);
const signedInPart = find("#console", HTMLElement);

/**
 * The question that is asked, until the dialog has told that it is closed: a little later than that it is not open any more.
 * @type {Promise<boolean> | undefined}
 */
let asking;

/**
 * @typedef {object} Question
 * @property {string} title
 * @property {readonly string[]} lines what will happen
 * @property {string} yes what the button says
 * @property {boolean} [isDangerous]
 * @property {string} [expected] what the operator has to type
 */

/**
 * Throws where something else is being asked meanwhile.
 * @param {Question} question @returns {Promise<boolean>}
 */
export async function isConfirmed(question) {
  // The session ended while the service was asked what to ask.
  if (signedInPart.hidden) return false;
  // Answered, and about to say so: whoever presses a button again at once is asked again.
  if (asking !== undefined && !dialog.open) await asking;
  if (asking !== undefined)
    throw new Error("Another question was open when this one came up, so it was not asked. Start again.");
  asking = ask(question).finally(() => {
    asking = undefined;
  });
  return asking;
}

/** Whoever could have answered is not signed in any more. */
export function withdrawQuestion() {
  dialog.close();
}

/** @param {Question} question @returns {Promise<boolean>} */
function ask({ title, lines, yes: label, isDangerous = false, expected }) {
  find("#confirm-title", HTMLElement).textContent = title;
  find("#confirm-text", HTMLElement).replaceChildren(...lines.map((line) => element("p", {}, line)));
  find("#confirm-expected", HTMLElement).textContent = expected ?? "";
  yes.textContent = label;
  yes.className = isDangerous ? "danger" : "primary";
  typed.hidden = expected === undefined;
  input.value = "";
  input.setCustomValidity("");
  return new Promise((resolve) => {
    const listening = new AbortController();
    const { signal } = listening;
    let hasAgreed = false;
    input.addEventListener("input", () => input.setCustomValidity(""), { signal });
    form.addEventListener(
      "submit",
      (event) => {
        event.preventDefault();
        if (expected !== undefined && input.value.trim() !== expected) {
          input.setCustomValidity(`This is not ${expected}`);
          input.reportValidity();
          return;
        }
        hasAgreed = true;
        dialog.close();
      },
      { signal },
    );
    find("#confirm-no", HTMLButtonElement).addEventListener("click", () => dialog.close(), { signal });
    dialog.addEventListener(
      "close",
      () => {
        listening.abort();
        resolve(hasAgreed);
      },
      { signal },
    );
    dialog.showModal();
    // What is safe comes first, but for a value that has to be typed anyway.
    (expected === undefined ? find("#confirm-no", HTMLButtonElement) : input).focus();
  });
}
