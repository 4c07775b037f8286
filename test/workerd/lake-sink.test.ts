/**
 * The Worker's own telemetry on its way to the table: limited by kind, and never so that an operator's action is
 * missing there.
 */
import { expect, test } from "vitest";

import type { LakeEvent } from "../../protocol/lake-event.ts";
import { AdminAudit } from "../../workers/http/admin-audit.ts";
import { createLakeSink } from "../../workers/lake-sink.ts";
import type { Lake } from "../../workers/lake.ts";

const FLOOD = 200;

test("a flood of refusals, or of actions, keeps no action out of the table", () => {
  const taken: LakeEvent[] = [];
  const lake = {
    appendToShard: async ({ events }: { readonly events: readonly LakeEvent[] }) => {
      taken.push(...events);
      return { ok: true, accepted: events.length, duplicates: 0 };
    },
  } as unknown as Lake;
  const audit = new AdminAudit({ telemetry: createLakeSink(lake, 4, () => {}), clock: () => 0 });
  for (let n = 0; n < FLOOD; n++) audit.tellRefusal({ action: "buffer/reset", result: "unauthorized" });
  for (let n = 0; n < FLOOD; n++) audit.tell({ action: "session", actor: "mallory", result: "204" });
  audit.tell({ action: "buffer/reset", actor: "mallory", result: "200", target: "0" });

  const actions = taken.filter(({ type }) => type === "AdminAction");
  expect(actions).toHaveLength(FLOOD + 1);
  expect(JSON.parse(actions.at(-1)?.data ?? "")).toEqual({
    action: "buffer/reset",
    actor: "mallory",
    result: "200",
    target: "0",
  });
  expect(taken.length).toBeLessThan(FLOOD + 1 + 60);
});
