/**
 * Holds what one reader is sent against the model: every frame, in order, and how it ends.
 *
 * B1 ids strictly increasing, contiguous but for announced gaps.
 * B2 exactly the events after the position, or a gap that names what is really gone; never silent.
 * B8 no end without the whole tail, and none before the outcome may be told.
 */
import type { ReadMode } from "../../protocol/control-events.ts";
import { SEGMENT_MAX_BYTES } from "../../protocol/limits.ts";
import type { ReaderRemovalReason } from "../../protocol/telemetry.ts";
import type { Coverage } from "./coverage.ts";
import type { Frame } from "./frame-reader.ts";
import { checkGap } from "./gap-check.ts";
import type { ModelEvent, StreamModel } from "./model.ts";
import type { ModelFrame } from "./retention.ts";
import { SnapshotCheck } from "./snapshot-check.ts";
import { fail } from "./violation.ts";

/** What the model says a reader must be given, when it is let in. */
export interface Welcome {
  readonly hasControlEvents: boolean;
  readonly mode: ReadMode;
  /** Without control events: what is missing of the replay is passed over without a word. */
  readonly acceptsGap: boolean;
  /** First event it is to get. */
  readonly startSeq: number;
  readonly rewind: { readonly client: string; readonly durable: string } | undefined;
  readonly token: string | undefined;
  /** Whether the reader comes back. */
  readonly isResumed: boolean;
  readonly requestId: string;
}

export interface CheckFacts {
  readonly model: StreamModel;
  readonly coverage: Coverage;
  isDegraded(): boolean;
}

type NoticeKind = "resume" | "degraded";

const CONTROL_EVENTS = new Set(["resume", "gap", "rewind", "degraded", "end"]);

export class ReaderCheck {
  /** The next event this reader needs. */
  nextSeq: number;
  isEnded = false;
  /** Until the object has said whether it lets the reader in. */
  isAttaching = true;
  /** Frames that must come before the next event. */
  private readonly dueNotices = new Set<NoticeKind>();
  private dueAfterFrame: NoticeKind[] = [];
  token: string | undefined;
  private head: ((frame: Frame) => void)[] | undefined;
  private isFarewellSaid = false;
  /** Until the snapshot has come whole. */
  private snapshot: SnapshotCheck | undefined;
  private readonly replayThroughSeq: number;

  private readonly facts: CheckFacts;
  private readonly welcome: Welcome;

  constructor(facts: CheckFacts, welcome: Welcome) {
    this.facts = facts;
    this.welcome = welcome;
    this.nextSeq = welcome.startSeq;
    this.token = welcome.token;
    this.replayThroughSeq = facts.model.lastSeq;
    if (welcome.mode === "snapshot") this.snapshot = new SnapshotCheck(facts.model, facts.coverage);
  }

  get isFollowing(): boolean {
    return this.welcome.mode !== "replay";
  }

  noteOvertaken(): void {
    if (this.snapshot !== undefined) this.snapshot.isOvertaken = true;
  }

  get isAwaitingSnapshot(): boolean {
    return this.snapshot !== undefined;
  }

  /** The last event this reader must be sent as things stand. */
  get wantedSeq(): number {
    return this.isFollowing ? this.facts.model.lastSeq : this.replayThroughSeq;
  }

  /** A notice is due: before the next event, or the one after where half of that is on its way. */
  expectNotice(kind: NoticeKind, isMidFrame: boolean): void {
    if (!this.welcome.hasControlEvents) return;
    if (isMidFrame || this.snapshot !== undefined) this.dueAfterFrame.push(kind);
    else this.dueNotices.add(kind);
  }

  /** Goes past what its reader has said it can do without. */
  passHoles(): void {
    if (this.welcome.hasControlEvents || !this.welcome.acceptsGap) return;
    const { retained, liveOnly } = this.facts.model;
    while (this.nextSeq <= this.replayThroughSeq && !retained.has(this.nextSeq) && !liveOnly.has(this.nextSeq)) {
      this.facts.coverage.note("hole passed over");
      this.nextSeq++;
    }
  }

  take(frame: Frame): void {
    if (this.isEnded) fail("protocol", "a frame after the end");
    if (this.isFarewellSaid) fail("protocol", "a frame after the farewell");
    this.head ??= this.expectedHead();
    const expected = this.head.shift();
    if (expected !== undefined) return expected(frame);
    this.passHoles();
    this.takeBody(frame);
    this.checkPosition(frame);
  }

