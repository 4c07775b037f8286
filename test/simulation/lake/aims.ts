/**
 * What some seeds aim at: one fault that strikes what is in one state, whenever that comes about. Chance
 * alone seldom brings the short ones together. What is drawn here is apart from the seed's other draws.
 */
import { Random } from "../random.ts";
import { CALL_FAULTS, CALL_LABELS, canBeThrottled, PROCESS_FAULTS, SHARD_PHASES, TABLE_PHASES } from "./lake-phases.ts";

const AIMED_EVERY = 3;
const STRIKES_MAX = 3;
/** Not the first: what is struck at every chance comes no further. */
const STRIKE_CHANCE = 0.5;
const AIM_SEED = 0x5eed * 2 ** 32;

/** Those that have no call under way last long enough. */
const LASTING = new Set(["shard: empty", "shard: holding events", "shard: batch sealed"]);
const LASTING_OF_TABLE = new Set(["table: nothing to do", "table: files staged", "table: commit has its number"]);
const COMMON_CALLS = new Set(["append", "stage", "put data file", "get hint", "head metadata", "get metadata"]);

const AIMED_PHASES = [...SHARD_PHASES, ...TABLE_PHASES].filter(
  (phase) => !LASTING.has(phase) && !LASTING_OF_TABLE.has(phase),
);
const AIMED_CALLS = CALL_LABELS.filter((label) => !COMMON_CALLS.has(label));
const stateOf = (label: string) => `call: ${label}`;

/** States that seeds are aimed at. */
export const AIMED_STATES: ReadonlySet<string> = new Set([...AIMED_PHASES, ...AIMED_CALLS.map(stateOf)]);

interface Cell {
  readonly state: string;
  readonly fault: string;
}

const CELLS: readonly Cell[] = [
  ...AIMED_PHASES.flatMap((state) => PROCESS_FAULTS.map((fault) => ({ state, fault }))),
  ...AIMED_CALLS.flatMap((label) =>
    CALL_FAULTS.filter((fault) => fault !== "throttled" || canBeThrottled(label)).map((fault) => ({
      state: stateOf(label),
      fault,
    })),
  ),
];

/** What brings a state about, and how much more often it is to happen. */
type Means = Partial<Record<"damage" | "reset" | "recovery" | "expire" | "flush", number>>;
const MEANS: readonly (readonly [part: string, means: Means])[] = [
  ["dead letters", { damage: 25, flush: 4 }],
  ["withdraw", { reset: 12 }],
  ["reset", { reset: 6 }],
  ["compact", { recovery: 12, flush: 3 }],
  ["get data file", { recovery: 12, flush: 3 }],
  ["sweeping", { expire: 4 }],
  ["list", { expire: 4 }],
  ["delete", { expire: 4 }],
  ["head manifest", { expire: 4 }],
  ["table: ", { flush: 6 }],
];
/** A file is looked at where it was there already: its writer has not heard of it. */
const LOOKED_AT = new Set(["shard: looking at a file that is there", "call: head data file"]);
const UNHEARD_CHANCE = 0.3;

export class Aim {
  readonly cell: Cell;
  private readonly random: Random;
  private left = STRIKES_MAX;

  /** @returns `undefined` for a seed that aims at nothing */
  static of(seed: number): Aim | undefined {
    return seed % AIMED_EVERY === 2 ? new Aim(seed) : undefined;
  }

  private constructor(seed: number) {
    this.random = new Random(AIM_SEED + seed);
    this.cell = this.random.pick(CELLS);
  }

  /** Whether the fault strikes now, where something is in this state. */
  strikes(fault: string, state: string): boolean {
    const { cell, random } = this;
    if (this.left === 0 || cell.fault !== fault || cell.state !== state || !random.chance(STRIKE_CHANCE)) return false;
    this.left--;
    return true;
  }

  /** For states that cost something to tell. */
  isAfter(...faults: readonly string[]): boolean {
    return this.left > 0 && faults.includes(this.cell.fault);
  }

  /** What is to happen more often than elsewhere. */
  get means(): Means {
    return MEANS.find(([part]) => this.cell.state.includes(part))?.[1] ?? {};
  }

  /** Whether the answer of a data file's put is lost, so that the file is looked at later. */
  loses(state: string): boolean {
    const isWanted = this.left > 0 && state === "call: put data file" && LOOKED_AT.has(this.cell.state);
    return isWanted && this.random.chance(UNHEARD_CHANCE);
  }

  get needsRestCatalog(): boolean {
    return this.cell.state === "call: load table" || this.cell.state === "call: commit table";
  }

  /** Faults stop. */
  end(): void {
    this.left = 0;
  }
}
