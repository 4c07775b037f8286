// @ts-check
/**
 * Reads one resumable stream, keeps the books on it, and judges them. Knows no page.
 *
 * - {@link createParser}: Server-Sent Events from text that comes in pieces (WHATWG HTML, 9.2.6).
 * - {@link StreamReader}: starts or resumes, and comes back after every loss with the id it had.
 * - {@link Ledger}: what should have come, what came, and what the source says of itself.
 * - {@link prove}: what that comes to.
 */

/** @typedef {{ id: string, event: string, data: string }} StreamEvent */

/**
 * @param {(event: StreamEvent) => void} onEvent called for each event with data
 * @param {(id: string) => void} onPosition called at the end of each event, with data or without
 * @param {(retryMs: number) => void} onRetry
 * @returns {(text: string) => void} takes the next piece of text
 */
export function createParser(onEvent, onPosition, onRetry) {
  let id = "";
  let event = "";
  /** @type {string[]} */
  let data = [];
  let unfinishedLine = "";
  let endedWithCr = false;

  /** @param {string} line */
  function takeLine(line) {
    if (line === "") {
      onPosition(id);
      if (data.length > 0) onEvent({ id, event: event || "message", data: data.join("\n") });
      event = "";
      data = [];
      return;
    }
    const colon = line.indexOf(":");
    const field = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? "" : line.slice(colon + (line[colon + 1] === " " ? 2 : 1));
    if (field === "data") data.push(value);
    else if (field === "event") event = value;
    else if (field === "id" && !value.includes("\0")) id = value;
    else if (field === "retry" && /^\d+$/.test(value)) onRetry(Number(value));
  }

  return (text) => {
    if (text === "") return;
    // A CRLF whose halves came in two pieces ends one line, not two.
    const rest = endedWithCr && text.startsWith("\n") ? text.slice(1) : text;
    endedWithCr = rest.endsWith("\r");
    const lines = rest.split(/\r\n|\r|\n/);
    lines[0] = unfinishedLine + lines[0];
    unfinishedLine = lines.pop() ?? "";
    for (const line of lines) takeLine(line);
  };
}

/** @typedef {{ resumes: number, trims: number, recovered_events: number }} Diagnostics */
/**
 * How the reading ended: as `end` says it; `refused` or `given_up`, without `lastId`, before the stream's end.
 * @typedef {{ status: string, lastId?: string, reason?: string, diagnostics?: Diagnostics }} Outcome
 */
/** @typedef {{ kind: "cut" | "lost" | "refused", detail: string, retryAfterMs?: number }} Loss */
/**
 * @typedef {{ kind: "connecting" }
 *   | { kind: "reading", connection: number }
 *   | { kind: "waiting", loss: Loss, delayMs: number }
 *   | { kind: "ended", outcome: Outcome }} ReaderState
 */
/** @typedef {{ token: string, lastId: string }} Place where to begin in a stream that runs already */
/** @typedef {{ start: string, headers: Record<string, string>, resume: string }} StreamAddress URLs; headers of the start */
/**
 * @typedef {object} ReaderHooks
 * @property {(event: StreamEvent) => void} onEvent of the source
 * @property {(event: StreamEvent) => void} onNotice `gap`, `rewind` or `degraded`
 * @property {(state: ReaderState) => void} onState
 */

const RETRY_DEFAULT_MS = 1500;
const RETRY_MAX_MS = 15_000;
const NOTICES = new Set(["gap", "rewind", "degraded"]);
/** Refusals that may pass; every other is final. */
const PASSING_STATUS = new Set([429, 500, 502, 503, 504]);

export class StreamReader {
  /** Id of the last event received whole: what a resume asks for. */
  lastId = "";
  /** @type {string | undefined} */
  token;
  /** @type {ReaderState} */
  state = { kind: "connecting" };
  /** Counts those that were answered. */
  #connection = 0;
  #retryMs = RETRY_DEFAULT_MS;
  #hasProgressed = false;
  #hasBeenAnswered = false;
  #isCut = false;
  #abort = new AbortController();
  #endWait = () => {};
  /** @type {Outcome | undefined} */
  #outcome;
  #address;
  #hooks;

