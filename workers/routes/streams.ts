/**
 * The stream calls: start, resume, cancel, status. Each validates, then makes one call to one object.
 */
import type { Context, Hono } from "hono";

import { START_POSITION, type EventId } from "../../protocol/event-id.ts";
import type { SpillwayError } from "../../protocol/errors.ts";
import { verifyToken, type ResumeClaims, type VerifiedClaims } from "../../protocol/resume-token.ts";
import { EVENT_STREAM_HEADERS } from "../../protocol/sse-frame.ts";
import {
  DEGRADED_HEADER,
  PASS_THROUGH_HEADER,
  type Result,
  type ResumeCall,
  type StartCall,
  type StreamStatus,
  type StreamTicket,
} from "../../protocol/stream-call.ts";
import { openUpstream, passThrough } from "../../upstream/open-upstream.ts";
import { authenticateClient, checkKeyAgainstToken, readResumeCredentials } from "../http/client-auth.ts";
import type { Services } from "../http/context.ts";
import type { HonoEnv } from "../http/hono-env.ts";
import { mount, type Handler } from "../http/mount.ts";
import { problemResponse } from "../http/problem.ts";
import { readBody } from "../http/request-limits.ts";
import { deriveRequestId, fingerprintOf, randomRequestId } from "../request-ids.ts";
import type { RouteConfig } from "../route-config.ts";
import { priorityRulesOf, reliefOf } from "../route-relief.ts";
import type { ObjectAnswer } from "../stream-objects.ts";
import { buildUpstreamCall, forwardedQuery } from "../upstream-call.ts";
import {
  invalid,
  readIdempotencyKey,
  readGivenPosition,
  readCorrelationId,
  readMode,
  acceptsGap,
  prefersAsync,
} from "./stream-request.ts";

type StreamContext = Context<HonoEnv>;

export function mountStreams(app: Hono<HonoEnv>, services: Services): void {
  for (const route of services.config.routes) {
    const start: Handler = (context) => answer(context, startStream(context, route, services));
    const resume: Handler = (context) => answer(context, resumeStream(context, route.name, services));
    const cancel: Handler = (context) => answer(context, cancelStream(context, route.name, services));
    const status: Handler = (context) => answer(context, streamStatus(context, route.name, services));
    const starts = route.allowGet ? { POST: start, GET: start } : { POST: start };
    mount(app, `/${route.name}/stream`, { ...starts, DELETE: cancel });
    mount(app, `/${route.name}/resume`, { GET: resume, POST: resume });
    mount(app, `/${route.name}/status`, { GET: status });
    if (route.alias !== undefined) mount(app, route.alias, starts);
  }
  const resume: Handler = (context) => answer(context, resumeStream(context, undefined, services));
  mount(app, "/resume", { GET: resume, POST: resume });
}

/** Handlers return the error as a value; here it becomes a problem response. */
async function answer(context: StreamContext, outcome: Promise<Response | SpillwayError>): Promise<Response> {
  const settled = await outcome;
  return settled instanceof Response ? settled : problemResponse(settled, context.get("requestId"));
}

/** A start that may be made, before its body is read. */
interface AdmittedStart {
  readonly requestId: string;
  readonly tenant: string;
  readonly isKeyed: boolean;
  readonly position: EventId | undefined;
  readonly correlationId: string | undefined;
}

async function admitStart(
  context: StreamContext,
  route: RouteConfig,
  services: Services,
): Promise<Result<AdmittedStart>> {
  const { config, rateGate } = services;
  const client = authenticateClient(config, context.req.header("authorization"));
  // Whoever tries out keys is counted, too.
  if (!client.ok) return { ok: false, error: (await rateGate.check("start", context.req.raw)) ?? client.error };
  const key = readIdempotencyKey(context);
  if (!key.ok) return key;
  const position = readGivenPosition(context);
  if (!position.ok) return position;
  const goesOn = position.value !== undefined && position.value.seq > 0;
  if (key.value === undefined && goesOn) {
    const detail = "a start that goes on needs an Idempotency-Key; without one, resume with the stream's token";
    return { ok: false, error: invalid("last_event_id", detail) };
  }
  const correlationId = readCorrelationId(context);
  if (!correlationId.ok) return correlationId;
  const { tenant } = client;
  const requestId =
    key.value === undefined
      ? randomRequestId(services.randomBytes)
      : await deriveRequestId(config.idempotencySecret, { tenant, route: route.name, key: key.value });
  // At a position it never calls the upstream: with nothing to go on with, it is refused.
  const error = await rateGate.check(goesOn ? "resume" : "start", context.req.raw);
  if (error !== undefined) {
    if (goesOn) noteResumeFailure(services, error, { requestId, route: route.name, tenant });
    else noteStartRefused(services, error, { route: route.name, tenant });
    return { ok: false, error };
  }
  const isKeyed = key.value !== undefined;
  return {
    ok: true,
    value: { requestId, tenant, isKeyed, position: position.value, correlationId: correlationId.value },
  };
}

