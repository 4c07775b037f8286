// @ts-check
/**
 * The demo page: a form that starts a stream, and readers that show what they receive and prove it at the
 * end. What a stream is, how it is resumed and what is counted: demo-reader.js.
 */
import { FATE, Ledger, plural, prove, readProblem, seqOf, StreamReader } from "./demo-reader.js";

/** @import { Asked, Outcome, Place, ReaderState, StreamAddress, StreamEvent } from "./demo-reader.js" */

const ROUTE = "/demo";
/** Rows kept in the page; counting goes on without them. */
const ROWS_MAX = 200;
const TEXT_MAX_CHARS = 160;
const CELL_MIN_PX = 4;
const COLOURS = 4;
const RANDOM_CUT_MS = { min: 900, max: 3500 };

const LOSS_IN_WORDS = { cut: "Connection cut", lost: "Connection lost", refused: "Refused" };
/** @type {Record<string, string>} */
const END_IN_WORDS = {
  error: "The source broke off",
  cancelled: "The stream was stopped",
  interrupted: "The service restarted and lost the source",
  expired: "The stream was given up for want of readers",
};

/** @template {Element} T @param {ParentNode} root @param {string} selector @param {new () => T} type @returns {T} */
function find(root, selector, type) {
  const found = root.querySelector(selector);
  if (!(found instanceof type)) throw new Error(`the page has no ${selector}`);
  return found;
}

/** Unlike `disabled`, it leaves the keyboard's focus where it is. */
function setEnabled(/** @type {HTMLButtonElement} */ button, /** @type {boolean} */ isEnabled) {
  button.setAttribute("aria-disabled", String(!isEnabled));
}

function isEnabled(/** @type {HTMLButtonElement} */ button) {
  return button.getAttribute("aria-disabled") !== "true";
}

/** @param {HTMLButtonElement} button @param {() => void} action */
function onPress(button, action) {
  button.addEventListener("click", () => isEnabled(button) && action());
}

function announce(/** @type {string} */ text) {
  find(document, "#announcer", HTMLElement).textContent = text;
}

/** Of books without a fault. @param {Ledger} ledger @param {Outcome} outcome @param {number} connections */
function describe(
  { received, announced, rewound, startId, startSeq, lastSeq },
  { status, lastId, reason },
  connections,
) {
  const over = `over ${plural(connections, "connection")}`;
  const events = plural(received, "event");
  const after = startSeq === 0 ? "" : ` after ${startId}`;
  if (lastId === undefined) return `Reading ended before the stream did (${reason}). ${events} received, none twice.`;
  const end = `${END_IN_WORDS[status] ?? `The stream ended ${status}`} after ${plural(lastSeq, "event")}`;
  const sentences = [
    status !== "complete" && (status === "error" ? `${end} (${reason ?? "reason not told"}).` : `${end}.`),
    announced > 0 && `${plural(announced, "event")} had left the buffer, and the stream said so before it went on.`,
    rewound > 0 && `${plural(rewound, "event")} had not been written when the service went down, and were taken back.`,
    announced + rewound > 0
      ? `${events} received, none twice, ${over}.`
      : status === "complete"
        ? `Nothing missing, nothing twice: all ${events}${after} received, ${over}.`
        : `All ${received} it sent${after} were received, none twice, ${over}.`,
  ];
  return sentences.filter((sentence) => sentence !== false).join(" ");
}

/** One reader on the page: its rows, its ribbon, its numbers, its proof. */
class ReaderView {
  #connections = 0;
  /** @type {HTMLLIElement[]} rows that wait for the next frame */
  #fresh = [];
  #isPaintDue = false;

