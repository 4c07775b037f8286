/**
 * One reader that is cut again and again and resumes each time: what it got, put together, held against what
 * the source sent. Knows no network.
 */
import { EVENT_MARK } from "./source-script.ts";

/** An event as a parser of event streams gives it. */
export interface ChainEvent {
  readonly event?: string | undefined;
  readonly data: string;
  readonly id?: string | undefined;
}

/** What a gap says. */
interface Gap {
  readonly dropped: number;
}

/** What the end says. */
interface End {
  readonly status: string;
}

/** Tokens come with `resume`, and anew before half their life is over. */
interface Resume {
  readonly token: string;
}

export class ResumeChain {
  /** As EventSource keeps it, from the priming event on. */
  lastEventId = "0-0";
  isEnded = false;
  /** The source's events that a gap has told of. */
  missing = 0;
  /** The first thing that was not as it must be. */
  fault: string | undefined;
  token: string;
  private next = 1;
  private readonly sourceEvents: number;

  constructor(token: string, sourceEvents: number) {
    this.token = token;
    this.sourceEvents = sourceEvents;
  }

  /** Events of the source that have come or were told to be missing. */
  get reached(): number {
    return this.next - 1;
  }

  take({ event = "message", data, id }: ChainEvent): void {
    if (this.isEnded) return this.fail(`${event} after the end`);
    if (id !== undefined) this.moveTo(id, event);
    switch (event) {
      case "message":
        return data === "" ? undefined : this.takeContent(data);
      case "gap":
        return this.takeGap(JSON.parse(data) as Gap);
      case "resume":
        this.token = (JSON.parse(data) as Resume).token;
        return;
      case "end":
        return this.takeEnd(JSON.parse(data) as End);
      default:
        return this.fail(`${event}, which nothing here causes`);
    }
  }

  private takeContent(data: string): void {
    const number = Number(data.slice(EVENT_MARK.length, data.indexOf(" ")));
    if (number !== this.next) this.fail(`event ${number} where ${this.next} was next`);
    this.next = number + 1;
  }

  private takeGap({ dropped }: Gap): void {
    this.missing += dropped;
    this.next += dropped;
  }

  private takeEnd({ status }: End): void {
    this.isEnded = true;
    if (status !== "complete") this.fail(`it ended ${status}`);
    if (this.reached !== this.sourceEvents) this.fail(`it ended after ${this.reached} of ${this.sourceEvents} events`);
  }

  private moveTo(id: string, event: string): void {
    const [before, after] = [this.lastEventId, id].map(numbersOf);
    const isAhead = before !== undefined && after !== undefined && isAfter(after, before);
    // The outcome may repeat the last id: it moves nobody back.
    if (!isAhead && !(event === "end" && id === this.lastEventId)) this.fail(`id ${id} after ${this.lastEventId}`);
    this.lastEventId = id;
  }

  private fail(what: string): void {
    this.fault ??= `${what}, last id ${this.lastEventId}`;
  }
}

function numbersOf(id: string): readonly [epoch: number, seq: number] | undefined {
  const [epoch, seq, ...more] = id.split("-").map(Number);
  return epoch === undefined || seq === undefined || more.length > 0 ? undefined : [epoch, seq];
}

function isAfter([epoch, seq]: readonly [number, number], [oldEpoch, oldSeq]: readonly [number, number]): boolean {
  return epoch === oldEpoch ? seq > oldSeq : epoch > oldEpoch;
}
