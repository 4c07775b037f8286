/**
 * One reader: a real EventSource that starts a stream, is cut where its plan says, comes back with its token,
 * and knows in the end whether it was given the whole stream.
 *
 * R1 Every request but the first goes to /resume, with the newest token and the Last-Event-ID that EventSource sends.
 * R2 Every resume is settled once: as a success only if the whole stream arrived, with the word that it is complete.
 * R3 What a resume is blamed for is not counted as an error besides, but for requests that were refused.
 */
import { EventSource, type EventSourceFetchInit, type FetchLikeResponse } from "eventsource";

import { sendBreakable, type BreakableRequest } from "./breakable-request.ts";
import type { Dialect, StreamScript } from "./dialect.ts";
import type { ErrorKind, SampleLog } from "./samples.ts";
import { faultText, Sequence, type SequenceFault } from "./sequence.ts";

export interface ReaderPlan {
  readonly startUrl: string;
  readonly resumeUrl: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly dialect: Dialect;
  readonly script: StreamScript;
  /** After how many events the connection is cut, ascending, and how long after the last of them. */
  readonly cuts: readonly { readonly afterEvents: number; readonly delayMs: number }[];
}

export interface ReaderParts {
  readonly log: SampleLog;
  /** A number for each resume of the run. */
  readonly nextResume: () => number;
}

const NOTHING_LEFT = 204;

export class GateReader {
  /** Settles when the stream is over, however. */
  readonly over: Promise<void>;
  /** Whether its start was answered. */
  hasStarted = false;
  private readonly plan: ReaderPlan;
  private readonly parts: ReaderParts;
  private readonly source: EventSource;
  private readonly sequence: Sequence;
  private readonly cuts: ReaderPlan["cuts"][number][];
  private readonly cutTimers = new Set<NodeJS.Timeout>();
  private readonly resumes: number[] = [];
  /** A resume of which nothing has come yet. */
  private awaited: { readonly resume: number; isSent: boolean } | undefined;
  private connection: BreakableRequest | undefined;
  private isConnected = false;
  private isCutting = false;
  private isOver = false;
  private token: string | undefined;
  private heardMs: number;
  private readonly settleOver: () => void;

  constructor(plan: ReaderPlan, parts: ReaderParts) {
    this.plan = plan;
    this.parts = parts;
    this.sequence = new Sequence(plan.script.events);
    this.cuts = [...plan.cuts];
    this.heardMs = parts.log.nowMs();
    const over = Promise.withResolvers<void>();
    this.over = over.promise;
    this.settleOver = over.resolve;
    this.source = new EventSource(plan.startUrl, { fetch: (_, init) => this.fetch(init) });
    for (const name of plan.dialect.eventNames) {
      this.source.addEventListener(name, (event) => this.takeEvent(name, event));
    }
    this.source.addEventListener("open", () => {
      this.isConnected = true;
      this.planCut();
    });
    this.source.addEventListener("resume", ({ data }) => this.takeToken(data));
    this.source.addEventListener("gap", ({ data }) => this.takeGap(data));
    this.source.addEventListener("rewind", () => this.fail("told to rewind", "stream_broken"));
    this.source.addEventListener("end", ({ data }) => this.takeEnd(textOf(data, "status") ?? "unknown"));
    this.source.addEventListener("error", ({ code, message }) => this.takeError(code, message));
  }

  get eventsPerSec(): number {
    return this.plan.script.rate;
  }

  /** Gives up a stream of which nothing is heard; one that waits for a resume's answer is judged as that. */
  checkSilence(limitMs: number): void {
    if (this.awaited !== undefined || this.parts.log.nowMs() - this.heardMs <= limitMs) return;
    this.fail("silent", "stream_silent");
  }

  /** Leaves for ever, without a word to the log. */
  close(): void {
    this.isOver = true;
    for (const timer of this.cutTimers) clearTimeout(timer);
    this.source.close();
    this.connection?.break();
    this.settleOver();
  }

  private async fetch({ headers, signal }: EventSourceFetchInit): Promise<FetchLikeResponse> {
    const { plan, token } = this;
    const { log } = this.parts;
    const isResume = this.hasStarted;
    log.add((atMs) => ({ kind: isResume ? "resume_requested" : "start_requested", atMs }));
    const { awaited } = this;
    if (awaited !== undefined && !awaited.isSent) {
      awaited.isSent = true;
      log.add((atMs) => ({ kind: "resume_sent", atMs, resume: awaited.resume }));
    }
    this.connection = sendBreakable({
      url: isResume ? plan.resumeUrl : plan.startUrl,
      method: isResume ? "GET" : "POST",
      headers: { ...plan.headers, ...headers, ...(token === undefined ? {} : { "X-Resume-Token": token }) },
      // EventSource makes one for each request.
      signal: signal as AbortSignal,
    });
    const response = await this.connection.response.catch((error: unknown) => {
      if (!this.isOver) this.addError("connection_failed");
      throw error;
    });
    this.heardMs = log.nowMs();
    this.token = response.headers.get("x-resume-token") ?? this.token;
    if (response.status === NOTHING_LEFT) this.takeNothingLeft(response.headers.get("x-spillway-end"));
    if (response.status === 200 && !isResume) {
      this.hasStarted = true;
      log.add((atMs) => ({ kind: "stream_started", atMs }));
    }
    return response;
  }