  /** @param {string} title @param {{ address: StreamAddress, asked: Asked, place: Place | undefined, onChange: () => void }} options */
  constructor(title, { address, asked, place, onChange }) {
    this.title = title;
    this.ledger = new Ledger(asked, place?.lastId ?? "");
    const copy = document.importNode(find(document, "#reader-template", HTMLTemplateElement).content, true);
    this.element = find(copy, ".reader", HTMLElement);
    this.element.setAttribute("aria-label", title);
    this.#part("h2").textContent = title;
    this.#part(".log").setAttribute("aria-label", `${title}: events`);
    this.canvas = find(this.element, ".ribbon", HTMLCanvasElement);
    this.cutButton = find(this.element, ".cut", HTMLButtonElement);
    this.randomBox = find(this.element, ".random", HTMLInputElement);
    const hooks = {
      onEvent: (/** @type {StreamEvent} */ event) => this.#takeEvent(event),
      onNotice: (/** @type {StreamEvent} */ event) => this.#takeNotice(event),
      onState: (/** @type {ReaderState} */ state) => {
        this.#showState(state);
        onChange();
      },
    };
    this.reader = new StreamReader(address, hooks, place);
    onPress(this.cutButton, () => this.reader.cut());
    this.randomBox.addEventListener("change", () => this.#planRandomCut());
    new ResizeObserver(() => this.paintSoon()).observe(this.canvas);
    find(document, "#readers", HTMLElement).append(copy);
  }

  /** @returns {Promise<Outcome>} */
  async run() {
    const outcome = await this.reader.run();
    if (outcome.lastId !== undefined) this.ledger.missThrough(seqOf(outcome.lastId));
    this.#showProof(outcome);
    this.paintSoon();
    return outcome;
  }

  #part(/** @type {string} */ selector) {
    return find(this.element, selector, HTMLElement);
  }

  #takeEvent(/** @type {StreamEvent} */ event) {
    this.ledger.take(event, this.#connections);
    const text = event.data.length > TEXT_MAX_CHARS ? `${event.data.slice(0, TEXT_MAX_CHARS)}…` : event.data;
    this.#addRow(`link-${((this.#connections - 1) % COLOURS) + 1}`, { id: event.id, name: event.event, text });
  }

