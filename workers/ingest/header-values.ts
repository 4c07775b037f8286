/**
 * Values of `ce-` headers to attribute values.
 *
 * Source: CloudEvents HTTP Protocol Binding 1.0.2, section 3.1.3.2; RFC 9110, 5.6.4 (quoted strings).
 */

/** What a header may hold; everything else travels percent-encoded. Spaces were allowed by older versions. */
const HEADER_TEXT = /^[\t\x20-\x7e]*$/;
const QUOTED = /^"((?:[^"\\]|\\.)*)"$/;

/**
 * Takes off the quotes of a quoted string, then decodes percent-encoding once.
 *
 * @returns the text, or `undefined` for a value that is not ASCII, has a broken percent-encoding, or
 *   encodes bytes that are not UTF-8
 */
export function decodeHeaderValue(value: string): string | undefined {
  if (!HEADER_TEXT.test(value)) return undefined;
  const quoted = QUOTED.exec(value)?.[1];
  const unquoted = quoted === undefined ? value : quoted.replace(/\\(.)/g, "$1");
  try {
    return unquoted.includes("%") ? decodeURIComponent(unquoted) : unquoted;
  } catch {
    // URIError: the one way it fails.
    return undefined;
  }
}
