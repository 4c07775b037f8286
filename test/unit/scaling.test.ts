/**
 * What the simulation says of the service: counts worked out by hand, what gives first, the command line, and
 * that docs/scaling.md shows what it prints.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { describe, expect, it, test } from "vitest";

import { ceilingsOf } from "../../scripts/scaling/ceilings.ts";
import { sceneOf, toJson } from "../../scripts/scaling/computed.ts";
import { withTables } from "../../scripts/scaling/document.ts";
import { DEFAULT_FIGURES, FIGURES, type FigureName } from "../../scripts/scaling/figures.ts";
import { monthlyBill } from "../../scripts/scaling/monthly-bill.ts";
import { helpText, readOptions, UsageError, type Options } from "../../scripts/scaling/options.ts";
import { loadOf } from "../../scripts/scaling/service-load.ts";
import { reportText } from "../../scripts/scaling/report.ts";
import { stormOf } from "../../scripts/scaling/storms.ts";
import { meanThreadWaitSec, shardWaits, threadArrivals, threadWaits } from "../../scripts/scaling/waits.ts";
import { DEFAULT_WORKLOAD, type Workload } from "../../scripts/scaling/workload.ts";

const ROOT = join(import.meta.dirname, "../..");
const text = (path: string) => readFileSync(join(ROOT, path), "utf8");

function loadAt(streams: number, changes: Partial<Workload> = {}) {
  return loadOf({ ...DEFAULT_WORKLOAD, streams, ...changes }, DEFAULT_FIGURES);
}

function optionsOf(...args: string[]): Options {
  const options = readOptions(args);
  if (options === undefined) throw new Error("help instead of options");
  return options;
}

describe("reckoned by hand", () => {
  it("60,000 streams of 30 s: 2,000 start a second, each with two hand-overs: a thousand for each of four shards", () => {
    const { streams, shard } = loadAt(60_000);
    expect(streams.startsPerSec).toBe(2000);
    expect(shard.handOversPerSec).toBe(1000);
    expect(shard.requestShare).toBe(1);
    expect(shard.eventsPerSec).toBe(1500);
    // 1,998 events of streams to a file, and two of the flush before.
    expect(shard.flushesPerSec).toBeCloseTo(1500 / 1998, 9);
    expect(shard.rowsPerFile).toBeCloseTo(2000, 9);
  });

  it("a thousand: flushes by age, a file from each shard in 30 s and what its first event is late", () => {
    const { shard, table } = loadAt(1000);
    expect(shard.flushesPerSec).toBeCloseTo(1 / (30 + 0.06), 9);
    expect(table?.filesPerDay).toBeCloseTo((4 * 86_400) / 30.06, 6);
  });

  it("commits: a file waits for no other where files are rare; beyond 1,000 batches one is not enough", () => {
    expect(loadAt(1).table?.filesPerCommit).toBe(1);
    const busy = loadAt(10_000_000).table;
    expect(busy?.commitsPerInterval).toBe(6);
    expect((busy?.filesPerCommit ?? 0) * (busy?.commitsPerInterval ?? 0)).toBeCloseTo(
      10 * (busy?.stagesPerSec ?? 0),
      6,
    );
  });

  it("compaction: ten files of 2,000 rows make one, 16 times in a run and 200 runs a day; full files need none", () => {
    expect(loadAt(100_000).table?.maintenance?.compactedPerDay).toBe(10 * 16 * 200);
    const full = loadAt(100_000, { flushEvents: 20_000 }).table?.maintenance;
    expect(full?.smallFilesPerDay).toBe(0);
    expect(full?.netFilesPerDay).toBeCloseTo(loadAt(100_000, { flushEvents: 20_000 }).table?.filesPerDay ?? 0, 6);
    expect(loadAt(100_000, { isForeignCatalog: true }).table?.maintenance).toBeUndefined();
  });

  it("a pipeline takes the table's place, and no shard's", () => {
    const piped = loadAt(100_000, { isPiped: true });
    expect(piped.table).toBeUndefined();
    expect(piped.shard).toEqual(loadAt(100_000).shard);
    expect(piped.pipeline?.mbPerSec).toBeCloseTo((10_000 * DEFAULT_FIGURES.jsonEventBytes) / 1e6, 9);
  });

  it("cost is a straight line but for the lake's own objects", () => {
    const [few, many] = [monthlyBill(loadAt(1000)), monthlyBill(loadAt(10_000_000))];
    for (const part of ["duration", "rows", "requests", "telemetry"] as const) {
      expect(many[part] / few[part]).toBeCloseTo(10_000, 6);
    }
    expect(many.lakeAwake).toBe(few.lakeAwake);
    // Six objects of 128 MB, awake for a month of 30 days.
    expect(few.lakeAwake).toBeCloseTo(6 * 2_592_000 * 0.128 * 12.5e-6, 9);
  });

  it("a storm: shards that are full already never take it, and idle ones in its own time", () => {
    expect(stormOf(loadAt(60_000), DEFAULT_FIGURES).shardDrainSec).toBe(Number.POSITIVE_INFINITY);
    const { handOversPerShard, handOverP99Sec, lateShare } = stormOf(loadAt(30_000), DEFAULT_FIGURES);
    expect(handOversPerShard).toBe((30_000 * 0.05 * 2) / 4);
    // 500 a second are left, and 750 come within 2.5 s.
    expect(handOverP99Sec).toBeLessThan(0.1);
    expect(lateShare).toBe(0);
  });
});

describe("a thread that has its streams to serve", () => {
  const load = loadAt(1_000_000, { shards: 256, streamsPerThread: 400 });

  it("keeps those waiting that come back to it: played with its own load, hundreds of ms", () => {
    const { resume } = stormOf(load, DEFAULT_FIGURES);
    // 400 resumes of 1.3 ms and 1.5 s of a load of 87 %, in 1.5 s: what is left is the last one's wait.
    const leftSec = 400 * 0.0013 - 1.5 * (1 - (400 * load.streams.cpuMsPerSec) / 1000);
    expect((resume?.p50Sec ?? 0) / (leftSec / 2)).toBeGreaterThan(0.9);
    expect((resume?.p50Sec ?? 0) / (leftSec / 2)).toBeLessThan(1.15);
  });

  it("and for ever where it has too many", () => {
    expect(stormOf(loadAt(1_000_000, { streamsPerThread: 2400 }), DEFAULT_FIGURES).resume).toBeUndefined();
    expect(threadWaits(500, load, DEFAULT_FIGURES)).toBeUndefined();
  });

  it("has a start as long as it is, so that of a hundred events one waits for most of one", () => {
    // 5.2 ms for a start: no wait of milliseconds comes of events of 0.25 ms.
    expect(threadWaits(200, load, DEFAULT_FIGURES)?.p99Sec).toBeGreaterThan(0.003);
    const exactSec = meanThreadWaitSec(200, load, DEFAULT_FIGURES);
    expect(exactSec).toBeCloseTo(0.000248, 5);
    expect((threadWaits(200, load, DEFAULT_FIGURES)?.meanSec ?? 0) / exactSec).toBeCloseTo(1, 0);
  });

  it("has resumes and further readers in its waits as in its CPU", () => {
    const busy = loadAt(1000, { resumes: 5, readers: 3 });
    const { perSec, mix } = threadArrivals(1, busy.workload, DEFAULT_FIGURES);
    const mean = mix.reduce((sum, { share, serviceSec }) => sum + share * serviceSec, 0);
    expect(perSec * mean * 1000).toBeCloseTo(busy.streams.cpuMsPerSec, 9);
    expect(perSec).toBeCloseTo(8 + 1 / 30 + 7 / 30, 9);
  });
});

describe("a shard has one capacity: what its CPU or the soft limit allows, the lesser", () => {
  it("in the waits, and in the storm", () => {
    for (const streams of [60_000, 100_000]) {
      const load = loadAt(streams);
      expect(load.shard.isOverrun).toBe(true);
      expect(shardWaits(load, DEFAULT_FIGURES)).toBeUndefined();
      expect(stormOf(load, DEFAULT_FIGURES).shardDrainSec).toBe(Number.POSITIVE_INFINITY);
    }
    expect(shardWaits(loadAt(55_000), DEFAULT_FIGURES)?.meanSec).toBeGreaterThan(0.001);
    const slow = { ...DEFAULT_FIGURES, handOverCpuUs: 5000 };
    expect(shardWaits(loadOf({ ...DEFAULT_WORKLOAD, streams: 15_000 }, slow), slow)).toBeUndefined();
  });

  it("and rows beyond it say so", () => {
    const table = reportText(sceneOf(optionsOf("--streams", "1000,100000")), ["bill"]);
    expect(table).toMatch(/^\| 100,000 † \|/m);
    expect(table).toMatch(/^\| 1,000 \|/m);
    expect(table).toContain("telemetry is dropped");
  });
});

function ceilingOf(name: string, workload: Partial<Workload> = {}) {
  const found = ceilingsOf({ ...DEFAULT_WORKLOAD, ...workload }, DEFAULT_FIGURES);
  return found.find((ceiling) => ceiling.name.startsWith(name));
}

describe("what gives first", () => {
  it("is at exactly the number where the bound is reached, and in order", () => {
    expect(ceilingOf("hand-overs")?.from).toBe(60_000);
    expect(ceilingOf("hand-overs", { shards: 16 })?.from).toBe(240_000);
    const found = ceilingsOf(DEFAULT_WORKLOAD, DEFAULT_FIGURES).flatMap(({ from }) => from ?? []);
    expect(found).toEqual(found.toSorted((left, right) => left - right));
  });

  it("tells from where on to where, where full files end it", () => {
    const compaction = ceilingOf("small files", { flushEvents: 20_000 });
    const upto = compaction?.upto ?? 0;
    const rows = [upto, upto + 1].map((streams) => loadAt(streams, { flushEvents: 20_000 }).shard.rowsPerFile);
    expect(rows.map((perFile) => perFile < 10_000)).toEqual([true, false]);
  });

  it("more of everything never moves a bound of the shards away", () => {
    for (const more of [{ resumes: 2 }, { readers: 3 }, { streamSec: 10 }]) {
      expect(ceilingOf("hand-overs", more)?.from).toBeLessThan(60_000);
    }
  });
});

describe("figures", () => {
  it.each(Object.entries(FIGURES))("%s: has a source that is there", (_, { origin, source, value }) => {
    expect(value).toBeGreaterThan(0);
    for (const path of origin === "code" ? source.split(", ") : []) {
      const known = [path, `durable-objects/iceberg/${path}`].some((place) => existsSync(join(ROOT, place)));
      expect(known, path).toBe(true);
    }
    const isDocumented = source.startsWith("https://developers.cloudflare.com/");
    expect(isDocumented).toBe(origin === "documented");
  });

  it.each([
    ["batchesPerCommit", "durable-objects/iceberg/table-store.ts", /BATCHES_PER_COMMIT = ([\d_]+)/],
    ["mergeAtManifests", "durable-objects/iceberg/manifest-files.ts", /MERGE_AT = ([\d_]+)/],
    ["manifestMaxEntries", "durable-objects/iceberg/manifest-files.ts", /MERGED_MAX_ENTRIES = ([\d_]+)/],
    ["compactedRows", "durable-objects/iceberg/compaction.ts", /FILE_MAX_ROWS = ([\d_]+)/],
    ["compactionOutputs", "durable-objects/iceberg/compaction.ts", /OUTPUTS_PER_RUN = ([\d_]+)/],
    ["compactionInputs", "durable-objects/iceberg/compaction.ts", /INPUTS_PER_RUN = ([\d_]+)/],
    ["compactionRunMaxMs", "durable-objects/iceberg/compaction.ts", /RUN_MAX_MS = ([\d_]+)/],
    ["compactionCallsAtOnce", "durable-objects/iceberg/compaction.ts", /CALLS_AT_ONCE = ([\d_]+)/],
    ["compactionRunsPerDay", "durable-objects/iceberg/maintenance.ts", /RUNS_PER_DAY = ([\d_]+)/],
    ["handOffPatienceMs", "durable-objects/stream-telemetry.ts", /HAND_OFF_TIMEOUT_MS = ([\d_]+)/],
    ["gatherMs", "protocol/telemetry-outlet.ts", /GATHER_MS = ([\d_]+)/],
    ["resumeHandOvers", "scripts/cost-model/stream-usage.ts", /TOLD_OF_RESUME = \{[^}]*handOvers: ([\d_]+)/],
  ] as const)("%s is the code's own", (figure, path, constant) => {
    const [, written = ""] = constant.exec(text(path)) ?? [];
    expect(DEFAULT_FIGURES[figure]).toBe(Number(written.replaceAll("_", "")));
  });

  it("each can be replaced, and changes what is computed", () => {
    const options = optionsOf("--hand-over-cpu-us", "820", "--streams", "60000");
    const [load] = sceneOf(options).loads;
    expect(load?.shard.cpuShare).toBeCloseTo(0.82, 9);
    for (const name of Object.keys(FIGURES)) expect(text("docs/scaling.md")).toContain(flagText(name));
  });
});

describe("nothing can be asked that changes nothing", () => {
  // Two scenes that between them use everything; the queues are played only where nothing else tells.
  const busy = optionsOf(..."--streams 1000,50000 --storm-share 1".split(" "));
  const piped = optionsOf("--streams", "20000000", "--pipelines");
  const reckoned = (changes: Partial<Options>) =>
    JSON.stringify(
      [busy, piped].map((options) => {
        const { loads, workload, figures } = sceneOf({ ...options, ...changes });
        return [loads, ceilingsOf(workload, figures), loads.map(monthlyBill)];
      }),
    );
  const stormed = (changes: Partial<Options>) => {
    const { loads, figures } = sceneOf({ ...busy, ...changes });
    return JSON.stringify(loads.map((load) => stormOf(load, figures)));
  };
  const shown = (changes: Partial<Options>) => reportText(sceneOf({ ...busy, ...changes }), ["threads"]);
  const before = { reckoned: reckoned({}), stormed: stormed({}), shown: shown({}) };

  it.each(Object.keys(FIGURES) as FigureName[])("%s", (name) => {
    const figures = { ...DEFAULT_FIGURES, [name]: DEFAULT_FIGURES[name] * 0.55 };
    const hasChanged =
      reckoned({ figures }) !== before.reckoned ||
      stormed({ figures }) !== before.stormed ||
      shown({ figures }) !== before.shown;
    expect(hasChanged).toBe(true);
  });
});

function flagText(name: string): string {
  return `\`--${name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}\``;
}

describe("the command line", () => {
  it("reads lists, settings and switches", () => {
    const options = optionsOf("--streams", "1,20", "--shards=8", "--pipelines", "--json", "--stream-seconds", "0.5");
    expect(options).toMatchObject({ action: "report", streams: [1, 20], isJson: true });
    expect(options.workload).toMatchObject({ shards: 8, isPiped: true, streamSec: 0.5 });
    expect(JSON.parse(toJson(sceneOf(options)))).toMatchObject({
      at: [{}, {}],
      gives_first: expect.any(Array) as unknown,
    });
  });

  it.each([
    [["--shards", "none"], '--shards takes a whole number from 1 to 256, not "none"'],
    [["--shards", "1.5"], "--shards takes a whole number"],
    [["--shards", "1000"], "--shards takes a whole number from 1 to 256"],
    [["--readers", "10001"], "--readers takes a whole number from 1 to 10000"],
    [["--flush-events", "20001"], "--flush-events takes a whole number from 1 to 20000"],
    [["--streams-per-thread", "5e7"], "--streams-per-thread takes a whole number from 1 to"],
    [["--streams", "1,0"], "--streams takes a whole number from 1 to"],
    [["--storm-share", "2"], "--storm-share takes a number from 0 to 1"],
    [["--bucket-ms", "0"], "--bucket-ms takes a number from"],
    [["--max-shards", "5"], "--max-shards"],
    [["--colour"], "--colour"],
    [["--check", "--measure"], "--check and --measure are asked for one at a time"],
  ])("%j: names the option at fault", (args, message) => {
    expect(() => readOptions(args)).toThrow(UsageError);
    expect(() => readOptions(args)).toThrow(message);
  });

  it("has help with examples that it understands", () => {
    expect(readOptions(["--help"])).toBeUndefined();
    const examples = [...helpText().matchAll(/^ {2}scripts\/simulate (.*?)(?: {2,}.*)?$/gm)];
    expect(examples.length).toBeGreaterThan(5);
    for (const [, args = ""] of examples)
      expect(() => readOptions(args.trim().split(/\s+/).filter(Boolean))).not.toThrow();
  });
});

test("docs/scaling.md shows what the program says: scripts/simulate --update docs/scaling.md", () => {
  const document = text("docs/scaling.md");
  expect(document.match(/<!-- simulate /g)?.length).toBeGreaterThan(10);
  expect(withTables(document)).toBe(document);
  const { kibPerStream, perIsolate } = loadAt(1).streams;
  expect(document).toContain(`${kibPerStream} KiB of a 128 MB isolate`);
  expect(Math.round(perIsolate / 100) * 100).toBe(2400);
});
