/**
 * Holds a snapshot against the model: all that the stream holds, as few events as it can be, and a gap for
 * everything that is missing.
 *
 * It is made while the stream goes on: what is in it must have been retained since its reader came.
 */
import { SEGMENT_MAX_BYTES } from "../../protocol/limits.ts";
import { areAdjoining, foldFault, trimmedData, type Content } from "./appends.ts";
import type { Coverage } from "./coverage.ts";
import type { Frame } from "./frame-reader.ts";
import { checkGap } from "./gap-check.ts";
import type { ModelEvent, StreamModel } from "./model.ts";
import { fail } from "./violation.ts";

type Json = Readonly<Record<string, unknown>>;

/** Well within what a fold may take, whatever its frame adds. */
const SURELY_FOLDED_BYTES = SEGMENT_MAX_BYTES - 1024;
const MEMBERS = ["id", "event", "trimmed", "data"];

export class SnapshotCheck {
  /** The newest event when the reader came. */
  private readonly throughSeq: number;
  private readonly retainedAtStart: ReadonlySet<number>;
  private readonly trimmedAtStart: ReadonlySet<number>;
  private readonly replacementsAtStart: number;
  /** What is not committed is not folded into what comes before it. */
  private readonly durableSeqAtStart: number;
  /** Its place lay within what became one event meanwhile: the rest of that stands by itself. */
  isOvertaken = false;
  private nextSeq = 1;
  private missing = 0;

  private readonly model: StreamModel;
  private readonly coverage: Coverage;

  constructor(model: StreamModel, coverage: Coverage) {
    this.model = model;
    this.coverage = coverage;
    this.throughSeq = model.lastSeq;
    this.retainedAtStart = new Set(model.retained.events.keys());
    this.trimmedAtStart = new Set(model.retained.trimmedSeqs);
    this.replacementsAtStart = model.replacements;
    this.durableSeqAtStart = model.durableSeq;
  }

  /** Whether half of something that is being sent may be gone. */
  get mayHaveLostEvents(): boolean {
    const { retained } = this.model;
    for (const seq of this.retainedAtStart) {
      const isTrimmed = retained.trimmedSeqs.has(seq) && !this.trimmedAtStart.has(seq);
      if (!retained.has(seq) || isTrimmed) return true;
    }
    return false;
  }

  /** @returns the next event that its reader has not got */
  take(frame: Frame): number {
    const { model, coverage } = this;
    const { events, through, missing } = parse(frame.data ?? "");
    if (!Array.isArray(events)) fail("protocol", "a snapshot without events");
    let before: Content | undefined;
    for (const entry of events.map(objectOf)) {
      if (entry["gap"] !== undefined) {
        before = undefined;
        this.passGap(objectOf(entry["gap"]));
        continue;
      }
      const content = this.takeEntry(entry);
      const isTrimmed = entry["trimmed"] === true;
      const isCommitted = this.nextSeq - 1 <= this.durableSeqAtStart;
      if (before !== undefined && isCommitted && !isTrimmed && !this.isOvertaken) this.requireFolded(before, content);
      before = isTrimmed ? undefined : content;
    }
    const lastSeq = this.nextSeq - 1;
    if (through !== model.idOf(lastSeq) || frame.id !== through || lastSeq < this.throughSeq) {
      fail("B2", `a snapshot through ${String(through)} (id ${String(frame.id)}), events came through ${lastSeq}`);
    }
    if (missing !== this.missing) fail("B2", `a snapshot says ${String(missing)} are missing, of ${this.missing}`);
    coverage.note("snapshot");
    if (this.missing > 0) coverage.note("snapshot: with gap");
    if (model.replacements > this.replacementsAtStart) coverage.note("snapshot: while the buffer gave way");
    if (lastSeq > this.throughSeq) coverage.note("snapshot: beyond its beginning");
    return this.nextSeq;
  }

