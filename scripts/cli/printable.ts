/**
 * What others have sent in, such as names of events, must neither steer a terminal nor pass for something else that
 * is printed there: what would is shown as an escape. No I/O.
 *
 * P1  A control character reaches a terminal in no output, also not in JSON.
 * P2  A value stays in its cell or field: no line, column or field begins in it.
 * P3  What is read stands in the order in which it is: no bidirectional controls.
 */

/** C1 controls are in UTF-8 what some terminals obey; JSON leaves them as they are. And DEL. */
const C1 = "\\u007F-\\u009F";
/** Marks, embeddings, overrides and isolates (UAX 9), which reorder what is read; and Unicode's own line ends. */
const REORDERING = "\\u061C\\u200E\\u200F\\u2028-\\u202E\\u2066-\\u2069";

const UNSAFE_IN_JSON = new RegExp(`[${C1}${REORDERING}]`, "g");
const UNSAFE_IN_VALUE = new RegExp(`[\\u0000-\\u001F${C1}${REORDERING}]`, "g");
/** Newline, tab and our own emphasis stay. */
const UNSAFE_IN_TEXT = new RegExp(
  `\\u001B(?!\\[(?:1|22)m)|[\\u0000-\\u0008\\u000B-\\u001A\\u001C-\\u001F${C1}${REORDERING}]`,
  "g",
);
/** A value of this kind needs no quotes among others. */
const PLAIN_FIELD = /^[^\s"=\\]+$/;

/** A whole text of ours, values and all. */
export function printable(text: string): string {
  return text.replace(UNSAFE_IN_TEXT, escape);
}

/** A value that stands in a line of ours: on that line alone. */
export function printableValue(value: string): string {
  return value.replace(UNSAFE_IN_VALUE, escape);
}

/** A value among others, as in `name=value`: in quotes where it would not end where it ends. */
export function printableField(value: string): string {
  return PLAIN_FIELD.test(value) ? printableValue(value) : printableJson(value);
}

/** The same JSON to whoever reads it. */
export function printableJson(value: unknown): string {
  return escapeJson(JSON.stringify(value));
}

/** Of a text that is JSON already. */
export function escapeJson(json: string): string {
  return json.replace(UNSAFE_IN_JSON, escape);
}

function escape(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
