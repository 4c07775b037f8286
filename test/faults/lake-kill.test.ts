/**
 * The lake is killed as by a power cut, over and over, with events coming in and everything going on that
 * goes on there: L1, L2, X1–X4.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";

import { afterAll, expect, test } from "vitest";

import { callAdmin } from "../fixtures/lake-client.ts";
import { checkTable, flushUntilEmpty, Producer } from "../fixtures/lake-load.ts";
import { startLakeService, type LakeService } from "../fixtures/lake-service.ts";
import { seededRandom, type Random } from "../fixtures/process-random.ts";

const KILLS = 52;
/** So many of them take the host as well, which is as if a machine went down. */
const HOST_KILL_EVERY = 15;
const PRODUCERS = 4;
const VARS = {
  ICEBERG_SHARDS: 3,
  ICEBERG_BUFFER_TIMEOUT_MS: 150,
  ICEBERG_BUFFER_SIZE: 60,
  ICEBERG_COMMIT_INTERVAL_MS: 200,
  ICEBERG_SNAPSHOTS_KEPT: 10,
} as const;
/** What operators do meanwhile, often at the same time as each other. */
const ACTIONS = ["flush", "flush", "flush", "compact", "compact", "expire-snapshots?keep=3"] as const;

const folder = mkdtempSync(join(tmpdir(), "spillway-lake-kill-"));
let service: LakeService | undefined;
afterAll(async () => {
  await service?.kill();
  rmSync(folder, { recursive: true, force: true });
});

class Machine {
  starts = 0;
  readonly lines: string[] = [];
  private running: LakeService | undefined;

  get service(): LakeService {
    if (this.running === undefined) throw new Error("nothing is running");
    return this.running;
  }

  get origin(): string {
    return this.service.origin;
  }

  async start(): Promise<void> {
    const before = this.running;
    const ports = before === undefined ? {} : { port: portOf(before.origin), s3Port: portOf(before.s3Origin) };
    this.running = await startLakeService({ persistTo: folder, vars: VARS, ...ports });
    service = this.running;
    this.starts++;
  }

  async end(): Promise<void> {
    await this.service.kill();
    this.lines.push(...this.service.lines);
  }

  /** Until it answers: it is then up again after a kill. */
  async untilUp(): Promise<void> {
    for (;;) {
      const isUp = await fetch(`${this.origin}/health`).then(
        ({ ok }) => ok,
        () => false,
      );
      if (isUp) return;
      await wait(10);
    }
  }
}

function portOf(origin: string): number {
  return Number(new URL(origin).port);
}

async function operate(machine: Machine, random: Random, isOver: () => boolean): Promise<number> {
  let done = 0;
  while (!isOver()) {
    await wait(random.int(20, 500));
    const response = await callAdmin(machine.service, random.pick(ACTIONS)).catch(() => undefined);
    if (response?.status === 200) done++;
    await response?.arrayBuffer().catch(() => undefined);
  }
  return done;
}

test(`L1, X1: every acknowledged event is in the table exactly once after ${KILLS} kills`, async () => {
  const random = seededRandom("lake kill -9");
  const machine = new Machine();
  await machine.start();
  const producers = Array.from(
    { length: PRODUCERS },
    (_, at) => new Producer({ source: `/kill/${at}`, random, batchMax: 40, givesUp: 0.05 }),
  );
  let isOver = false;
  const working = [
    ...producers.map((producer) =>
      producer.run(
        () => machine.origin,
        () => isOver,
      ),
    ),
    operate(machine, random, () => isOver),
  ];
  let downMs = 0;
  for (let kill = 1; kill <= KILLS; kill++) {
    await wait(random.int(50, 700));
    const atMs = performance.now();
    if (kill % HOST_KILL_EVERY === 0) {
      await machine.end();
      await machine.start();
    } else machine.service.killRuntime();
    await machine.untilUp();
    downMs += performance.now() - atMs;
  }
  isOver = true;
  const done = await Promise.all(working);
  // A host of its own for what is read: S3 goes to a workerd that was there when the host began.
  await machine.end();
  await machine.start();
  await flushUntilEmpty(machine.service);
  const { rows, files, faults } = await checkTable(machine.service, producers);
  await machine.end();

  const sum = (of: (producer: Producer) => number) => producers.reduce((total, producer) => total + of(producer), 0);
  const commits = machine.lines.filter((line) => line.includes('"IcebergCommitted"')).length;
  console.log(
    `kill -9: ${JSON.stringify({
      kills: KILLS,
      acknowledged: sum(({ acknowledged }) => acknowledged.size),
      givenUp: sum(({ givenUp }) => givenUp.size),
      failures: sum(({ failures }) => failures),
      duplicates: sum(({ duplicates }) => duplicates),
      rows,
      files,
      commits,
      operations: done.at(-1),
      downMs: Math.round(downMs / KILLS),
    })}`,
  );
  expect(faults).toEqual([]);
  expect(rows).toBeGreaterThanOrEqual(sum(({ acknowledged }) => acknowledged.size));
  // The kills came while something was going on.
  expect(sum(({ failures }) => failures)).toBeGreaterThan(KILLS);
  expect(sum(({ duplicates }) => duplicates)).toBeGreaterThan(0);
  expect(commits).toBeGreaterThan(KILLS);
});