  /** @param {StreamAddress} address @param {ReaderHooks} hooks @param {Place} [place] */
  constructor(address, hooks, place) {
    this.#address = address;
    this.#hooks = hooks;
    this.token = place?.token;
    this.lastId = place?.lastId ?? "";
  }

  /** Reads until the end, over as many connections as it takes. */
  async run() {
    let failures = 0;
    for (;;) {
      this.#hasProgressed = false;
      const loss = await this.#readOnce();
      failures = this.#hasProgressed || loss.kind === "cut" ? 0 : failures + 1;
      const backoffMs = Math.min(RETRY_MAX_MS, this.#retryMs * 2 ** failures);
      if (this.#outcome === undefined) await this.#wait(loss, loss.retryAfterMs ?? backoffMs);
      if (this.#outcome === undefined) continue;
      this.#setState({ kind: "ended", outcome: this.#outcome });
      return this.#outcome;
    }
  }

  /** Breaks the connection, wherever it is; the reader comes back by itself. */
  cut() {
    this.#isCut = true;
    this.#abort.abort();
  }

  /** Ends the reading for good: the stream itself may go on. */
  giveUp(/** @type {string} */ reason) {
    this.#outcome ??= { status: "given_up", reason };
    this.cut();
    this.#endWait();
  }

  /** One connection. @returns {Promise<Loss>} what ended it; no matter once the outcome is known */
  async #readOnce() {
    this.#abort = new AbortController();
    this.#isCut = false;
    this.#setState({ kind: "connecting" });
    try {
      const response = await this.#request();
      if (response.status === 204 || !response.ok || response.body === null) return await this.#takeRefusal(response);
      this.#hasBeenAnswered = true;
      this.token = response.headers.get("x-resume-token") ?? this.token;
      this.#setState({ kind: "reading", connection: ++this.#connection });
      const kind = response.headers.get("x-spillway-degraded");
      if (kind !== null) this.#hooks.onNotice({ id: "", event: "degraded", data: JSON.stringify({ kind }) });
      await this.#readBody(response.body);
      return this.#lose("lost", "closed before the end");
    } catch (error) {
      if (this.#isCut) return this.#lose("cut", "cut here");
      return this.#lose("lost", error instanceof Error ? error.message : String(error));
    }
  }

  #request() {
    const { signal } = this.#abort;
    const position = this.lastId === "" ? {} : { "Last-Event-ID": this.lastId };
    const { start, headers, resume } = this.#address;
    if (this.token === undefined) return fetch(start, { method: "POST", headers: { ...headers, ...position }, signal });
    return fetch(resume, { headers: { "X-Resume-Token": this.token, ...position }, signal, cache: "no-store" });
  }

  async #readBody(/** @type {ReadableStream<Uint8Array>} */ body) {
    const parse = createParser(
      (event) => this.#takeEvent(event),
      (id) => (this.lastId = id || this.lastId),
      (retryMs) => (this.#retryMs = retryMs),
    );
    const decoder = new TextDecoder();
    const reader = body.getReader();
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      parse(decoder.decode(value, { stream: true }));
    }
  }

  #takeEvent(/** @type {StreamEvent} */ event) {
    this.#hasProgressed = true;
    if (event.event === "resume") this.token = readJson(event.data)["token"];
    else if (NOTICES.has(event.event)) this.#hooks.onNotice(event);
    else if (event.event !== "end") this.#hooks.onEvent(event);
    else {
      const { status, last_id: lastId, reason, diagnostics } = readJson(event.data);
      this.#outcome ??= { status, lastId, reason, diagnostics };
    }
  }

