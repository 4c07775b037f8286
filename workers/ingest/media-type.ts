/**
 * The two things of a media type that decide how a body is read. Not for checking one.
 */

export interface MediaType {
  /** `type/subtype`, in lower case. */
  readonly name: string;
  /** The `charset` parameter, in lower case. */
  readonly charset: string | undefined;
}

/** @param text a `Content-Type` or `datacontenttype` (RFC 9110, 8.3.1) */
export function parseMediaType(text: string): MediaType {
  const [name = "", ...parameters] = text.split(";");
  const charset = parameters.map((parameter) => /^\s*charset\s*=\s*"?([^"]*?)"?\s*$/i.exec(parameter)?.[1]);
  return { name: name.trim().toLowerCase(), charset: charset.find((value) => value !== undefined)?.toLowerCase() };
}

/** Whether text under this type is UTF-8, which ASCII is too. */
export function isUtf8({ charset }: MediaType): boolean {
  return charset === undefined || charset === "utf-8" || charset === "utf8" || charset === "us-ascii";
}

/** JSON Event Format 1.0.2, 3.1.1: the subtype is `json` or ends in `+json`. */
export function isJson({ name }: MediaType): boolean {
  return name.endsWith("/json") || name.endsWith("+json");
}

export function isText({ name }: MediaType): boolean {
  return name.startsWith("text/") || name.endsWith("/xml") || name.endsWith("+xml");
}