  private takeEvent(
    name: string,
    { data, lastEventId }: { readonly data: unknown; readonly lastEventId: string },
  ): void {
    if (this.isOver) return;
    this.markAnswered();
    const { dialect, script } = this.plan;
    const fault = this.sequence.take(dialect.numberOf(name, String(data), script), lastEventId);
    if (fault !== undefined) return this.failBy(fault);
    this.parts.log.countEvent();
    this.planCut();
  }

  private takeToken(data: unknown): void {
    const token = textOf(data, "token");
    if (token === undefined) this.failUnread("a resume event without a token");
    else this.token = token;
  }

  private takeGap(data: unknown): void {
    if (this.isOver) return;
    this.markAnswered();
    const missing = countIn(data, "dropped");
    if (missing === undefined) return this.failUnread("a gap that does not say how many are missing");
    this.parts.log.add((atMs) => ({ kind: "gap", atMs, missing }));
    this.failBy({ kind: "gap_told", missing });
  }

  private takeEnd(status: string): void {
    if (this.isOver) return;
    this.markAnswered();
    const fault = this.sequence.end(status);
    if (fault === undefined) this.settle(undefined);
    else this.failBy(fault);
  }

  /** The protocol's word to a reader that has everything but the outcome. */
  private takeNothingLeft(outcome: string | null): void {
    this.takeEnd(outcome === "completed" ? "complete" : (outcome ?? "unknown"));
  }

  private takeError(code: number | undefined, message: string | undefined): void {
    if (this.isOver) return;
    const isLost = this.isConnected && !this.isCutting;
    this.isConnected = false;
    this.isCutting = false;
    if (this.source.readyState === this.source.CLOSED) {
      const kind = this.hasStarted ? "resume_refused" : "start_refused";
      this.addError(kind);
      this.settle(`${this.hasStarted ? "resume" : "start"} answered ${code ?? message ?? "nothing"}`);
    } else if (!this.hasStarted || this.token === undefined) {
      // Only who has a token can come back. What broke is an error already.
      this.settle(`never began: ${message ?? "connection failed"}`);
    } else if (isLost) {
      this.addError("connection_lost");
      this.beginResume(false);
    }
  }

  private planCut(): void {
    const next = this.cuts[0];
    if (next === undefined || this.sequence.received < next.afterEvents) return;
    this.cuts.shift();
    const timer = setTimeout(() => {
      this.cutTimers.delete(timer);
      this.cut();
    }, next.delayMs);
    this.cutTimers.add(timer);
  }

  private cut(): void {
    if (this.isOver || !this.isConnected || this.token === undefined) return;
    this.isCutting = true;
    this.beginResume(true);
    this.connection?.break();
  }

  private beginResume(isPlanned: boolean): void {
    // One that broke before anything came of it goes on as the same.
    if (this.awaited !== undefined) return;
    const resume = this.parts.nextResume();
    this.resumes.push(resume);
    this.awaited = { resume, isSent: false };
    this.parts.log.add((atMs) => ({ kind: "cut", atMs, resume, isPlanned }));
  }

  private markAnswered(): void {
    this.heardMs = this.parts.log.nowMs();
    const { awaited } = this;
    if (awaited === undefined || !awaited.isSent) return;
    this.awaited = undefined;
    this.parts.log.add((atMs) => ({ kind: "resume_answered", atMs, resume: awaited.resume }));
  }

  private failBy(fault: SequenceFault): void {
    // A gap is told, and judged as what was trimmed.
    this.fail(faultText(fault), fault.kind === "gap_told" ? undefined : "stream_broken");
  }

  private fail(reason: string, error: ErrorKind | undefined): void {
    if (this.isOver) return;
    if (error !== undefined && this.resumes.length === 0) this.addError(error);
    this.settle(reason);
  }

  /** What nobody can read hides what a rule would have said: the run cannot pass any more. */
  private failUnread(what: string): void {
    if (this.isOver) return;
    this.parts.log.add((atMs) => ({ kind: "unreadable", atMs, what }));
    this.addError("control_unreadable");
    this.settle(what);
  }

  private addError(error: ErrorKind): void {
    this.parts.log.add((atMs) => ({ kind: "error", atMs, error }));
  }

  /** @param reason why it is not whole; `undefined` where it is */
  private settle(reason: string | undefined): void {
    const { log } = this.parts;
    const isSuccess = reason === undefined;
    for (const resume of this.resumes) log.add((atMs) => ({ kind: "resume_settled", atMs, resume, isSuccess }));
    if (reason === undefined) log.add((atMs) => ({ kind: "stream_completed", atMs }));
    else log.add((atMs) => ({ kind: "stream_failed", atMs, reason }));
    this.close();
  }
}

/** A count of a control event: a whole number, or nothing. */
export function countIn(data: unknown, name: string): number | undefined {
  const text = textOf(data, name);
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

/** A member of a control event's JSON. */
function textOf(data: unknown, name: string): string | undefined {
  try {
    const parsed: unknown = JSON.parse(String(data));
    if (typeof parsed !== "object" || parsed === null) return undefined;
    const value: unknown = Object.entries(parsed).find(([key]) => key === name)?.[1];
    return typeof value === "string" || typeof value === "number" ? String(value) : undefined;
  } catch {
    // A control event that is no JSON says nothing.
    return undefined;
  }
}
