/**
 * Shapes of the events just read, so that the next one need not be scanned as long as only its spans
 * differ. In a run of deltas that is nearly every event, and several times as fast as walking it.
 *
 * Invariant: what is answered is what walking would have answered. All text between the spans is equal,
 * so a walk would stand in the same place before each of them, and its end is found by the same scan.
 */
import type { Grammar } from "./grammar.ts";
import { endOfString, endOfValue, MALFORMED, OPEN_BRACE, OPEN_BRACKET } from "./json-scan.ts";
import type { Cut, Part, Shape } from "./shape.ts";

/** Several choices and tool calls may take turns. */
const KNOWN_MAX = 4;

/** All text of an event but its spans. */
interface Template {
  readonly shape: Shape;
  readonly pieces: readonly string[];
  /** One fewer than pieces, in order. */
  readonly cuts: readonly Cut[];
}

/** For one call of fold: templates hold on to the text they were made from. */
export function rememberingShapes(grammar: Grammar): Grammar {
  if (!grammar.isJson) return grammar;
  const known: Template[] = [];
  return {
    isJson: true,
    shapeOf(data) {
      for (const template of known) {
        const shape = shapeLike(template, data);
        if (shape !== undefined) return shape;
      }
      const walked = grammar.shapeOf(data);
      if (walked === undefined) return undefined;
      const shape = { ...walked, skeleton: {} };
      known.unshift(templateOf(data, shape));
      if (known.length > KNOWN_MAX) known.pop();
      return shape;
    },
  };
}

function templateOf(data: string, shape: Shape): Template {
  const outer = shape.outer.cuts.filter((cut) => cut !== shape.hole);
  const cuts = [...outer, ...shape.elements.flatMap((part) => part.cuts)].sort((a, b) => a.start - b.start);
  const pieces: string[] = [];
  let from = 0;
  for (const { start, end } of cuts) {
    pieces.push(data.slice(from, start));
    from = end;
  }
  return { shape, cuts, pieces: [...pieces, data.slice(from)] };
}

function shapeLike(template: Template, data: string): Shape | undefined {
  const cuts: Cut[] = [];
  let from = 0;
  let at = 0;
  for (const piece of template.pieces) {
    // Comparing slices takes half as long as startsWith does.
    if (data.slice(from, from + piece.length) !== piece) return undefined;
    const start = from + piece.length;
    const known = template.cuts[at++];
    if (known === undefined) return start === data.length ? shapeWith(template, cuts, data.length) : undefined;
    const end = endOfSpan(data, start, known);
    if (end < start) return undefined;
    cuts.push({ start, end, appends: known.appends });
    from = end;
  }
  return undefined;
}

function endOfSpan(data: string, start: number, { appends }: Cut): number {
  if (appends) return endOfString(data, start - 1) - 1;
  const first = data.charCodeAt(start);
  // Paths may lead on into an object or array: that is for walking to find out.
  return first === OPEN_BRACE || first === OPEN_BRACKET ? MALFORMED : endOfValue(data, start, 0);
}

/** The known shape, each part and span moved to where it is now. */
function shapeWith({ shape, cuts: known }: Template, cuts: readonly Cut[], length: number): Shape {
  let next = 0;
  let moved = 0;
  const partLike = (part: Part): Part => {
    const start = part.start + moved;
    const own: Cut[] = [];
    for (; own.length < part.cuts.length; next++) {
      const cut = cuts[next];
      if (cut === undefined) break;
      own.push(cut);
      moved = cut.end - (known[next]?.end ?? 0);
    }
    return { key: part.key, start, end: part.end + moved, cuts: own };
  };
  const outerCuts: Cut[] = [];
  let hole = shape.hole;
  const elements: Part[] = [];
  for (const cut of shape.outer.cuts) {
    if (cut === shape.hole) {
      const start = cut.start + moved;
      for (const element of shape.elements) elements.push(partLike(element));
      hole = { start, end: cut.end + moved, appends: false };
      outerCuts.push(hole);
    } else {
      const own = cuts[next];
      if (own !== undefined) outerCuts.push(own);
      moved = (own?.end ?? 0) - (known[next]?.end ?? 0);
      next++;
    }
  }
  return { ...shape, outer: { key: "", start: 0, end: length, cuts: outerCuts }, hole, elements };
}
