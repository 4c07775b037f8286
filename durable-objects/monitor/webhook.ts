/**
 * Sends one message to the alert webhook, signed as Standard Webhooks 1.0.0 says
 * (https://github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md).
 */
import type { Alert } from "../../protocol/monitor-report.ts";
import type { WebhookSettings } from "../../protocol/monitor-settings.ts";

const TIMEOUT_MS = 10_000;
const MS_PER_SEC = 1000;

export interface WebhookMessage {
  /** The same for every try: receivers know by it what they have had. */
  readonly id: string;
  readonly body: string;
}

export type WebhookOutcome =
  | { readonly ok: true; readonly status: number }
  /** `status`: what it answered; `null` where no answer came. `isGone`: it wants no more of it. */
  | { readonly ok: false; readonly status: number | null; readonly reason: string; readonly isGone: boolean };

export function webhookBody(type: "alert.fired" | "alert.resolved" | "alert.test", alert: Alert, at: string): string {
  return JSON.stringify({ type, timestamp: at, data: alert });
}

/** Which alert a message is about; one that is no {@link webhookBody} is about itself. */
export function aboutOf({ id, body }: WebhookMessage): string {
  const { data } = JSON.parse(body) as { readonly data?: Pick<Alert, "alert" | "subject"> };
  return data === undefined ? id : `${data.alert} ${data.subject}`;
}

/** Redirects are not followed, the answer's body is not read. Never throws. */
export async function sendWebhook(
  { url, secret }: WebhookSettings,
  { id, body }: WebhookMessage,
  { fetch, nowMs }: { readonly fetch: typeof globalThis.fetch; readonly nowMs: number },
): Promise<WebhookOutcome> {
  const timestamp = Math.floor(nowMs / MS_PER_SEC);
  try {
    const response = await fetch(url, {
      method: "POST",
      headers: {
        "Content-Type": "application/json",
        "User-Agent": "Spillway",
        "webhook-id": id,
        "webhook-timestamp": String(timestamp),
        "webhook-signature": await signWebhook(secret, { id, timestamp, body }),
      },
      body,
      redirect: "manual",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const { status } = response;
    // What it says matters to nobody, and left unread it would hold the connection. It may be broken already.
    await response.body?.cancel().catch(() => undefined);
    if (status >= 200 && status < 300) return { ok: true, status };
    return { ok: false, status, reason: `it answered ${status}`, isGone: status === 410 };
  } catch (error) {
    // The name alone: a message may hold the URL, and that its token.
    const reason = error instanceof Error && error.name === "TimeoutError" ? "it took too long" : "no answer";
    return { ok: false, status: null, reason, isGone: false };
  }
}

/** @param secret the key, in base64 */
export async function signWebhook(
  secret: string,
  { id, timestamp, body }: WebhookMessage & { readonly timestamp: number },
): Promise<string> {
  const bytes = Uint8Array.from(atob(secret), (char) => char.charCodeAt(0));
  const key = await crypto.subtle.importKey("raw", bytes, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  const signed = new TextEncoder().encode(`${id}.${timestamp}.${body}`);
  const signature = new Uint8Array(await crypto.subtle.sign("HMAC", key, signed));
  return `v1,${btoa(String.fromCharCode(...signature))}`;
}
