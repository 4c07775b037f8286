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

/** What a gap says: the missing ids, both included. */
interface Gap {
  readonly from: string;
  readonly to: string;
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
    switch (event) {
      case "message":
        this.moveTo(id, this.lastSeq + 1, event);
        return this.takeContent(data);
      case "gap":
        return this.takeGap(JSON.parse(data) as Gap, id);
      case "resume":
        this.token = (JSON.parse(data) as Resume).token;
        return;
      case "end":
        this.moveTo(id, this.lastSeq, event);
        return this.takeEnd(JSON.parse(data) as End);
      default:
        return this.fail(`${event}, which nothing here causes`);
    }
  }

  /** 204: the stream is over, and this reader has all of it. */
  takeNothingLeft(): void {
    this.takeEnd({ status: "complete" });
  }

  private takeContent(data: string): void {
    const number = Number(data.slice(EVENT_MARK.length, data.indexOf(" ")));
    if (number !== this.next) this.fail(`event ${number} where ${this.next} was next`);
    this.next = number + 1;
  }

  private takeGap({ from, to, dropped }: Gap, id: string | undefined): void {
    const [first, last] = [from, to].map(seqOf);
    const names = first === this.lastSeq + 1 && last === this.lastSeq + dropped;
    if (!names) this.fail(`a gap from ${from} to ${to} of ${dropped}`);
    this.moveTo(id, this.lastSeq + dropped, "gap");
    this.missing += dropped;
    this.next += dropped;
  }

  private takeEnd({ status }: End): void {
    this.isEnded = true;
    if (status !== "complete") this.fail(`it ended ${status}`);
    if (this.reached !== this.sourceEvents) this.fail(`it ended after ${this.reached} of ${this.sourceEvents} events`);
  }

  /** B1: ids are contiguous but for what a gap names. The source's object never restarts here, so that seqs alone tell. */
  private moveTo(id: string | undefined, seq: number, event: string): void {
    if (id === undefined || seqOf(id) !== seq)
      this.fail(`${event} with the id ${id ?? "of none"} where seq ${seq} was due`);
    else this.lastEventId = id;
  }

  private get lastSeq(): number {
    return seqOf(this.lastEventId);
  }

  /** Also for what the connection did: only the first fault counts. */
  fail(what: string): void {
    this.fault ??= `${what}, last id ${this.lastEventId}`;
  }
}

/** Of an id `<epoch>-<seq>`; `NaN` where it is none. */
function seqOf(id: string): number {
  return Number(/^\d+-(\d+)$/.exec(id)?.[1]);
}
