/**
 * The settings that Spillway is given for a run, and the note that names each of them. Pure.
 */
import type { SystemHome } from "../system.ts";

/** Most of a stream's events are this long at most, with id and name; the buffer is made to hold them. */
const EVENT_BYTES = 1280;
const BYTES_PER_MIB = 2 ** 20;
const DEFAULT_BUFFER = { events: 256, mib: 1.5 };
const MAX_BUFFER_MIB = 64;
const ONE_HOUR_MS = 3_600_000;

type Run = Pick<SystemHome, "maxReaders" | "maxEvents">;

/** Beside its routes: all that is not as it is by default. */
export function settingsFor({ maxReaders, maxEvents }: Run): Readonly<Record<string, string | number>> {
  return {
    CLIENT_AUTH: "none",
    SSE_MAX_CLIENTS: maxReaders,
    ...bufferFor(maxEvents),
    // There is no bucket for the lake here: its shards take telemetry, and never get to write a file.
    ICEBERG_BUFFER_SIZE: 20_000,
    ICEBERG_BUFFER_TIMEOUT_MS: ONE_HOUR_MS,
  };
}

/** What a reader of the figures has to know of them. */
export function settingsNotes(run: Run): string[] {
  const settings = Object.entries(settingsFor(run)).map(([name, value]) => `${name}=${value}`);
  return [
    `Defaults but for one route and ${settings.join(", ")}.`,
    "The last two put the lake off, since there is no bucket here: telemetry goes to its shards, and no measure has the cost " +
      "of their flushes, files and commits in it.",
  ];
}

/** Limits under which nothing is dropped; the defaults where they are enough. */
export function bufferFor(maxEvents: number): { SSE_BUFFER_MAX_EVENTS: number; SSE_BUFFER_MAX_SIZE_MB: number } {
  const mib = Math.min(MAX_BUFFER_MIB, Math.ceil((maxEvents * EVENT_BYTES) / BYTES_PER_MIB));
  return {
    SSE_BUFFER_MAX_EVENTS: Math.max(DEFAULT_BUFFER.events, maxEvents),
    SSE_BUFFER_MAX_SIZE_MB: Math.max(DEFAULT_BUFFER.mib, mib),
  };
}
