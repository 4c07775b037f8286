/**
 * Admission: who a client is to the rate limits, and whether it may make one more call.
 *
 * Not for what one stream bears (readers, bytes): its object sees to that.
 *
 * 1. Nothing a caller can make up gives it a budget of its own: a client key counts once it is known to be
 *    one, and an IPv6 client is its /64, since that is what one subscriber is given.
 * 2. A client key never leaves as it is: a limiter is handed a hash.
 * 3. A limiter that fails limits nobody, and says so at most once a minute and isolate.
 */
import type { RateBudget, SpillwayError } from "../../protocol/errors.ts";
import { within } from "../../protocol/timing.ts";
import type { TelemetrySink } from "../../protocol/telemetry.ts";
import type { Config } from "../config.ts";
import { bearerOf, tenantOfKey } from "../tenant-keys.ts";
import { addressOf, networkOf } from "./client-network.ts";

const TELL_AGAIN_MS = 60_000;
const LIMITER_TIMEOUT_MS = 1000;

type Client = { readonly kind: "key"; readonly key: string } | { readonly kind: "address"; readonly network: string };

/** What a request says of its sender. */
interface Sender {
  readonly authorization: string | undefined;
  readonly address: string | undefined;
}

function senderOf(request: Request): Sender {
  return {
    authorization: request.headers.get("authorization") ?? undefined,
    address: addressOf(request),
  };
}

/** The holder of a client key, where keys are in use and a known one was sent; else whoever has the address. */
export function identifyClient(config: Pick<Config, "clientAuth" | "tenantByKey">, sender: Sender): Client {
  const bearer = config.clientAuth === "bearer" ? bearerOf(sender.authorization) : undefined;
  if (bearer !== undefined && tenantOfKey(config.tenantByKey, bearer) !== undefined) {
    return { kind: "key", key: bearer };
  }
  return { kind: "address", network: networkOf(sender.address ?? "") };
}

interface RateGateDeps {
  readonly config: Pick<Config, "clientAuth" | "tenantByKey" | "idempotencySecret" | "rateLimits">;
  readonly telemetry: TelemetrySink;
  readonly clock: () => number;
}

/** One per isolate and configuration. */
export class RateGate {
  private readonly deps: RateGateDeps;
  private toldAtMs = Number.NEGATIVE_INFINITY;
  private untold = 0;

  constructor(deps: RateGateDeps) {
    this.deps = deps;
  }

  /** Takes one call from the sender's budget. @returns why it may not be made, or `undefined` where it may */
  async check(budget: RateBudget, request: Request): Promise<SpillwayError | undefined> {
    const { config } = this.deps;
    const { limiters, periodSec } = config.rateLimits;
    const limiter = limiters[budget];
    if (limiter === undefined) return undefined;
    const client = await clientName(identifyClient(config, senderOf(request)), config.idempotencySecret);
    try {
      // Called on its binding: bare, it loses its receiver.
      // A limiter that does not answer must not hold up every call: it has failed then.
      const answer = limiter.limit({ key: `${budget}:${client}` });
      const { success } = await within(answer, "rate limit", LIMITER_TIMEOUT_MS);
      return success ? undefined : { code: "rate_limited", budget, retryAfterSec: periodSec };
    } catch (error) {
      this.tellFailure(budget, error);
      return undefined;
    }
  }

  private tellFailure(budget: RateBudget, error: unknown): void {
    this.untold++;
    const nowMs = this.deps.clock();
    if (nowMs - this.toldAtMs < TELL_AGAIN_MS) return;
    this.toldAtMs = nowMs;
    // The name alone: a message may hold what the limiter was asked.
    const reason = error instanceof Error ? error.name : typeof error;
    const time = new Date(nowMs).toISOString();
    this.deps.telemetry({ event: "RateLimiterFailed", budget, reason, failures: this.untold, time });
    this.untold = 0;
  }
}

/** With the secret in it, so that nobody who sees what limiters are asked can try keys against it. */
async function clientName(client: Client, secret: string): Promise<string> {
  if (client.kind === "address") return `address:${client.network}`;
  const text = JSON.stringify(["spillway-rate-limit", secret, client.key]);
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
  return `key:${Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}
