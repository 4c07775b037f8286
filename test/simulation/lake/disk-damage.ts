/**
 * A disk that damages append rows: what was in them cannot be read any more, and must not be lost without
 * a trace, nor hold up what comes behind it.
 */
import type { Random } from "../random.ts";
import type { LakeWorld } from "./lake-world.ts";

export class DiskDamage {
  private damages = 0;
  private readonly world: LakeWorld;
  private readonly random: Random;

  constructor(world: LakeWorld, random: Random) {
    this.world = world;
    this.random = random;
  }

  /** Damages a row that waits in a shard, not yet in a batch. @returns `undefined` where there is none */
  strike(): string | undefined {
    const { random, world } = this;
    const shard = world.shard(random.pick(world.shardIndexes));
    if (!shard.storage.hasTable("append")) return undefined;
    const rows = shard.storage.query(
      `SELECT first_seq, event_count FROM append WHERE byte_size > 0
        AND first_seq > (SELECT COALESCE(MAX(upto_seq), 0) FROM batch)`,
    );
    if (rows.length === 0) return undefined;
    const row = random.pick(rows);
    const firstSeq = Number(row["first_seq"]);
    const text = `damage ${++this.damages}`;
    const hex = Buffer.from(text).toString("hex");
    shard.storage.query(`UPDATE append SET payload = x'${hex}' WHERE first_seq = ${firstSeq}`);
    const [record] = shard.storage.query("SELECT record FROM shard");
    // Written by ShardStore.putRecord.
    const { name } = JSON.parse(String(record?.["record"])) as { name: string };
    world.model.damage(text, { shard: name, firstSeq, count: Number(row["event_count"]) });
    return `row ${firstSeq} of ${shard.name} is damaged`;
  }
}
