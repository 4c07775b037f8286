/**
 * Event ids: `<epoch>-<seq>`, opaque to readers, ordered by `seq`.
 *
 * `seq` grows by one per event. `epoch` grows when an object restarts with its stream
 * unfinished, so that no id ever stands for two contents, also after a crash.
 */

export interface EventId {
  /** 0 only in the start position, 1 for a stream that never restarted. */
  readonly epoch: number;
  /** 1 for the first event of a stream. */
  readonly seq: number;
}

/** The position before the first event: what a reader holds that has received nothing. */
export const START_POSITION: EventId = Object.freeze({ epoch: 0, seq: 0 });

// 15 digits stay below Number.MAX_SAFE_INTEGER; leading zeros would give one event two names.
const EVENT_ID_PATTERN = /^(0|[1-9]\d{0,9})-(0|[1-9]\d{0,14})$/;

export function formatEventId(id: EventId): string {
  return `${id.epoch}-${id.seq}`;
}

/** Reads `<epoch>-<seq>`; `undefined` for anything else. Pure. */
export function parseEventId(text: string): EventId | undefined {
  const match = EVENT_ID_PATTERN.exec(text);
  if (match === null) return undefined;
  const id = { epoch: Number(match[1]), seq: Number(match[2]) };
  const isStart = id.epoch === 0 && id.seq === 0;
  const isEvent = id.epoch > 0 && id.seq > 0;
  return isStart || isEvent ? id : undefined;
}
