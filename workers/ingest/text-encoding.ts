/**
 * Between bytes and text, both ways.
 */

/** `fatal`: a replacement character would be data that nobody sent. */
const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: false });

/** Bytes of one turn of base64: a multiple of three, and few enough for the arguments of one call. */
const BASE64_TURN_BYTES = 3 * 8192;

/** @returns the text, without a byte order mark, or `undefined` for bytes that are not UTF-8 */
export function toText(bytes: Uint8Array): string | undefined {
  try {
    return UTF8.decode(bytes);
  } catch {
    // TypeError: the one way it fails.
    return undefined;
  }
}

/** RFC 4648, section 4: with padding. */
export function toBase64(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.byteLength; at += BASE64_TURN_BYTES) {
    text += btoa(String.fromCharCode(...bytes.subarray(at, at + BASE64_TURN_BYTES)));
  }
  return text;
}

/** Bytes that a part of a text has as UTF-8. */
export function utf8Length(text: string, start: number, end: number): number {
  let bytes = end - start;
  for (let at = start; at < end; at++) {
    const code = text.charCodeAt(at);
    if (code < 0x80) continue;
    // Each half of a surrogate pair stands for two of the character's four bytes.
    const isSurrogate = code >= 0xd800 && code <= 0xdfff;
    bytes += code < 0x800 || isSurrogate ? 1 : 2;
  }
  return bytes;
}
