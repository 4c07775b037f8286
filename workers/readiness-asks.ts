/**
 * How the Worker asks its objects whether they are there: calls that write nothing and create nothing.
 *
 * Not for what follows from an answer: that is in readiness.ts.
 */
import type { LakeSettings } from "../protocol/lake-settings.ts";
import { shardName, TABLE_OBJECT_NAME } from "../protocol/shard-choice.ts";
import type { ReadinessAsks } from "./readiness.ts";
import type { StreamObjects } from "./stream-objects.ts";

/** Of no stream that can exist. */
const PROBE = { requestId: "readiness-probe", tenant: "", route: "", issuedAtSec: 0, readsArchive: false } as const;

type Objects = Pick<Env, "EVENT_BUFFER_DO" | "ICEBERG_TABLE_DO">;

export function createReadinessAsks(env: Objects, streams: StreamObjects, { shards }: LakeSettings): ReadinessAsks {
  let turn = 0;
  const askShard = (index: number) => env.EVENT_BUFFER_DO.getByName(shardName(index)).status();
  const table = () => env.ICEBERG_TABLE_DO.getByName(TABLE_OBJECT_NAME);
  return {
    streamObjects: async () => {
      // An object that holds no stream answers so without writing anything.
      const answer = await streams.status(PROBE);
      if (!answer.ok && answer.error.code !== "stream_expired") throw new Error(answer.error.code);
    },
    // One at a time, each in its turn; all only where it was asked for.
    eventShards: async (isDeep) =>
      isDeep ? Promise.all(Array.from({ length: shards }, (_, index) => askShard(index))) : askShard(turn++ % shards),
    table: async () => table().listShards(),
    foundations: async () => table().probe(),
  };
}
