/**
 * The simulated readers: each holds what a client would hold (the ids it has seen), connects,
 * takes bytes at its own pace, and comes back with whatever position it pleases.
 */
import type { AttachRequest } from "../../durable-objects/stream/admission.ts";
import { parseEventId, START_POSITION, type EventId } from "../../protocol/event-id.ts";
import type { Connection } from "./connection.ts";
import type { Random } from "./random.ts";
import { takeChunks } from "./reader-calls.ts";
import type { SimObject } from "./sim-object.ts";

const IDS_KEPT = 60;
/** More chunks than any buffer of the simulation has. */
const ALL_CHUNKS = 10_000;

export class SimReader {
  connection: Connection | undefined;
  pace: "fast" | "slow" | "stalled" = "fast";
  private knownIds: string[] = [];

  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }

  /** What it was sent counts as seen from where it was cut. */
  learn(random: Random, includesQueued: boolean): void {
    if (this.connection === undefined) return;
    this.knownIds = [...this.knownIds, ...this.connection.idsSeen(random, includesQueued)].slice(-IDS_KEPT);
  }

  /** Lets go of a connection that is over. */
  settle(random: Random): void {
    const { connection } = this;
    if (connection === undefined) return;
    if (connection.isOpen || (connection.state === "ending" && connection.queuedNow > 0)) return;
    this.learn(random, false);
    this.connection = undefined;
  }

  take(object: SimObject, random: Random): void {
    const { connection } = this;
    if (connection === undefined || this.pace === "stalled") return;
    if (this.pace === "fast") takeChunks(object, connection, ALL_CHUNKS);
    else if (random.chance(0.3)) takeChunks(object, connection, random.int(1, 2));
  }

  drawAsk(object: SimObject, random: Random): Omit<AttachRequest, "token"> {
    const weights = { own: 35, start: 12, beginning: 10, older: 12, inside: 40, token: 8, never: 4 };
    const choice =
      this.knownIds.length === 0 ? random.weighted({ start: 4, beginning: 2, never: 1 }) : random.weighted(weights);
    return {
      position: this.position(choice, object, random),
      isPositionExplicit: choice !== "start" && choice !== "token",
      mode: random.weighted({ live: 67, replay: 18, snapshot: 15 }),
      acceptGap: random.chance(0.5),
      isResumed: choice !== "start",
    };
  }

  private position(choice: string, object: SimObject, random: Random): EventId {
    const last = this.knownIds.at(-1);
    const inside = choice === "inside" ? this.knownIds.filter((id) => isInsideFold(object, id)) : [];
    if (inside.length > 0) return idOf(random.pick(inside));
    if (choice === "inside" && last !== undefined) return idOf(last);
    if (choice === "own" && last !== undefined) return idOf(last);
    if ((choice === "older" || choice === "token") && last !== undefined) return idOf(random.pick(this.knownIds));
    if (choice === "never") return { epoch: random.int(1, 4), seq: object.model.lastSeq + random.int(1, 5) };
    return START_POSITION;
  }
}

/** Whether the event is folded into a later one. */
function isInsideFold({ model }: SimObject, id: string): boolean {
  const { epoch, seq } = idOf(id);
  const frame = model.retained.frameOf(seq);
  return frame !== undefined && frame.lastSeq > seq && model.idOf(seq) === `${epoch}-${seq}`;
}

function idOf(text: string): EventId {
  const id = parseEventId(text);
  if (id === undefined) throw new Error(`a reader saw ${text}, which is no event id`);
  return id;
}
