/**
 * The rules that attribute values obey, one function each: `undefined` where a value is right, else what
 * is wrong with it, in words that never repeat the value.
 *
 * Source: CloudEvents 1.0.2, section 3 (types and attributes); RFC 3986 (URIs); RFC 9110, 8.3.1 (media types).
 */
import { EXTENSION_NAME_MAX_CHARS } from "../../protocol/ingest-limits.ts";
import { OWN_SOURCE_PREFIX } from "../../protocol/telemetry-event.ts";
import { rawNumberOf } from "./lossless-json.ts";

/** Most texts are of these alone, and need no look at Unicode properties. */
const PRINTABLE_ASCII = /^[\x20-\x7e]*$/;
/** What the type String may not hold: control characters, noncharacters, unpaired surrogates. */
const FORBIDDEN = /[\p{Cc}\p{Noncharacter_Code_Point}\p{Cs}]/u;

const URI_CHARS = /^(?:[\w\-.~:/?#[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})*$/;
const SCHEME = /^[A-Za-z][A-Za-z0-9+.-]*:/;
const MEDIA_TYPE = /^[!#$%&'*+.^`|~\w-]+\/[!#$%&'*+.^`|~\w-]+[ \t]*(?:;.*)?$/;
const NAME = /^[a-z0-9]+$/;

const INT32_MIN = -2_147_483_648;
const INT32_MAX = 2_147_483_647;

/** A non-empty text of at most `maxChars` UTF-16 units. */
export function faultOfText(value: unknown, maxChars: number): string | undefined {
  if (typeof value !== "string") return `a text is needed, found ${kindOf(value)}`;
  if (value === "") return "is empty";
  if (value.length > maxChars) return `has ${value.length} characters, allowed are ${maxChars}`;
  return faultOfChars(value);
}

/** A URI reference (RFC 3986, 4.1): absolute or relative, ASCII. */
function faultOfUriReference(value: unknown, maxChars: number): string | undefined {
  const fault = faultOfText(value, maxChars);
  if (fault !== undefined) return fault;
  return URI_CHARS.test(String(value))
    ? undefined
    : "is not a URI reference (RFC 3986): percent-encode what it may not hold";
}

/** A source: a URI reference, and not one of the service's own, by which its telemetry is told from all else. */
export function faultOfSource(value: unknown, maxChars: number): string | undefined {
  const fault = faultOfUriReference(value, maxChars);
  if (fault !== undefined) return fault;
  return String(value).startsWith(OWN_SOURCE_PREFIX)
    ? `begins with ${OWN_SOURCE_PREFIX}, which is reserved`
    : undefined;
}

/** A URI with a scheme (RFC 3986, 3). */
export function faultOfUri(value: unknown, maxChars: number): string | undefined {
  return (
    faultOfUriReference(value, maxChars) ?? (SCHEME.test(String(value)) ? undefined : "is not a URI with a scheme")
  );
}

/** A media type, with or without parameters. */
export function faultOfMediaType(value: unknown, maxChars: number): string | undefined {
  return faultOfText(value, maxChars) ?? (MEDIA_TYPE.test(String(value)) ? undefined : "is not a media type");
}

/** The name of an extension attribute. `data` is no attribute's name (CloudEvents 1.0.2, 3.1). */
export function faultOfExtensionName(name: string): string | undefined {
  if (name.length > EXTENSION_NAME_MAX_CHARS) return `names have at most ${EXTENSION_NAME_MAX_CHARS} characters`;
  return NAME.test(name) && name !== "data" ? undefined : "names are of a to z and 0 to 9, and not `data`";
}

/** The value of an extension attribute: text (also an empty one), a boolean, or an integer of 32 bits. */
export function faultOfExtensionValue(value: unknown): string | undefined {
  if (typeof value === "string") return faultOfChars(value);
  if (typeof value === "boolean") return undefined;
  if (typeof value !== "number") return `a text, a boolean or an integer is needed, found ${kindOf(value)}`;
  const isInteger = Number.isInteger(value) && value >= INT32_MIN && value <= INT32_MAX;
  return isInteger ? undefined : "integers have 32 bits and no fraction; send others as text";
}

/** What a JSON value is, for messages. */
export function kindOf(value: unknown): string {
  if (value === undefined) return "nothing";
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  if (typeof value === "object") return rawNumberOf(value) !== undefined ? "a number" : "an object";
  return `a ${typeof value}`;
}

function faultOfChars(text: string): string | undefined {
  if (PRINTABLE_ASCII.test(text) || !FORBIDDEN.test(text)) return undefined;
  return "holds a control character, a noncharacter or half a surrogate pair";
}
