/**
 * One source of one stream, from its first byte to its last: pump, gathering and pace wired together.
 */
import type { UpstreamCall } from "../protocol/stream-call.ts";
import type { SourceEvent } from "../protocol/sse-frame.ts";
import { EventGathering } from "./stream/event-gathering.ts";
import { SourcePace } from "./stream/source-pace.ts";
import { SourcePump, type SourceOutcome } from "./stream/source-pump.ts";
import type { StreamSession } from "./stream/stream-session.ts";

interface SourceRunOptions {
  readonly session: StreamSession;
  readonly upstream: UpstreamCall;
  /** One turn's events, in order. */
  readonly onTurn: (events: readonly SourceEvent[]) => void;
}

export class SourceRun {
  private readonly gathering: EventGathering;
  private readonly pace: SourcePace;
  private readonly pump: SourcePump;

  constructor(body: ReadableStream<Uint8Array>, { session, upstream, onTurn }: SourceRunOptions) {
    const { readers } = session.delivery;
    const clock = Date.now;
    this.gathering = new EventGathering({ clock, countReaders: () => readers.size, onTurn });
    this.pace = new SourcePace({ clock, untilMs: (nowMs) => readers.paceUntilMs(nowMs) });
    this.pump = new SourcePump(body, {
      eventMaxBytes: session.settings.eventMaxBytes,
      idleTimeoutMs: upstream.idleTimeoutMs,
      clock,
      onEvents: (events) => this.gathering.add(events),
      onActivity: () => session.noteSourceActivity(clock()),
      pace: () => this.pace.wait(),
    });
  }

  /** @returns the outcome; `undefined` when {@link stop} ended it */
  async toEnd(): Promise<SourceOutcome | undefined> {
    return this.pump.run();
  }

  /** After anything that may have made room for more. */
  checkPace(): void {
    this.pace.check();
  }

  /** Hands over what was gathered, so that nothing comes after the end. */
  handOver(): void {
    this.gathering.release();
  }

  /** Lets go of the source. */
  stop(): void {
    this.pump.stop();
  }
}
