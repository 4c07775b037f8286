/**
 * A telemetry record as a row: what has a column of its own, and what is data.
 */
import { describe, expect, it } from "vitest";

import { toLakeEvent } from "../../protocol/telemetry-event.ts";
import { START_MS } from "../fixtures/lake-parts.ts";

const TIME = new Date(START_MS + 7).toISOString();

describe("a record of a stream", () => {
  it("has stream, tenant and correlation in columns, and the rest as data", () => {
    const event = toLakeEvent(
      {
        event: "SseResumeSuccess",
        position: "1a-7",
        replayed_events: 12,
        request_id: "r-1",
        route: "chat",
        tenant: "acme",
        correlation_id: "c-1",
        time: TIME,
      },
      "id-1",
    );
    expect(event).toEqual({
      id: "id-1",
      source: "spillway/streams/chat",
      type: "SseResumeSuccess",
      subject: "c-1",
      timeUs: (START_MS + 7) * 1000,
      requestId: "r-1",
      tenant: "acme",
      data: expect.any(String),
      extensions: undefined,
    });
    expect(JSON.parse(event.data ?? "")).toMatchObject({ position: "1a-7", replayed_events: 12 });
    for (const column of ["event", "time", "request_id", "tenant"]) {
      expect(JSON.parse(event.data ?? "")).not.toHaveProperty(column);
    }
  });
});

describe("a record of the lake", () => {
  it("is the service's own", () => {
    const event = toLakeEvent({ event: "IcebergConflict", reason: "two\nlines", attempts: 2, time: TIME }, "id-2");
    expect(event).toMatchObject({ source: "spillway/lake", tenant: "spillway", requestId: undefined });
    expect(JSON.parse(event.data ?? "")).toEqual({ reason: "two\nlines", attempts: 2 });
    // A row of the buffer is read line by line.
    expect(event.data).not.toContain("\n");
  });
});
