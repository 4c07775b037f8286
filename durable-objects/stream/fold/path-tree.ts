/**
 * The values of an event that folding and trimming care about, as a tree that a scan walks along.
 * Not for deciding anything: what is found is judged by who walks.
 */

/**
 * What a value at a path is to whoever walks:
 * - `append`: a string that readers append
 * - `latest`: may differ between events; the last one stands
 * - `barrier`: an event that has something here is never folded
 * - `key`: tells the elements of the keyed array apart
 * - `tag`: stays where it is, and is looked at: it says what kind of event this is
 * - `drop`: payload that may be given up, whatever is within
 * - `plain`: part of what must be equal
 */
export type Role = "append" | "latest" | "barrier" | "key" | "tag" | "drop" | "plain";

export interface PathNode {
  readonly role: Role;
  /** Absent where no path leads on through an object. */
  readonly members: ReadonlyMap<string, PathNode> | undefined;
  /** What a member is that no path names; absent where it is of no interest. */
  readonly otherMembers: PathNode | undefined;
  /** Elements that paths name by index; `everyElement` is all the others. */
  readonly elements: ReadonlyMap<number, PathNode> | undefined;
  readonly everyElement: PathNode | undefined;
  /** Whether this is the one array whose elements are told apart by their keys. */
  readonly isKeyed: boolean;
}

interface PathRole {
  readonly steps: readonly (string | number)[];
  readonly role: Role;
}

interface TreeOptions {
  /** The path of the keyed array, if there is one. */
  readonly keyed?: readonly (string | number)[];
  /** Objects whose unnamed members are barriers: what we do not know might append as well. */
  readonly strict?: readonly (readonly (string | number)[])[];
}

const EVERY = "*";

/** What must not be there at all, where everything unknown is refused. */
const BARRIER: PathNode = {
  role: "barrier",
  members: undefined,
  otherMembers: undefined,
  elements: undefined,
  everyElement: undefined,
  isKeyed: false,
};

/** Where two paths name one value, the first one's role counts. */
export function pathTree(paths: readonly PathRole[], options: TreeOptions = {}): PathNode {
  const role = paths.find((path) => path.steps.length === 0)?.role ?? "plain";
  const firsts = [...new Set(paths.flatMap(({ steps }) => steps.slice(0, 1)))];
  const names = firsts.filter((step) => typeof step === "string" && step !== EVERY);
  const indexes = firsts.filter((step) => typeof step === "number");
  const isStrict = options.strict?.some((steps) => steps.length === 0) === true;
  const under = (...steps: readonly (string | number)[]): PathNode =>
    pathTree(following(paths, steps), within(options, steps));
  return {
    role,
    members: names.length > 0 || isStrict ? new Map(names.map((name) => [String(name), under(name)])) : undefined,
    otherMembers: isStrict ? BARRIER : undefined,
    elements: indexes.length > 0 ? new Map(indexes.map((index) => [index, under(index, EVERY)])) : undefined,
    everyElement: firsts.includes(EVERY) ? under(EVERY) : undefined,
    isKeyed: options.keyed?.length === 0,
  };
}

function following(paths: readonly PathRole[], firsts: readonly (string | number)[]): PathRole[] {
  return paths.flatMap(({ steps, role }) => {
    const [first, ...rest] = steps;
    return first !== undefined && firsts.includes(first) ? [{ steps: rest, role }] : [];
  });
}

function within(options: TreeOptions, firsts: readonly (string | number)[]): TreeOptions {
  const inside = (steps: readonly (string | number)[]) => steps[0] !== undefined && firsts.includes(steps[0]);
  return {
    ...(options.keyed !== undefined && inside(options.keyed) ? { keyed: options.keyed.slice(1) } : {}),
    strict: options.strict?.filter(inside).map((steps) => steps.slice(1)) ?? [],
  };
}
