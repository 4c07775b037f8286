/**
 * How many bytes text takes on the wire, without encoding it.
 */

const TWO_BYTES_FROM = 0x80;
const THREE_BYTES_FROM = 0x800;
const HIGH_SURROGATES_FROM = 0xd800;
const LOW_SURROGATES_FROM = 0xdc00;
const SURROGATES_END = 0xe000;
const LF = 10;
/** Each further line of data has its own field name. */
const FIELD_NAME_BYTES = "data: ".length;

/** Bytes of data in UTF-8 as a frame carries it; a lone surrogate is sent as U+FFFD. */
export function dataBytes(text: string, start = 0, end = text.length): number {
  return count(text, { start, end, lineBytes: FIELD_NAME_BYTES });
}

export function utf8Bytes(text: string): number {
  return count(text, { start: 0, end: text.length, lineBytes: 0 });
}

function count(
  text: string,
  range: { readonly start: number; readonly end: number; readonly lineBytes: number },
): number {
  const { start, end, lineBytes } = range;
  let bytes = end - start;
  for (let at = start; at < end; at++) {
    const code = text.charCodeAt(at);
    if (code < TWO_BYTES_FROM) {
      if (code === LF) bytes += lineBytes;
    } else if (code < THREE_BYTES_FROM) bytes += 1;
    else if (code >= HIGH_SURROGATES_FROM && code < LOW_SURROGATES_FROM && at + 1 < end && isLow(text, at + 1)) {
      bytes += 2;
      at++;
    } else bytes += 2;
  }
  return bytes;
}

function isLow(text: string, at: number): boolean {
  const code = text.charCodeAt(at);
  return code >= LOW_SURROGATES_FROM && code < SURROGATES_END;
}