  private passGap(gap: Json): void {
    const { model, coverage } = this;
    const lastSeq = checkGap(gap, this.nextSeq, { model, coverage });
    this.missing += lastSeq - this.nextSeq + 1;
    this.nextSeq = lastSeq + 1;
  }

  private takeEntry(entry: Json): Content {
    const { model, coverage } = this;
    const id = String(entry["id"]);
    const firstSeq = this.nextSeq;
    const lastSeq = Number(id.split("-")[1]);
    if (!(lastSeq >= firstSeq && lastSeq <= model.lastSeq) || model.idOf(lastSeq) !== id) {
      fail("B1", `a snapshot goes on with ${id} at ${firstSeq}`);
    }
    const unknown = Object.keys(entry).find((name) => !MEMBERS.includes(name));
    if (unknown !== undefined) fail("protocol", `a snapshot lists ${unknown}`);
    this.nextSeq = lastSeq + 1;
    const sources = model.events.slice(firstSeq - 1, lastSeq);
    for (const { seq } of sources) this.requireHeld(seq);
    const { event, data } = entry;
    if (typeof data !== "string" || (event !== undefined && typeof event !== "string")) {
      fail("protocol", `${id} in a snapshot has no data, or a name that is no text`);
    }
    const content: Content = { event, data, retry: undefined };
    const isTrimmed = entry["trimmed"] === true;
    const [source] = sources;
    if (sources.length === 1 && source !== undefined) {
      this.checkSingle(source, content, isTrimmed);
    } else {
      const { fold } = model.policy;
      const fault = fold === undefined || isTrimmed ? "it must not be" : foldFault(fold, sources, content);
      if (fault !== undefined) fail("B2", `${id} in a snapshot does not stand for ${firstSeq}..${lastSeq}: ${fault}`);
      coverage.note("snapshot: fold");
      model.noteGivenAsOne(firstSeq, lastSeq);
    }
    // A snapshot does not say it, and it keeps an event from being folded.
    return { ...content, retry: source?.retry };
  }

  private requireHeld(seq: number): void {
    const wasHeld = seq > this.throughSeq ? !this.model.sampledSeqs.has(seq) : this.retainedAtStart.has(seq);
    if (!wasHeld) fail("B4", `event ${seq} is in a snapshot, and had given way before`);
  }

  private checkSingle(source: ModelEvent, content: Content, isTrimmed: boolean): void {
    const { model, coverage } = this;
    const wasTrimmed = this.trimmedAtStart.has(source.seq);
    const isKnown = isTrimmed ? model.retained.trimmedSeqs.has(source.seq) : !wasTrimmed;
    if (!isKnown) fail("B2", `event ${source.seq} is ${isTrimmed ? "" : "not "}marked as trimmed in a snapshot`);
    const data = isTrimmed ? trimmedData(source.data, model.policy.trimPaths) : source.data;
    if (content.event !== source.event || content.data !== data) {
      fail("B2", `event ${source.id} came with another content in a snapshot`);
    }
    if (isTrimmed) coverage.note("snapshot: trimmed event");
    if (source.bytes > SEGMENT_MAX_BYTES) coverage.note("snapshot: large event");
  }

  private requireFolded(before: Content, content: Content): void {
    const { fold } = this.model.policy;
    if (fold === undefined || before.data.length + content.data.length > SURELY_FOLDED_BYTES / 4) return;
    // What would come to look like the end is left as it is.
    const mayLookDone = fold === "text" && (before.data.slice(-5) + content.data.slice(0, 5)).includes("[DONE]");
    if (!mayLookDone && areAdjoining(fold, before, content)) {
      fail("B2", `a snapshot has not folded ${before.data.slice(0, 100)} and ${content.data.slice(0, 100)}`);
    }
  }
}

function parse(data: string): Json {
  try {
    return objectOf(JSON.parse(data));
  } catch {
    // Said here like any other nonsense.
    fail("protocol", `a snapshot says ${data.slice(0, 80)}`);
  }
}

function objectOf(value: unknown): Json {
  return typeof value === "object" && value !== null ? { ...value } : {};
}
