/**
 * Whoever runs the lake: asks for flushes, commits and maintenance at any time, and does not wait for the
 * answers.
 */
import type { Random } from "../random.ts";
import type { LakeWorld } from "./lake-world.ts";
import { quiet, type Caller } from "./network.ts";
import type { SimProcess } from "./sim-process.ts";
import type { TableObject } from "./sim-table.ts";

export class Operator {
  private readonly world: LakeWorld;
  private readonly random: Random;
  private readonly caller: Caller;

  constructor(world: LakeWorld, random: Random) {
    this.world = world;
    this.random = random;
    this.caller = {
      name: "operator",
      isAlive: true,
      run: async (work) => {
        work();
        await quiet();
      },
      send: (call) => world.network.push(call),
    };
  }

  flush(index: number): string {
    const shard = this.world.shard(index);
    // Nobody waits: a flush that fails is the shard's to repeat.
    this.world.network
      .ask(this.caller, "flush", (reply) => shard.serve(reply, "flush", (object) => object.flush()))
      .catch(() => undefined);
    return `flush shard ${index}`;
  }

  /** Confirms whatever is asked for; what is dropped is replayed (LakeWorld.onDropped). */
  reset(index: number): string {
    const shard = this.world.shard(index);
    this.world.network
      .ask(this.caller, "reset", (reply) =>
        shard.serve(reply, "reset", async ({ operations }) => {
          const asked = await operations?.reset(undefined);
          if (asked === undefined || asked.ok || asked.code !== "confirmation_needed") return;
          const answer = await operations?.reset(asked.expected);
          if (answer?.ok === true && answer.delivered_events > 0) this.note("reset finishes what is staged");
          if (answer?.ok === false) this.note(`reset given up: ${answer.code}`);
        }),
      )
      .catch(() => undefined);
    return `reset of shard ${index}`;
  }

  commit(table: SimProcess<TableObject>): string {
    return this.ask("commit", table, (object) => object.commitNow());
  }

  compact(): string {
    return this.ask("compact", this.world.own.table, async (table) => {
      const report = await table.compact();
      const isOvertaken = report.reason?.startsWith("a file to be replaced") === true;
      if (!report.ok) this.note(`compaction given up: ${isOvertaken ? "overtaken" : "failed"}`);
      if (report.ok && report.rewritten_files > 0) this.note("compacted");
      return report;
    });
  }

  expire(): string {
    const keep = this.random.chance(0.5) ? this.random.int(1, this.world.settings.snapshotsKept) : undefined;
    return this.ask("expire", this.world.own.table, async (table) => {
      const report = await table.expireSnapshots(keep);
      if (report.expired_snapshots > 0) this.note("snapshots expired on demand");
      return report;
    });
  }

  private ask(
    label: string,
    table: SimProcess<TableObject>,
    handle: (object: TableObject) => Promise<unknown>,
  ): string {
    this.world.network.ask(this.caller, label, (reply) => table.serve(reply, label, handle)).catch(() => undefined);
    return `${label} of ${table.name}`;
  }

  private note(name: string): void {
    this.world.coverage.note(name);
  }
}
