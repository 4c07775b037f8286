/**
 * One call of `POST /events`: who sends, what, and what became of it. Knows requests and responses, and
 * neither the router nor the objects.
 */
import type { SpillwayError } from "../../protocol/errors.ts";
import { MICROS_PER_MS } from "../../protocol/lake-event.ts";
import { problemResponse } from "../http/problem.ts";
import { readIngestBody } from "./body.ts";
import { readEvents, readEventsMode } from "./cloud-events.ts";
import { authenticateIngest } from "./ingest-keys.ts";
import { ingest, type ShardPort } from "./ingest.ts";

/** Clock, randomness and objects come in here. */
export interface EventServices extends ShardPort {
  /** Tenant by ingest key. */
  readonly ingestKeys: ReadonlyMap<string, string>;
  /** Milliseconds since 1970. */
  readonly clock: () => number;
  /** An id for an event that brings none: a random UUID. */
  readonly randomId: () => string;
}

/** 202 with `{accepted, duplicates, rejected}`, or a problem. */
export async function answerEvents(request: Request, requestId: string, services: EventServices): Promise<Response> {
  const outcome = await takeEvents(request, services);
  return outcome instanceof Response ? outcome : problemResponse(outcome, requestId);
}

async function takeEvents(request: Request, services: EventServices): Promise<Response | SpillwayError> {
  const { headers } = request;
  const tenant = authenticateIngest(services.ingestKeys, headers.get("authorization") ?? undefined);
  if (tenant === undefined) return { code: "unauthorized", credential: "ingest key" };
  const contentType = headers.get("content-type") ?? undefined;
  const mode = readEventsMode({ contentType, headers });
  if (!mode.ok) return mode.error;
  const body = await readIngestBody(request);
  if (!body.ok) return body.error;
  const defaults = { tenant, nowUs: services.clock() * MICROS_PER_MS, randomId: services.randomId };
  const reading = readEvents(mode.mode, { contentType, headers, body: body.body }, defaults);
  if (!reading.ok) return reading.error;
  const outcome = await ingest(reading.events, reading.rejected, services);
  if (!outcome.ok) return outcome.error;
  return Response.json(outcome.counts, { status: 202, headers: { "Cache-Control": "no-store" } });
}