  /** The server closed cleanly. */
  takeClose(reason: ReaderRemovalReason | undefined, isMidFrame: boolean): void {
    const { model } = this.facts;
    this.passHoles();
    const hasReplay = this.nextSeq > this.replayThroughSeq;
    if (isMidFrame) fail("B2", "a clean close in the middle of an event");
    if (this.isFarewellSaid && reason !== undefined) {
      if (reason !== "evicted" && reason !== "max_age") fail("protocol", `sent away for ${reason}`);
      // A clean close tells others that this was all.
      const mayClose = this.isFollowing && this.welcome.hasControlEvents;
      if (!mayClose) fail("B2", `sent away by a clean close at ${this.nextSeq - 1}`);
      return;
    }
    if (reason !== undefined) fail("B2", `a clean close without a word, for ${reason}`);
    if (this.isEnded) return;
    const isReplayOver = !this.isFollowing && hasReplay && !(model.isFinished && this.hasAll());
    const isComplete =
      !this.welcome.hasControlEvents && model.state === "completed" && this.hasAll() && model.isEndAnnounced;
    const isRetryTold = this.isFarewellSaid === (model.trailingRetry !== undefined);
    if (isComplete && !isReplayOver && !isRetryTold) fail("B2", "the source's last reconnection time is not told");
    if (!isReplayOver && !isComplete)
      fail("B2", `a clean close at ${this.nextSeq - 1} of ${model.lastSeq} (${model.state})`);
    this.facts.coverage.note(isReplayOver ? "replay over" : "closed: complete");
  }

  /**
   * The server breaks the connection once everything is taken: a stream's end that was not complete, or
   * a farewell to a reader whom a clean close would tell that this was all.
   */
  takeBreakOff(reason: ReaderRemovalReason | undefined, isMidFrame: boolean): void {
    const { model, coverage } = this.facts;
    this.passHoles();
    if (this.isFarewellSaid && (reason === "evicted" || reason === "max_age")) {
      const mayClose = this.isFollowing && this.welcome.hasControlEvents;
      if (mayClose || isMidFrame) fail("B2", `sent away by a broken connection at ${this.nextSeq - 1}`);
      return coverage.note("broken off: sent away");
    }
    const mayEnd =
      !this.welcome.hasControlEvents && model.isFinished && model.state !== "completed" && model.isEndAnnounced;
    if (!mayEnd || isMidFrame || reason !== undefined)
      fail("B2", `broken off at ${this.nextSeq - 1} of a ${model.state} stream`);
    if (!this.hasAll()) fail("B8", `a finished stream was broken off at ${this.nextSeq - 1} of ${model.lastSeq}`);
    coverage.note("broken off: not complete");
  }

  /** The server cut the connection, and what was queued is dropped. */
  takeCut(reason: ReaderRemovalReason | undefined, isMidFrame: boolean): void {
    const { model, coverage } = this.facts;
    // Half an event that is gone cannot be passed over.
    if (!isMidFrame) this.passHoles();
    if (reason === undefined)
      fail("B2", `cut for no reason, at ${this.nextSeq - 1} of ${model.lastSeq} (${model.state})`);
    if (reason === "fell_behind") {
      this.requireNotOnItsWay(this.nextSeq);
      if (!this.hasLostNext(isMidFrame)) fail("B2", `cut as fallen behind at ${this.nextSeq}, which is retained`);
      if (this.welcome.hasControlEvents && !isMidFrame) fail("B2", "cut where a gap could have been told");
      coverage.note(isMidFrame ? "cut mid-event" : "cut: fell behind");
    }
  }

  /** Whether there is a reason to cut: what comes next is gone, or half of it was sent and is another now. */
  private hasLostNext(isMidFrame: boolean): boolean {
    const { retained, lastSeq } = this.facts.model;
    if (this.snapshot !== undefined) return isMidFrame && this.snapshot.mayHaveLostEvents;
    if (isMidFrame && retained.trimmedSeqs.has(this.nextSeq)) {
      this.facts.coverage.note("cut mid-event: trimmed meanwhile");
      return true;
    }
    return !retained.has(this.nextSeq) && this.nextSeq <= lastSeq;
  }

  private hasAll(): boolean {
    return this.nextSeq === this.facts.model.lastSeq + 1;
  }