  /** 204 is the end, with nothing after the id we have; a refusal is the end too, unless it may pass. */
  async #takeRefusal(/** @type {Response} */ response) {
    const state = response.headers.get("x-spillway-end") ?? "unknown";
    const status = { completed: "complete", failed: "error" }[state] ?? state;
    const detail = await readProblem(response);
    if (response.status === 204) this.#outcome ??= { status, lastId: this.lastId };
    else if (!PASSING_STATUS.has(response.status)) this.#outcome ??= { status: "refused", reason: detail };
    const retryAfterSec = response.headers.get("retry-after");
    const loss = this.#lose("refused", detail);
    return retryAfterSec === null ? loss : { ...loss, retryAfterMs: Number(retryAfterSec) * 1000 };
  }

  /** @param {Loss["kind"]} kind @param {string} detail @returns {Loss} */
  #lose(kind, detail) {
    // Passed through without a token: nothing to resume by, and a new start would be another stream.
    const isFinal = this.token === undefined && this.#hasBeenAnswered;
    if (isFinal) this.#outcome ??= { status: "refused", reason: `${detail}, and this stream cannot be resumed` };
    return { kind, detail };
  }

  #wait(/** @type {Loss} */ loss, /** @type {number} */ delayMs) {
    this.#setState({ kind: "waiting", loss, delayMs });
    return new Promise((/** @type {(value?: undefined) => void} */ resolve) => {
      setTimeout(resolve, delayMs);
      this.#endWait = resolve;
    });
  }

  #setState(/** @type {ReaderState} */ state) {
    this.state = state;
    this.#hooks.onState(state);
  }
}

/** A refusal in one line: problem details (RFC 9457), the source's own `error`, or the status alone. */
export async function readProblem(/** @type {Response} */ response) {
  const { code, detail, error } = readJson(await response.text());
  const words = code === undefined ? (error ?? response.statusText) : `${code}: ${detail}`;
  return `${response.status} ${words}`.trim().replace(/\.$/, "");
}

/** What became of an event, by its place in {@link Ledger.fates}; 1 to `lastConnection` is what it came over. */
export const FATE = Object.freeze({ none: 0, lastConnection: 252, notAsked: 253, announced: 254, missing: 255 });

/** @typedef {{ events: number, breaksAfter: number }} Asked what the source was asked for; 0 is never */

/** The books of one reader: what its ids say must have come, what came, and the source's own sums. */
export class Ledger {
  received = 0;
  /** Missing, and a `gap` said so; or without a word. */
  announced = 0;
  missing = 0;
  /** Received again, or out of order. */
  twice = 0;
  /** Taken back by a `rewind`. */
  rewound = 0;
  /** Without an id, or with a number of their own that is not the one in their id. */
  misnumbered = 0;
  /** @type {{ events: number, checksum: string } | undefined} what the source says of itself at its end */
  sums;
  #hash = 0x811c9dc5;

  /** @param {Asked} asked @param {string} startId the reader asked for what follows it */
  constructor(asked, startId) {
    this.asked = asked;
    this.startId = startId;
    this.startSeq = startId === "" ? 0 : seqOf(startId);
    this.lastSeq = this.startSeq;
    this.fates = new Uint8Array(asked.events + 1).fill(FATE.notAsked, 0, this.startSeq + 1);
  }

