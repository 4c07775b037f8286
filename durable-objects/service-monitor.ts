/**
 * The Durable Object that watches the service: wires what monitor/ decides to alarm, storage and shards.
 */
import { DurableObject } from "cloudflare:workers";

export class ServiceMonitor extends DurableObject<Env> {}
