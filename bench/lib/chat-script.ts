/**
 * Events of the benchmark's source that say something: a chat completion token by token, and records.
 *
 * Words are drawn by their number from a fixed seed, so that every process knows the whole text. They are
 * not English, but compress about as well.
 */

const SEED = 20_261_121;
const WORDS = 4000;
const LONGEST_SYLLABLES = 4;
const SYLLABLES =
  "a be ci do fu ge ha in jo ka lu me no or pi qui re sta to ur ve wi xe yo zu, che. tra ble ing ed".split(" ");
const ID = "chatcmpl-B9MHDbslfkBeAs8l4bebGdFOJ6PeG";
const BEFORE = `{"id":"${ID}","object":"chat.completion.chunk","created":1741570283,"model":"gpt-4o-mini-2024-07-18","service_tier":"default","system_fingerprint":"fp_06737a9306","choices":[`;
const AFTER = `],"usage":null}`;

/** A hash of 32 bits (Murmur3's finalizer): the same number always gives the same word. */
function mix(number: number): number {
  let hash = (number ^ SEED) >>> 0;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

const words = Array.from({ length: WORDS }, (_, at) => {
  const syllables = 1 + (mix(at) % LONGEST_SYLLABLES);
  return ` ${Array.from({ length: syllables }, (__, n) => SYLLABLES[mix(at * LONGEST_SYLLABLES + n) % SYLLABLES.length]).join("")}`;
});

/** Some words are far more frequent than others, as in a language. */
function chatToken(number: number): string {
  const share = mix(number) / 2 ** 32;
  return words[Math.floor(share ** 3 * WORDS)] ?? "";
}

/** What a reader of `tokens` tokens has in the end. */
export function chatText(tokens: number): string {
  return Array.from({ length: tokens }, (_, at) => chatToken(at + 1)).join("");
}

/** An event of a chat completion as OpenAI streams it. */
export function chatData(number: number): string {
  return `${BEFORE}{"index":0,"delta":{"content":${JSON.stringify(chatToken(number))}},"logprobs":null,"finish_reason":null}${AFTER}`;
}

export function chatFrame(number: number): string {
  return `data: ${chatData(number)}\n\n`;
}

/** Why it ends, and that it does. */
export function chatTail(): string {
  const last = `{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}`;
  return `data: ${BEFORE}${last}${AFTER}\n\ndata: [DONE]\n\n`;
}

/** An event of JSON that stands alone. */
export function recordData(number: number, bytes: number): string {
  let text = `{"number":${number},"trace":"${mix(number).toString(16)}${mix(-number).toString(16)}","text":"`;
  for (let word = number * 1000; text.length < bytes - 2; word++) text += chatToken(word);
  return `${text.slice(0, bytes - 2)}"}`;
}

export function recordFrame(number: number, bytes: number): string {
  return `data: ${recordData(number, bytes)}\n\n`;
}
