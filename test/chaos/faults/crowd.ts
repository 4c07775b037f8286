/**
 * A crowd of readers of one stream, and a source that sends as fast as it is read: what overloads one object.
 */
import type { ServerResponse } from "node:http";
import { once } from "node:events";

import { FrameChecker } from "../../fixtures/process-checker.ts";
import { openReader, type WireReader } from "../../fixtures/process-reader.ts";
import { createSourceRun, frameOf, type SourceScript } from "../../fixtures/process-script.ts";
import { openEventStream, type UpstreamHandler } from "../../fixtures/upstream.ts";

/** Events in one write of the source. */
const BURST_EVENTS = 250;

/** Waits at its first event until it is let go, and then sends all of its script without a pause. */
export class FloodSource {
  readonly script: SourceScript;
  calls = 0;
  isDone = false;
  private readonly gate = Promise.withResolvers<void>();

  constructor(script: SourceScript) {
    this.script = script;
  }

  readonly handler: UpstreamHandler = async (_, response) => {
    this.calls++;
    openEventStream(response);
    await this.gate.promise;
    await this.flood(response);
  };

  letGo(): void {
    this.gate.resolve();
  }

  private async flood(response: ServerResponse): Promise<void> {
    const { events } = this.script;
    for (let first = 1; first <= events && !response.destroyed; first += BURST_EVENTS) {
      const last = Math.min(events, first + BURST_EVENTS - 1);
      let text = "";
      for (let n = first; n <= last; n++) text += sourceTextOf(this.script, n);
      if (!response.write(text)) await untilDrained(response);
    }
    this.isDone = !response.destroyed;
    response.end();
  }
}

/** One of a crowd, held byte for byte against the script as it reads. */
export interface CrowdMember {
  readonly reader: WireReader;
  readonly checker: FrameChecker;
}

export interface CrowdPlace {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly script: SourceScript;
}

/** So many readers come at once, all with the same headers. */
export function joinCrowd(count: number, place: CrowdPlace): Promise<CrowdMember[]> {
  return Promise.all(Array.from({ length: count }, () => join(place)));
}

async function join({ url, headers, script }: CrowdPlace): Promise<CrowdMember> {
  const checker = new FrameChecker(createSourceRun(script), 0);
  const reader = await openReader(url, { headers, onFrame: checker.take });
  return { reader, checker };
}

async function untilDrained(response: ServerResponse): Promise<void> {
  const settled = new AbortController();
  const { signal } = settled;
  await Promise.race([once(response, "drain", { signal }), once(response, "close", { signal })]).finally(() =>
    // Takes the other listener off; its promise then rejects, and nobody waits for it.
    settled.abort(),
  );
}

/** As the source sends it: all but the id that the service gives it. */
function sourceTextOf(script: SourceScript, n: number): string {
  const frame = frameOf(script, n);
  return frame.slice(frame.indexOf("\n") + 1);
}