async function startStream(context: StreamContext, route: RouteConfig, services: Services) {
  const { config, streams } = services;
  const admission = await admitStart(context, route, services);
  if (!admission.ok) return admission.error;
  const { requestId, tenant, isKeyed, position, correlationId } = admission.value;
  const body = await readBody(context.req.raw, route.maxBodyBytes);
  if (!body.ok) return body.error;
  if (body.body !== undefined && route.method === "GET") {
    return invalid("body", "this route calls its upstream with GET, which carries no body");
  }

  const query = forwardedQuery(context.req.url);
  const identity = {
    requestId,
    route: route.name,
    tenant,
    correlationId,
    fingerprint: isKeyed ? await fingerprintOf(query.toString(), body.body) : undefined,
  };
  const call: StartCall = {
    kind: "start",
    identity,
    upstream: buildUpstreamCall(route, context.req.raw, query),
    settings: config.settings,
    hasControlEvents: route.control,
    priorityRules: priorityRulesOf(route),
    relief: reliefOf(route, config.reliefSwitches),
    respondAsync: prefersAsync(context.req.header("prefer")),
    position: position ?? START_POSITION,
    isPositionExplicit: position !== undefined,
    acceptGap: acceptsGap(context),
  };
  context.set("requestId", requestId);
  const reached = await streams.call(requestId, call, { body: body.body, signal: context.req.raw.signal });
  if (reached.kind === "unreachable") return passUpstreamThrough(call, body.body, services, reached.error);
  if (reached.kind === "error") return reached.error;
  if (isReceipt(reached.response)) return acceptedResponse(context, route.name, reached.response);
  return publicResponse(reached.response, requestId);
}

/** Degraded, never down: the object cannot be reached, so the stream goes by without resume. */
async function passUpstreamThrough(
  call: StartCall,
  body: Uint8Array | undefined,
  services: Services,
  error: SpillwayError,
): Promise<Response | SpillwayError> {
  // Neither can be had without the object: a receipt to resume by, or the rest of a stream.
  if (call.respondAsync || call.position.seq > 0) return error;
  const { requestId, route, tenant } = call.identity;
  const time = new Date(services.clock()).toISOString();
  services.telemetry({ event: "SseDegraded", kind: "object", request_id: requestId, route, tenant, time });
  const opened = await openUpstream(call.upstream, {
    body,
    fetch: services.fetch,
    abort: new AbortController(),
  });
  if (opened.kind === "failed") return opened.error;
  const headers = { "X-Request-Id": requestId, [DEGRADED_HEADER]: "object" };
  if (opened.kind === "other") return passThrough(opened.response, headers);
  return new Response(opened.body, { headers: { ...headers, ...EVENT_STREAM_HEADERS } });
}

/** Our own 202, as against an upstream's that is passed through. */
function isReceipt(response: Response): boolean {
  return response.status === 202 && !response.headers.has(PASS_THROUGH_HEADER);
}

/** 202 for `Prefer: respond-async` (RFC 7240): how to come and read. */
async function acceptedResponse(context: StreamContext, route: string, response: Response): Promise<Response> {
  const receipt = await response.json<{ request_id: string; resume_token: string; expires_at: string }>();
  const resume_url = new URL(`/${route}/resume`, context.req.url).href;
  const { request_id, resume_token, expires_at } = receipt;
  return Response.json(
    { request_id, resume_token, resume_url, expires_at },
    {
      status: 202,
      headers: {
        "Preference-Applied": "respond-async",
        "Cache-Control": "no-store",
        "X-Request-Id": request_id,
        "X-Resume-Token": resume_token,
      },
    },
  );
}

async function resumeStream(context: StreamContext, route: string | undefined, services: Services) {
  const access = await authorize(context, route, services);
  const position = readGivenPosition(context);
  const mode = readMode(context);
  const fault = [access, position, mode].find((reading) => !reading.ok);
  if (fault !== undefined) noteResumeFailure(services, fault.error, access.ok ? access.value : access.claims);
  if (!access.ok) return access.error;
  if (!position.ok) return position.error;
  if (!mode.ok) return mode.error;
  const ticket = access.value;
  context.set("requestId", ticket.requestId);
  const call: ResumeCall = {
    kind: "resume",
    ticket: ticketOf(ticket, services),
    position: position.value ?? ticket.position,
    isPositionExplicit: position.value !== undefined,
    mode: mode.value,
    acceptGap: acceptsGap(context),
  };
  const reached = await services.streams.call(ticket.requestId, call, { signal: context.req.raw.signal });
  return settleResume(reached, ticket, services);
}