  /** B2: what opens every connection. The head comes in one piece, so the state is the sender's own. */
  private expectedHead(): ((frame: Frame) => void)[] {
    const { hasControlEvents, rewind, token } = this.welcome;
    const position = rewind === undefined ? this.facts.model.idOf(this.nextSeq - 1) : undefined;
    const head: ((frame: Frame) => void)[] = [
      (frame) => {
        if (!frame.isComment) fail("protocol", "a connection opens with a comment");
      },
      (frame) => {
        if (frame.id !== position || frame.retry === undefined || frame.data !== undefined) {
          fail("B2", `primed with ${String(frame.id)}, not ${String(position)}`);
        }
      },
    ];
    if (!hasControlEvents) return head;
    if (token !== undefined) head.push((frame) => this.takeControl(frame, "resume"));
    if (rewind !== undefined) {
      head.push((frame) => {
        const told = this.takeControl(frame, "rewind");
        if (told["client"] !== rewind.client || told["durable"] !== rewind.durable) {
          fail("B2", `rewound from ${String(told["client"])} to ${String(told["durable"])}, not ${rewind.durable}`);
        }
        this.facts.coverage.note("rewind");
      });
    }
    if (this.facts.isDegraded()) head.push((frame) => this.takeControl(frame, "degraded"));
    return head;
  }

  private takeBody(frame: Frame): void {
    const { coverage } = this.facts;
    if (frame.data === undefined) {
      if (frame.isComment) return coverage.note("heartbeat");
      if (frame.id !== undefined || frame.retry === undefined) fail("protocol", "an empty frame");
      this.isFarewellSaid = true;
      return coverage.note("farewell");
    }
    if (this.snapshot !== undefined) return this.takeSnapshot(this.snapshot, frame);
    const isControl = this.welcome.hasControlEvents && CONTROL_EVENTS.has(frame.event ?? "");
    if (!isControl) return this.takeEvent(frame);
    switch (frame.event) {
      case "gap":
        return this.takeGap(frame);
      case "end":
        return this.takeEnd(frame);
      case "resume":
      case "degraded":
        this.takeControl(frame, frame.event);
        this.dueNotices.delete(frame.event);
        return coverage.note(`notice: ${frame.event}`);
      case undefined:
      default:
        fail("protocol", `${String(frame.event)} in the middle of a stream`);
    }
  }

  private takeEvent(frame: Frame): void {
    const { model } = this.facts;
    const live = model.liveOnly.get(this.nextSeq);
    const known = model.retained.frameOf(this.nextSeq);
    const lastSeq = known?.lastSeq ?? this.nextSeq;
    if (lastSeq > model.lastSeq || frame.id !== model.idOf(lastSeq)) {
      fail("B1", `got ${String(frame.id)}, expected ${this.describeNext()}`);
    }
    if (live === undefined) model.retained.checkContent(frame, this.nextSeq);
    else checkLive(frame, live);
    this.requireNotices(frame);
    this.noteFrameEnd();
    this.noteEvent(known);
    model.noteGivenAsOne(this.nextSeq, lastSeq);
    this.nextSeq = lastSeq + 1;
  }

  private noteEvent(known: ModelFrame | undefined): void {
    const { model, coverage } = this.facts;
    if (known === undefined) return coverage.note("event: not kept");
    const { firstSeq, lastSeq, isFromRestart } = known;
    if (known.isTrimmed) coverage.note("event: trimmed");
    if (known.encoding.endsWith("deflate")) coverage.note("event: deflated");
    if (firstSeq === lastSeq) {
      const bytes = model.events[firstSeq - 1]?.bytes ?? 0;
      return coverage.note(bytes > SEGMENT_MAX_BYTES ? "event in slices" : "event");
    }
    const isRest = this.nextSeq > firstSeq;
    coverage.note(isRest ? "fold: the rest" : "fold");
    if (isRest && known.encoding.endsWith("deflate")) coverage.note("fold: the rest, deflated");
    if (isRest && isFromRestart) coverage.note("fold: the rest, after a restart");
  }

  private takeSnapshot(snapshot: SnapshotCheck, frame: Frame): void {
    if (frame.event !== "snapshot") fail("protocol", `got ${String(frame.event)} where a snapshot is due`);
    this.nextSeq = snapshot.take(frame);
    this.snapshot = undefined;
    this.noteFrameEnd();
  }

  /** Notices that had to wait have their place now. */
  private noteFrameEnd(): void {
    for (const kind of this.dueAfterFrame) this.dueNotices.add(kind);
    this.dueAfterFrame = [];
  }

