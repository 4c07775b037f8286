/**
 * B2: a gap names exactly what is missing, and says truly why.
 */
import type { Coverage } from "./coverage.ts";
import type { StreamModel } from "./model.ts";
import { fail } from "./violation.ts";

type Payload = Readonly<Record<string, unknown>>;

/**
 * @param nextSeq the first event its reader has not got
 * @returns the last missing one
 */
export function checkGap(gap: Payload, nextSeq: number, facts: { model: StreamModel; coverage: Coverage }): number {
  const { model, coverage } = facts;
  const lastSeq = Number(String(gap["to"]).split("-")[1]);
  if (gap["from"] !== model.idOf(nextSeq)) fail("B2", `a gap from ${String(gap["from"])}, at ${nextSeq}`);
  if (!(lastSeq >= nextSeq && lastSeq <= model.lastSeq)) fail("B2", `a gap to ${String(gap["to"])}`);
  if (gap["to"] !== model.idOf(lastSeq)) fail("B2", `a gap to ${String(gap["to"])}`);
  if (gap["dropped"] !== lastSeq - nextSeq + 1) fail("B2", `a gap of ${String(gap["dropped"])} events`);
  let isLost = false;
  for (let seq = nextSeq; seq <= lastSeq; seq++) {
    if (model.retained.has(seq)) fail("B2", `a gap over ${model.idOf(seq)}, which is retained`);
    isLost ||= model.lostSeqs.has(seq);
    if (model.sampledSeqs.has(seq)) coverage.note("gap: sampled");
  }
  const reason = gap["reason"];
  if (isLost && reason !== "storage_lost") fail("B2", "a gap does not say that storage lost events");
  // What is between two losses may be put down to them.
  if (reason === "storage_lost" && !model.isWhereSomeWereLost(nextSeq, lastSeq)) {
    fail("B2", "a gap for a loss that never was");
  }
  if (reason !== "storage_lost" && reason !== "buffer_trimmed") fail("protocol", `a gap for ${String(reason)}`);
  return lastSeq;
}
