// @ts-check
/**
 * Signing in and out. The token goes from its field to the service once; what remains is a cookie that no
 * script can read.
 */
import { ApiProblem } from "./api.js";
import { find } from "./elements.js";
import { act, describe, untilAllDone } from "./outcome.js";

/** @import { AdminApi } from "./api.js" */
/** @import { Session } from "./contract.d.ts" */

export class SignIn {
  #isOver = false;

  /** @param {{ api: AdminApi, onSignedIn: () => void, onSignedOut: () => void }} parts */
  constructor({ api, onSignedIn, onSignedOut }) {
    this.api = api;
    this.onSignedIn = onSignedIn;
    this.onSignedOut = onSignedOut;
    this.form = find("#sign-in-form", HTMLFormElement);
    this.token = find("#token", HTMLInputElement);
    this.problem = find("#sign-in-problem", HTMLElement);
    const button = find("button", HTMLButtonElement, this.form);
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      void act({ control: button, name: "Signing in", work: () => this.#signIn() });
    });
    const out = find("#sign-out", HTMLButtonElement);
    out.addEventListener("click", () => void act({ control: out, name: "Signing out", work: () => this.#signOut() }));
    api.onSignedOut = () => void this.#startOver();
  }

  /** Goes on where a session is there already: a reload, or Cloudflare Access. */
  async begin() {
    const words = lastWords();
    try {
      const session = await this.api.session();
      if (session === undefined) this.#showForm(words);
      else this.#showConsole(session);
    } catch (error) {
      this.#showForm(describe(error));
    }
  }

  async #signIn() {
    const token = this.token.value.trim();
    this.token.value = "";
    this.problem.textContent = "";
    try {
      if (!/^[\x21-\x7e]+$/.test(token)) throw new Error("A token has neither spaces nor other signs than ASCII.");
      await this.api.signIn(token);
    } catch (error) {
      const isWrong = error instanceof ApiProblem && error.status === 401;
      this.problem.textContent = isWrong ? "This is not a token of this service." : describe(error);
      this.token.focus();
      return undefined;
    }
    await this.begin();
    return undefined;
  }

  async #signOut() {
    await this.api.signOut();
    const session = await this.api.session();
    if (session === undefined) {
      // A new page: nothing of what was shown stays in it.
      location.reload();
      return undefined;
    }
    return `Cloudflare Access still signs you in as ${session.actor}: sign out at /cdn-cgi/access/logout.`;
  }

  /** A new page, once what is under way has had its answers: whoever signs in next finds nothing of what was shown. */
  async #startOver() {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#showForm("The session is over. What is under way has to end first.");
    this.form.hidden = true;
    const result = await untilAllDone();
    history.replaceState(`The session is over. Sign in again. ${result}`.trim(), "");
    location.reload();
  }

  #showConsole(/** @type {Session} */ { actor }) {
    find("#actor", HTMLElement).textContent = actor;
    this.#toggle(true);
    find("#main", HTMLElement).focus({ preventScroll: true });
    this.onSignedIn();
  }

  #showForm(/** @type {string} */ message) {
    this.onSignedOut();
    this.#toggle(false);
    this.problem.textContent = message;
    this.token.focus();
  }

  #toggle(/** @type {boolean} */ isSignedIn) {
    find("#loading", HTMLElement).hidden = true;
    find("#sign-in", HTMLElement).hidden = isSignedIn;
    find("#console", HTMLElement).hidden = !isSignedIn;
    find("#session", HTMLElement).hidden = !isSignedIn;
    if (!isSignedIn) find("#outcome", HTMLElement).hidden = true;
  }
}

/** What the page before this one left to be said, once. */
function lastWords() {
  const words = typeof history.state === "string" ? history.state : "";
  history.replaceState(null, "");
  return words;
}
