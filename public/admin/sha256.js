// @ts-check
/**
 * SHA-256 (FIPS 180-4) of bytes that come in pieces: the browser's own takes them only as a whole, which an
 * export of a full buffer is too large for.
 */

const ROUNDS = 64;
const BLOCK_BYTES = 64;

/** First 32 bits of the fractions of a root of the first primes. @param {number} amount @param {(prime: number) => number} root */
function fractions(amount, root) {
  const found = [];
  for (let candidate = 2; found.length < amount; candidate++) {
    let divisor = 2;
    while (candidate % divisor !== 0) divisor += 1;
    if (divisor === candidate) found.push(Math.floor((root(candidate) % 1) * 2 ** 32));
  }
  return found;
}

const CONSTANTS = Uint32Array.from(fractions(ROUNDS, Math.cbrt));

export class Sha256 {
  #state = Uint32Array.from(fractions(8, Math.sqrt));
  #schedule = new Uint32Array(ROUNDS);
  #block = new Uint8Array(BLOCK_BYTES);
  #filled = 0;
  #length = 0;

  update(/** @type {Uint8Array} */ bytes) {
    this.#length += bytes.length;
    for (let offset = 0; offset < bytes.length;) {
      const part = bytes.subarray(offset, offset + BLOCK_BYTES - this.#filled);
      this.#block.set(part, this.#filled);
      this.#filled += part.length;
      offset += part.length;
      if (this.#filled === BLOCK_BYTES) this.#compress();
    }
  }

  /** Ends it. */
  hex() {
    const bits = BigInt(this.#length) * 8n;
    this.#block[this.#filled++] = 0x80;
    if (this.#filled > BLOCK_BYTES - 8) {
      this.#block.fill(0, this.#filled);
      this.#compress();
    }
    this.#block.fill(0, this.#filled);
    new DataView(this.#block.buffer).setBigUint64(BLOCK_BYTES - 8, bits);
    this.#compress();
    return Array.from(this.#state, (word) => word.toString(16).padStart(8, "0")).join("");
  }

  #compress() {
    const w = this.#schedule;
    const view = new DataView(this.#block.buffer);
    for (let t = 0; t < 16; t++) w[t] = view.getUint32(t * 4);
    for (let t = 16; t < ROUNDS; t++) {
      const before15 = at(w, t - 15);
      const before2 = at(w, t - 2);
      const s0 = turn(before15, 7) ^ turn(before15, 18) ^ (before15 >>> 3);
      const s1 = turn(before2, 17) ^ turn(before2, 19) ^ (before2 >>> 10);
      w[t] = at(w, t - 16) + s0 + at(w, t - 7) + s1;
    }
    let [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0] = this.#state;
    for (let t = 0; t < ROUNDS; t++) {
      const big1 = turn(e, 6) ^ turn(e, 11) ^ turn(e, 25);
      const first = (h + big1 + ((e & f) ^ (~e & g)) + at(CONSTANTS, t) + at(w, t)) | 0;
      const big0 = turn(a, 2) ^ turn(a, 13) ^ turn(a, 22);
      const second = (big0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      [h, g, f, e, d, c, b, a] = [g, f, e, (d + first) | 0, c, b, a, (first + second) | 0];
    }
    for (const [index, word] of [a, b, c, d, e, f, g, h].entries()) {
      this.#state[index] = at(this.#state, index) + word;
    }
    this.#filled = 0;
  }
}

/** @param {Uint32Array} words @param {number} index */
function at(words, index) {
  return words[index] ?? 0;
}

/** To the right. @param {number} word @param {number} by */
function turn(word, by) {
  return (word >>> by) | (word << (32 - by));
}
