import { expect, test } from "vitest";

import { queryFault } from "../../workers/http/query-names.ts";

test.each([
  ["", undefined],
  ["shard=1", undefined],
  ["shard=1&request_id=x", undefined],
  ["shards=1", "query"],
  ["shard=1&Shard=2", "query"],
  ["shard=1&shard=2", "shard"],
])("?%s: what is at fault is %s", (search, field) => {
  const fault = queryFault(new URLSearchParams(search), ["shard", "request_id"]);
  expect(fault && "field" in fault ? fault.field : undefined).toBe(field);
});

test("a name of the caller's is not repeated", () => {
  expect(JSON.stringify(queryFault(new URLSearchParams("<script>=1"), []))).not.toContain("script");
});
