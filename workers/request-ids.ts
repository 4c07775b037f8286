/**
 * Ids of streams: made by us, unguessable. Random, or derived where the caller's key is to find the
 * same stream again.
 */

/** 160 random bits; RFC 4648 base64url, 27 characters. */
export function randomRequestId(randomBytes: (length: number) => Uint8Array): string {
  return base64url(randomBytes(20));
}

/**
 * The id of the stream that an idempotency key stands for: HMAC-SHA-256 over tenant, route and key,
 * so that nobody without the secret can tell or hit another tenant's stream.
 */
export async function deriveRequestId(
  secret: string,
  parts: { tenant: string; route: string; key: string },
): Promise<string> {
  const encoder = new TextEncoder();
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", encoder.encode(`spillway-idempotency:${secret}`), algorithm, false, [
    "sign",
  ]);
  const message = JSON.stringify([parts.tenant, parts.route, parts.key]);
  return base64url(new Uint8Array(await crypto.subtle.sign("HMAC", key, encoder.encode(message))));
}

/** Whether it looks like one of ours, of 20 random bytes or 32 derived ones: all else is not looked for, nor told of. */
export function isRequestId(text: string): boolean {
  return /^(?:[\w-]{27}|[\w-]{43})$/.test(text);
}

/** SHA-256 of what a start asks for: the same key with another query or body is a conflict. */
export async function fingerprintOf(query: string, body: Uint8Array | undefined): Promise<string> {
  const head = new TextEncoder().encode(`${query}\n`);
  const bytes = new Uint8Array(head.byteLength + (body?.byteLength ?? 0));
  bytes.set(head);
  if (body !== undefined) bytes.set(body, head.byteLength);
  return base64url(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)));
}

function base64url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "");
}
