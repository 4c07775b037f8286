/**
 * `POST /events`: events from outside, on their way to the table.
 */
import type { Hono } from "hono";

import type { HonoEnv } from "../http/hono-env.ts";
import { mount } from "../http/mount.ts";
import { answerEvents, type EventServices } from "../ingest/events-call.ts";

export function mountEvents(app: Hono<HonoEnv>, services: EventServices): void {
  mount(app, "/events", {
    POST: (context) => answerEvents(context.req.raw, context.get("requestId"), services),
  });
}