function ticketOf(claims: VerifiedClaims, { config }: Services): StreamTicket {
  const { requestId, tenant, route, issuedAtSec, startedAtMs } = claims;
  return { requestId, tenant, route, issuedAtSec, startedAtMs, readsArchive: config.settings.archives };
}

/** What an object answers that holds no stream to report it. */
const UNREPORTED: ReadonlySet<string> = new Set(["stream_expired", "stream_not_found", "storage_unavailable"]);

function settleResume(reached: ObjectAnswer, claims: ResumeClaims, services: Services): Response | SpillwayError {
  if (reached.kind === "response") return publicResponse(reached.response, claims.requestId);
  // What a stream refuses its object reports; what never reached the stream is reported here.
  const { code } = reached.error;
  if (reached.kind === "unreachable" || UNREPORTED.has(code)) noteResumeFailure(services, reached.error, claims);
  return reached.error;
}

async function cancelStream(context: StreamContext, route: string, services: Services) {
  const access = await authorize(context, route, services);
  if (!access.ok) return access.error;
  const ticket = access.value;
  return statusResponse(context, ticket, await services.streams.cancel(ticketOf(ticket, services)));
}

async function streamStatus(context: StreamContext, route: string, services: Services) {
  const access = await authorize(context, route, services);
  if (!access.ok) return access.error;
  const ticket = access.value;
  return statusResponse(context, ticket, await services.streams.status(ticketOf(ticket, services)));
}

function statusResponse(context: StreamContext, { requestId }: ResumeClaims, result: Result<StreamStatus>) {
  context.set("requestId", requestId);
  if (!result.ok) return result.error;
  return Response.json(result.value, { headers: { "Cache-Control": "no-store", "X-Request-Id": requestId } });
}

type Access =
  | { readonly ok: true; readonly value: VerifiedClaims }
  | { readonly ok: false; readonly error: SpillwayError; readonly claims: ResumeClaims | undefined };

/** The token's claims, once the caller is within its budget, and token, route and tenant fit together. */
async function authorize(context: StreamContext, route: string | undefined, services: Services): Promise<Access> {
  const { config, ring, rateGate } = services;
  // First: a signature costs more than a count, and whoever tries out tokens is counted too.
  const refusal = await rateGate.check("resume", context.req.raw);
  if (refusal !== undefined) return noAccess(refusal);
  const { token, clientKey } = readResumeCredentials(config, {
    header: context.req.header("x-resume-token"),
    authorization: context.req.header("authorization"),
    query: context.req.query("token"),
  });
  if (token === undefined || token === "") return noAccess({ code: "token_missing" });
  const verdict = await verifyToken(ring, token, services.clock());
  if (!verdict.ok) return noAccess(verdict.error);
  const { claims } = verdict;
  if (route !== undefined && claims.route !== route) return noAccess({ code: "token_wrong_route", route }, claims);
  const mismatch = checkKeyAgainstToken(config, clientKey, claims.tenant);
  return mismatch === undefined ? { ok: true, value: claims } : noAccess(mismatch, claims);
}

function noAccess(error: SpillwayError, claims?: ResumeClaims): Access {
  return { ok: false, error, claims };
}

function noteStartRefused(services: Services, { code }: SpillwayError, start: { route: string; tenant: string }): void {
  services.telemetry({ event: "SseStartRefused", code, ...start, time: new Date(services.clock()).toISOString() });
}

function noteResumeFailure(
  services: Services,
  error: SpillwayError,
  claims: Pick<ResumeClaims, "requestId" | "route" | "tenant"> | undefined,
): void {
  services.telemetry({
    event: "SseResumeFailed",
    code: error.code,
    ...(error.code === "token_invalid" ? { reason: error.reason } : {}),
    ...(claims === undefined ? {} : { request_id: claims.requestId, route: claims.route, tenant: claims.tenant }),
    time: new Date(services.clock()).toISOString(),
  });
}

/** An object's answer, with what only concerns us taken off. */
function publicResponse(response: Response, requestId: string): Response {
  const copy = new Response(response.body, response);
  copy.headers.delete(PASS_THROUGH_HEADER);
  copy.headers.set("X-Request-Id", requestId);
  return copy;
}