  private takeGap(frame: Frame): void {
    this.requireNotices(frame);
    const gap = this.takeControl(frame, "gap");
    if (frame.id !== gap["to"]) fail("B2", `a gap under id ${String(frame.id)}`);
    const lastSeq = checkGap(gap, this.nextSeq, this.facts);
    for (let seq = this.nextSeq; seq <= lastSeq; seq++) this.requireNotOnItsWay(seq);
    this.nextSeq = lastSeq + 1;
    this.facts.coverage.note(`gap: ${String(gap["reason"])}`);
  }

  /** Whoever is there gets every event as it came, kept or not. */
  private requireNotOnItsWay(seq: number): void {
    if (this.welcome.mode === "snapshot" || !this.facts.model.liveOnly.has(seq)) return;
    fail("B2", `a reader that is there is not given event ${seq}, which is on its way`);
  }

  private takeEnd(frame: Frame): void {
    const { model, coverage } = this.facts;
    const end = this.takeControl(frame, "end");
    if (!model.isFinished || !model.isEndAnnounced) fail("B8", "told of an end that may not be told yet");
    if (!this.hasAll()) fail("B8", `told of the end at ${this.nextSeq - 1} of ${model.lastSeq}`);
    const status = model.state === "completed" ? "complete" : model.state === "failed" ? "error" : model.state;
    if (end["status"] !== status) fail("B8", `ended as ${String(end["status"])}, the stream is ${model.state}`);
    const lastId = model.idOf(model.lastSeq);
    if (end["last_id"] !== lastId || frame.id !== lastId)
      fail("B8", `ended at ${String(end["last_id"])}, not ${lastId}`);
    if (frame.retry !== model.trailingRetry) fail("B2", `the end tells to retry after ${String(frame.retry)}`);
    this.checkDiagnostics(end["diagnostics"]);
    this.isEnded = true;
    coverage.note(`end: ${status}`);
  }

  private checkDiagnostics(diagnostics: unknown): void {
    const { model } = this.facts;
    // The reader that is just being let in counts itself.
    const own = this.isAttaching && this.welcome.isResumed ? 1 : 0;
    const { given } = model;
    const expected = {
      resumes: model.resumes + own,
      trims: model.lastSeq - model.retained.events.size,
      folded_events: given.folded,
      trimmed_payloads: given.trimmed,
      compressed_segments: given.compressed,
      sampled_events: given.sampled,
    };
    for (const [name, value] of Object.entries(expected)) {
      const told: unknown = typeof diagnostics === "object" && diagnostics !== null && Reflect.get(diagnostics, name);
      if (told !== value) fail("B8", `the end counts ${String(told)} ${name}, there were ${value}`);
    }
  }

  private takeControl(frame: Frame, event: string): Readonly<Record<string, unknown>> {
    if (frame.event !== event) fail("protocol", `got ${frame.event ?? "no name"} where ${event} is due`);
    const hasId = event === "gap" || event === "end";
    if ((frame.id !== undefined) !== hasId) fail("protocol", `${event} with id ${String(frame.id)}`);
    const facts = readPayload(event, frame.data ?? "");
    if (event === "resume" && (facts["token"] !== this.token || facts["request_id"] !== this.welcome.requestId)) {
      fail("protocol", `a resume token that was not issued for this reader`);
    }
    return facts;
  }

  /** Notices come between events, and before anything else that is told. */
  private requireNotices(frame: Frame): void {
    for (const kind of this.dueNotices)
      fail("protocol", `${String(frame.id)} was sent before a ${kind} notice that was due`);
  }

  /** A reader's position is the last id it saw, whatever frame carried it. */
  private checkPosition(frame: Frame): void {
    if (frame.id !== undefined && frame.id !== this.facts.model.idOf(this.nextSeq - 1)) {
      fail("B1", `a reader would take ${frame.id} as its position, and is at ${this.nextSeq - 1}`);
    }
  }

  private describeNext(): string {
    const { model } = this.facts;
    return this.nextSeq <= model.lastSeq ? model.idOf(this.nextSeq) : `nothing after ${model.lastSeq}`;
  }
}

/** It is not kept: who is there gets it as it came. */
function checkLive(frame: Frame, event: ModelEvent): void {
  const isSame = frame.event === event.event && frame.data === event.data && frame.retry === event.retry;
  if (!isSame || frame.isComment) fail("B2", `event ${event.id} came with another content`);
}

function readPayload(event: string, data: string): Readonly<Record<string, unknown>> {
  try {
    const payload: unknown = JSON.parse(data);
    if (typeof payload === "object" && payload !== null) return { ...payload };
  } catch {
    // Not JSON at all: said below like any other nonsense.
  }
  fail("protocol", `${event} says ${data.slice(0, 80)}`);
}
