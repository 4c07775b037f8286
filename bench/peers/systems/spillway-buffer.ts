/**
 * The buffer that Spillway is given for a run: as it is by default, where that holds all events of a stream. Pure.
 */

/** Most of a stream's events are this long at most, with id and name; the buffer is made to hold them. */
const EVENT_BYTES = 1280;
const BYTES_PER_MIB = 2 ** 20;
const DEFAULT_BUFFER = { events: 256, mib: 1.5 };
const MAX_BUFFER_MIB = 64;

/** Limits under which nothing is dropped; the defaults where they are enough. */
export function bufferFor(maxEvents: number): { SSE_BUFFER_MAX_EVENTS: number; SSE_BUFFER_MAX_SIZE_MB: number } {
  const mib = Math.min(MAX_BUFFER_MIB, Math.ceil((maxEvents * EVENT_BYTES) / BYTES_PER_MIB));
  return {
    SSE_BUFFER_MAX_EVENTS: Math.max(DEFAULT_BUFFER.events, maxEvents),
    SSE_BUFFER_MAX_SIZE_MB: Math.max(DEFAULT_BUFFER.mib, mib),
  };
}
