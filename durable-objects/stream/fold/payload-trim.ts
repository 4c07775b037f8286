/**
 * Payload trimming: verbose values of an event become `null`, and the frame says so.
 * Everything else stays byte for byte.
 */
import { pathSteps } from "../../../protocol/json-path.ts";
import { readFrame, trimmedFrame } from "../../../protocol/sse-frame.ts";
import { pathTree } from "./path-tree.ts";
import { readShape } from "./shape.ts";

const TRIMMED_VALUE = "null";

/**
 * A frame's text without the verbose values; `undefined` where nothing would be saved, where it was done, or
 * where data is no JSON.
 */
export type Trimmer = (frameText: string) => string | undefined;

export function createTrimmer(paths: readonly string[]): Trimmer {
  const tree = pathTree(paths.map((path) => ({ steps: pathSteps(path), role: "drop" })));
  return (frameText) => {
    const frame = readFrame(frameText);
    if (frame.isTrimmed) return undefined;
    const shape = readShape(frame.data, tree);
    let data = "";
    let from = 0;
    for (const { start, end } of shape?.elements.flatMap(({ cuts }) => cuts) ?? []) {
      if (end - start <= TRIMMED_VALUE.length) continue;
      data += frame.data.slice(from, start) + TRIMMED_VALUE;
      from = end;
    }
    if (from === 0) return undefined;
    const trimmed = trimmedFrame(frame.id, { ...frame, data: data + frame.data.slice(from) });
    // The word about it takes bytes, too.
    return trimmed.length < frameText.length ? trimmed : undefined;
  };
}