  get checksum() {
    return (this.#hash >>> 0).toString(16).padStart(8, "0");
  }

  /** @param {StreamEvent} event @param {number} connection */
  take(event, connection) {
    const seq = seqOf(event.id);
    const { n, text, events, checksum } = readJson(event.data);
    if (seq <= this.lastSeq) return void this.twice++;
    this.received++;
    if (Number.isNaN(seq)) return void this.misnumbered++;
    this.missThrough(seq - 1);
    this.lastSeq = seq;
    this.fates[seq] = 1 + ((connection - 1) % FATE.lastConnection);
    if (event.event === "done") this.sums = { events, checksum };
    else if (n !== seq) this.misnumbered++;
    // FNV-1a over all texts, as the source computes it: upstream/demo-source.ts.
    for (let at = 0; at < text?.length; at++) this.#hash = Math.imul(this.#hash ^ text.charCodeAt(at), 0x01000193);
  }

  takeGap(/** @type {{ from: string, to: string }} */ { from, to }) {
    const toSeq = seqOf(to);
    if (toSeq <= this.lastSeq) return;
    this.missThrough(seqOf(from) - 1);
    this.announced += toSeq - this.lastSeq;
    this.fates.fill(FATE.announced, this.lastSeq + 1, toSeq + 1);
    this.lastSeq = toSeq;
  }

  /** What came after `durable` had not been written when the object died. */
  takeRewind(/** @type {{ durable: string }} */ { durable }) {
    const lost = Math.max(0, this.lastSeq - seqOf(durable));
    this.lastSeq -= lost;
    this.received -= lost;
    this.rewound += lost;
    this.fates.fill(FATE.none, this.lastSeq + 1);
  }

  /** Everything up to here should have come by now: the next id, or the end, says so. */
  missThrough(/** @type {number} */ seq) {
    if (seq <= this.lastSeq) return;
    this.fates.fill(FATE.missing, this.lastSeq + 1, seq + 1);
    this.missing += seq - this.lastSeq;
    this.lastSeq = seq;
  }
}

/** The number in an id of this service, `<epoch>-<seq>`; NaN where there is none. */
export function seqOf(/** @type {string} */ id) {
  return Number(/^\d+-(\d+)$/.exec(id)?.[1] ?? Number.NaN);
}

/** @returns {Record<string, any>} */
export function readJson(/** @type {string} */ text) {
  try {
    return Object(JSON.parse(text));
  } catch {
    // Not ours: whoever looks for a member finds none, and says so.
    return {};
  }
}

export function plural(/** @type {number} */ count, /** @type {string} */ noun) {
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}

/** @typedef {[name: string, expected: string, received: string, holds: boolean | undefined]} Check */

/**
 * What the books come to. `short`: less than was asked for, and the stream said so.
 *
 * @param {Ledger} ledger @param {Outcome} outcome
 * @returns {{ level: "proved" | "short" | "failed", faults: string[], checks: Check[] }}
 */
export function prove(ledger, outcome) {
  const { received, missing, twice, misnumbered, startSeq, lastSeq, sums, checksum } = ledger;
  const isComplete = outcome.status === "complete";
  const isEndKnown = outcome.lastId !== undefined;
  const lost = ledger.announced + missing + ledger.rewound;
  const sent = sentBySource(ledger, outcome);
  const expected = sent - startSeq;
  const isWhole = isComplete && lost === 0;
  const hasSum = isWhole && startSeq === 0;
  const isSameSum = sums?.checksum === checksum && sums.events === received;
  const lostInWords = lost > missing ? `${lost}, announced` : `${lost}`;
  const ownSum = startSeq === 0 ? checksum : "of a part";
  const faults = [
    missing > 0 && `${plural(missing, "event")} missing without a word`,
    twice > 0 && `${plural(twice, "event")} received twice or out of order`,
    misnumbered > 0 && `${plural(misnumbered, "event")} numbered otherwise than by the id`,
    isEndKnown &&
      lastSeq !== sent &&
      `the stream ended after ${lastSeq} of the ${plural(sent, "event")} its source sent`,
    hasSum && !isSameSum && "the texts do not give the checksum that the source sent",
  ].filter((fault) => fault !== false);
  return {
    level: faults.length > 0 ? "failed" : isWhole ? "proved" : "short",
    faults,
    checks: [
      ["Events", isEndKnown ? `${expected}` : "unknown", `${received}`, isEndKnown ? received === expected : undefined],
      ["Missing", "0", lostInWords, isEndKnown || lost > 0 ? lost === 0 : undefined],
      ["Twice", "0", `${twice}`, twice === 0],
      ["Numbers match ids", "all", misnumbered === 0 ? "all" : `not ${misnumbered}`, misnumbered === 0],
      ["Checksum of texts", sums?.checksum ?? "not sent", ownSum, hasSum ? isSameSum : undefined],
    ],
  };
}

/** As far as the page can know: what it asked for, or else what the stream says. @param {Ledger} ledger @param {Outcome} outcome */
function sentBySource({ asked, lastSeq }, { status, reason = "upstream_reset" }) {
  if (status === "complete") return asked.events;
  return status === "error" && reason === "upstream_reset" && asked.breaksAfter > 0 ? asked.breaksAfter : lastSeq;
}
