/**
 * The service's Worker and shard with a little around them: hand-overs counted, and a path that hands over
 * telemetry as fast as a shard takes it. Runs inside workerd, whose types are not these.
 *
 * Not for deployments: measured-service.ts puts the real ones in.
 */
import type { AppendAnswer, AppendCall } from "../../../protocol/lake-call.ts";
import { toLakeEvent } from "../../../protocol/telemetry-event.ts";
import type { TelemetryRecord } from "../../../protocol/telemetry.ts";

interface Shard {
  append(call: AppendCall): Promise<AppendAnswer>;
  status(): Promise<unknown>;
}

interface Env {
  readonly EVENT_BUFFER_DO: { getByName(name: string): Shard };
}

type ShardClass = new (context: object, env: object) => Shard;

interface Worker {
  fetch(request: Request, env: Env, context: object): Promise<Response>;
}

/** What came to all shards so far. */
export interface HandOverCounts {
  readonly handOvers: number;
  readonly events: number;
}

/** `hand-over`: a stream's beginning (two events) and its end (one) by turns. `status`: the call alone, as a floor. */
export type DriveKind = "hand-over" | "status";

const counts = { handOvers: 0, events: 0 };

/** @returns the class, counting what streams hand over: not what the lake tells of itself, which rides along */
export function countedShard(base: ShardClass): ShardClass {
  return class extends base {
    override async append(call: AppendCall): Promise<AppendAnswer> {
      if (!call.isRiding) {
        counts.handOvers++;
        counts.events += call.events.length;
      }
      return super.append(call);
    }
  };
}

/** @returns the Worker with two paths more: `/driven/counts` and `/driven/shard?kind=…&calls=…&at_once=…` */
export function drivenWorker(base: Worker): Worker {
  return {
    async fetch(request, env, context) {
      const { pathname, searchParams } = new URL(request.url);
      if (pathname === "/driven/counts") return Response.json(counts);
      if (pathname !== "/driven/shard") return base.fetch(request, env, context);
      const calls = Number(searchParams.get("calls"));
      const kind = searchParams.get("kind") === "status" ? "status" : "hand-over";
      const refused = await drive(env.EVENT_BUFFER_DO.getByName("shard-0"), kind, {
        calls,
        atOnce: Number(searchParams.get("at_once")),
      });
      return Response.json({ calls, refused });
    },
  };
}

async function drive(shard: Shard, kind: DriveKind, { calls, atOnce }: { calls: number; atOnce: number }) {
  let next = 0;
  let refused = 0;
  const work = async () => {
    for (let at = next++; at < calls; at = next++) {
      if (kind === "status") await shard.status();
      else {
        const answer = await shard.append({ shardIndex: 0, events: eventsOf(at), isRiding: false });
        if (!answer.ok) refused++;
      }
    }
  };
  await Promise.all(Array.from({ length: atOnce }, work));
  return refused;
}

function eventsOf(at: number) {
  const request = (at >>> 1).toString(16).padStart(32, "0");
  const common = { time: new Date().toISOString(), request_id: request, route: "b", tenant: "acme" };
  const begun: TelemetryRecord[] = [
    { event: "SseStreamStarted", ...common },
    { event: "SseResumeIssued", ...common, position: "1-0", readers: 1, events: 0 },
  ];
  const ended: TelemetryRecord[] = [
    {
      event: "SseStreamEnded",
      ...common,
      state: "completed",
      reason: null,
      duration_ms: 30_012,
      events: 240,
      trimmed_events: 0,
      resumes: 0,
    },
  ];
  return (at % 2 === 0 ? begun : ended).map((record) => toLakeEvent(record, crypto.randomUUID()));
}