  #takeNotice(/** @type {StreamEvent} */ { event, data }) {
    const notice = JSON.parse(data);
    if (event === "gap") {
      this.ledger.takeGap(notice);
      const text = `Gap: ${notice.from} to ${notice.to} missing, ${plural(notice.dropped, "event")} (${notice.reason})`;
      this.#addRow("note warn", { text });
    } else if (event === "rewind") {
      this.ledger.takeRewind(notice);
      this.#addRow("note warn", { text: `Taken back: what came after ${notice.durable} had not been written` });
    } else {
      this.#addRow("note warn", { text: `Degraded (${notice.kind}): what comes now may not be resumable` });
    }
  }

  #showState(/** @type {ReaderState} */ state) {
    this.element.dataset["state"] = state.kind;
    setEnabled(this.cutButton, state.kind === "reading");
    const label = this.#part(".state");
    const last = this.reader.lastId || "0-0";
    if (state.kind === "connecting") {
      label.textContent = "Connecting";
    } else if (state.kind === "reading") {
      this.#connections = state.connection;
      label.textContent = "Reading";
      const text = `Connection ${state.connection}: what follows ${last}`;
      if (state.connection > 1 || last !== "0-0") this.#addRow("note good", { text });
      announce(`${this.title} ${state.connection > 1 ? `resumed after ${last}` : "is reading"}.`);
      this.#planRandomCut();
    } else if (state.kind === "waiting") {
      const text = `${LOSS_IN_WORDS[state.loss.kind]} after ${last}`;
      this.#addRow("note bad", { text: state.loss.kind === "cut" ? text : `${text}: ${state.loss.detail}` });
      announce(`${this.title}: ${text}.`);
      label.textContent = `${LOSS_IN_WORDS[state.loss.kind]}, back in ${(state.delayMs / 1000).toFixed(1)} s`;
    } else {
      const { status, lastId } = state.outcome;
      label.textContent = lastId === undefined ? "Gave up" : `Ended: ${status}`;
      this.#addRow("note", { text: lastId === undefined ? `Gave up after ${last}` : `End: ${status}, at ${lastId}` });
    }
  }

  #planRandomCut() {
    clearTimeout(this.cutTimer);
    if (!this.randomBox.checked) return;
    const { min, max } = RANDOM_CUT_MS;
    const cutIfReading = () => this.reader.state.kind === "reading" && this.reader.cut();
    this.cutTimer = setTimeout(cutIfReading, min + Math.random() * (max - min));
  }

  /** @param {string} className @param {Record<string, string>} cells */
  #addRow(className, cells) {
    const row = document.createElement("li");
    row.className = className;
    for (const [name, text] of Object.entries(cells)) {
      const cell = document.createElement("span");
      cell.className = name;
      cell.textContent = text;
      row.append(cell);
    }
    this.#fresh.push(row);
    // A page in the background paints nothing: keep no more than it will show.
    if (this.#fresh.length > ROWS_MAX) this.#fresh.shift();
    this.paintSoon();
  }

  paintSoon() {
    if (this.#isPaintDue) return;
    this.#isPaintDue = true;
    requestAnimationFrame(() => {
      this.#isPaintDue = false;
      this.#paint();
    });
  }

  #paint() {
    const log = this.#part(".log");
    const isAtEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 8;
    log.append(...this.#fresh.splice(0));
    while (log.childElementCount > ROWS_MAX) log.firstElementChild?.remove();
    if (isAtEnd) log.scrollTop = log.scrollHeight;
    const { received, announced, missing, rewound, twice } = this.ledger;
    const lost = announced + missing + rewound;
    /** @type {[string, string, boolean][]} */
    const numbers = [
      [".received", received.toLocaleString("en"), false],
      [".last-id", this.reader.lastId || "–", false],
      [".connections", String(this.#connections), false],
      [".missing", lost.toLocaleString("en"), lost > 0],
      [".twice", twice.toLocaleString("en"), twice > 0],
    ];
    for (const [selector, text, isAlarming] of numbers) {
      this.#part(selector).textContent = text;
      this.#part(selector).classList.toggle("alarming", isAlarming);
    }
    this.#part(".earlier").hidden = received <= ROWS_MAX;
    drawRibbon(this.canvas, this.ledger.fates);
    this.canvas.setAttribute(
      "aria-label",
      `${received} events received, ${lost} missing, over ${this.#connections} connections`,
    );
  }

  #showProof(/** @type {Outcome} */ outcome) {
    const { level, faults, checks } = prove(this.ledger, outcome);
    const headline =
      faults.length > 0 ? `The proof failed: ${faults.join("; ")}.` : describe(this.ledger, outcome, this.#connections);
    this.element.dataset["verdict"] = level;
    this.#part(".headline").textContent = headline;
    this.#part("table").hidden = false;
    const body = find(this.element, "tbody", HTMLTableSectionElement);
    for (const [name, expected, received, holds] of checks) {
      const row = body.insertRow();
      const head = document.createElement("th");
      head.scope = "row";
      head.textContent = name;
      row.append(head);
      for (const text of [expected, received]) row.insertCell().textContent = text;
      const verdict = row.insertCell();
      verdict.className = "holds";
      verdict.textContent = holds === undefined ? "–" : holds ? "yes" : "no";
    }
    const { diagnostics } = outcome;
    if (diagnostics !== undefined) {
      const recovered = plural(diagnostics.recovered_events, "event");
      const text = `The service’s own count for all readers: ${plural(diagnostics.resumes, "resume")}, ${recovered} sent again from its buffer.`;
      this.#part(".service-side").textContent = text;
      this.#part(".service-side").hidden = false;
    }
    announce(`${this.title}: ${headline}`);
  }
}

/** @param {HTMLCanvasElement} canvas @param {Uint8Array} fates */
function drawRibbon(canvas, fates) {
  const style = getComputedStyle(canvas);
  const width = (canvas.width = Math.round(canvas.clientWidth * devicePixelRatio));
  const height = (canvas.height = Math.round(canvas.clientHeight * devicePixelRatio));
  const pen = canvas.getContext("2d");
  const events = fates.length - 1;
  const cells = Math.max(1, Math.min(events, Math.floor(canvas.clientWidth / CELL_MIN_PX)));
  const seam = width / cells >= 3 * devicePixelRatio ? Math.round(devicePixelRatio) : 0;
  if (pen === null) return;
  for (let cell = 0; cell < cells; cell++) {
    const first = 1 + Math.floor((cell * events) / cells);
    const next = 1 + Math.floor(((cell + 1) * events) / cells);
    // The worst of all that a cell stands for: nothing missing may hide in a crowd.
    const fate = fates.subarray(first, next).reduce((worst, each) => Math.max(worst, each), 0);
    const [top, tall] = fate >= FATE.announced ? [0.3, 0.4] : [0, 1];
    const left = Math.round((cell * width) / cells);
    const right = Math.round(((cell + 1) * width) / cells) - seam;
    pen.fillStyle = style.getPropertyValue(colourOf(fate));
    pen.fillRect(left, top * height, right - left, tall * height);
  }
}

function colourOf(/** @type {number} */ fate) {
  if (fate === FATE.missing) return "--bad";
  if (fate === FATE.announced) return "--gap";
  if (fate === FATE.notAsked) return "--surface";
  return fate === FATE.none ? "--track" : `--link-${((fate - 1) % COLOURS) + 1}`;
}

const form = find(document, "#setup", HTMLFormElement);
const buttons = {
  start: find(document, "#start", HTMLButtonElement),
  stop: find(document, "#stop", HTMLButtonElement),
  second: find(document, "#second", HTMLButtonElement),
};
/** @type {StreamAddress} */
let address = { start: "", headers: {}, resume: `${ROUTE}/resume` };
/** @type {Asked} */
let asked = { events: 0, breaksAfter: 0 };
/** @type {ReaderView[]} the readers of the one stream on the page */
let views = [];

function streamQuery() {
  const fields = /** @type {Record<string, string>} */ (Object.fromEntries(new FormData(form)));
  return new URLSearchParams(Object.entries(fields).filter(([name, value]) => name === "rate" || value !== "0"));
}

function startStream() {
  const query = streamQuery();
  const key = find(document, "#client-key", HTMLInputElement).value;
  const random = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0"));
  /** @type {Record<string, string>} */
  const headers = { "Idempotency-Key": random.join(""), ...(key === "" ? {} : { Authorization: `Bearer ${key}` }) };
  address = { ...address, start: `${ROUTE}/stream?${query}`, headers };
  asked = { events: Number(query.get("events")), breaksAfter: Number(query.get("fail_at")) };
  find(document, "#readers", HTMLElement).replaceChildren();
  views = [];
  say("");
  void openReader();
}

/** @param {Place} [place] */
async function openReader(place) {
  const view = new ReaderView(`Reader ${views.length + 1}`, { address, asked, place, onChange: showButtons });
  views.push(view);
  const { status, reason = "" } = await view.run();
  if (status !== "refused") return;
  say(`The service refused: ${reason}.`);
  if (reason.startsWith("401 unauthorized")) find(document, "#key-field", HTMLElement).hidden = false;
  if (view.ledger.received > 0) return;
  // It never began: there is nothing to show, and nothing to prove.
  view.element.remove();
  views = views.filter((each) => each !== view);
  showButtons();
}

/** A stop is not a disconnect: the stream itself ends, for all its readers. */
async function stopStream() {
  setEnabled(buttons.stop, false);
  const token = views.find(({ reader }) => reader.token !== undefined)?.reader.token;
  try {
    if (token === undefined) throw new Error("the stream has not begun");
    const response = await fetch(`${ROUTE}/stream`, { method: "DELETE", headers: { "X-Resume-Token": token } });
    if (!response.ok) throw new Error(await readProblem(response));
    // The readers hear of it by the stream's own end.
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    say(`The stream could not be stopped (${reason}). It may go on; this page reads it no longer.`);
    for (const view of views) view.reader.giveUp("stopped here, not at the service");
  }
}

function openSecond() {
  const first = views[0]?.reader;
  if (first?.token === undefined) return;
  const isFromNow = find(document, "#second-from", HTMLSelectElement).value === "now";
  void openReader({ token: first.token, lastId: isFromNow ? first.lastId : "0-0" });
}

function say(/** @type {string} */ text) {
  find(document, "#message", HTMLElement).textContent = text;
}

function showButtons() {
  const isRunning = views.some(({ reader }) => reader.state.kind !== "ended");
  setEnabled(buttons.start, !isRunning);
  setEnabled(buttons.stop, isRunning);
  setEnabled(buttons.second, views.length === 1 && views[0]?.reader.token !== undefined);
}

/** An example fills in the numbers, and any other number makes it an example of one's own. */
function noteInput(/** @type {EventTarget | null} */ target) {
  const example = find(document, "#example", HTMLSelectElement);
  if (target !== example) example.value = "";
  for (const [name, value] of new URLSearchParams(example.value)) {
    find(form, `[name=${name}]`, HTMLInputElement).value = value;
  }
  showByHand();
}

const byHand = find(document, "#by-hand", HTMLElement);
const byHandText = byHand.textContent ?? "";

function showByHand() {
  const text = byHandText.replaceAll("http://127.0.0.1:8787", location.origin);
  byHand.textContent = text.replace("events=120&rate=12", `${streamQuery()}`);
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (isEnabled(buttons.start)) startStream();
});
form.addEventListener("input", (event) => noteInput(event.target));
onPress(buttons.stop, () => void stopStream());
onPress(buttons.second, openSecond);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const view of views) view.paintSoon();
});
showByHand();
