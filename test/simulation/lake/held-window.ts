/**
 * A dedup window of another size than production's, which is too large for any seed to fill.
 */
import { DedupWindow } from "../../../durable-objects/analytics/dedup-window.ts";
import { replaceMethod } from "../method-patch.ts";

/** Makes every window hold so many events. @returns what ends it */
export function holdWindow(events: number): () => void {
  return replaceMethod(DedupWindow.prototype, "add", (self, original) => (...args) => {
    if (typeof Reflect.get(self, "maxEvents") !== "number") throw new Error("there is no window's size any more");
    Reflect.set(self, "maxEvents", events);
    return original(...args);
  });
}
