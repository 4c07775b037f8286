/**
 * The simulation's answers as tables of Markdown, section by section. Pure; each table computes what it shows.
 */
import { ceilingsOf, type Ceiling } from "./ceilings.ts";
import type { Scene } from "./computed.ts";
import { FIGURES, type Figures } from "./figures.ts";
import { counted, dollars, duration, markdownTable, milliseconds, percent, rounded } from "./numbers-text.ts";
import { monthlyBill } from "./monthly-bill.ts";
import { flagOf } from "./options.ts";
import type { ServiceLoad } from "./service-load.ts";
import { stormOf } from "./storms.ts";
import { meanThreadWaitSec, shardWaits, threadWaits, type SteadyWaits } from "./waits.ts";

const KEPT_STREAMS_PER_THREAD = [50, 100, 200, 300, 400, 500];
const MS_PER_SEC = 1000;
const OVERRUN_NOTE =
  "† More than the shards take: telemetry is dropped. The row is what it would be with enough of them.";

const SECTIONS = {
  shards: shardsTable,
  table: tableTable,
  maintenance: maintenanceTable,
  threads: threadsTable,
  storm: stormTable,
  bill: billTable,
  ceilings: ceilingsTable,
} as const satisfies Record<string, (scene: Scene) => string>;

export type SectionName = keyof typeof SECTIONS;
export const SECTION_NAMES = Object.keys(SECTIONS) as readonly SectionName[];

const HEADINGS: Readonly<Record<SectionName, string>> = {
  shards: "Telemetry to the shards",
  table: "The table",
  maintenance: "Maintenance of the embedded catalog",
  threads: "Streams that share a thread",
  storm: "A data centre's readers come back together",
  bill: "US dollars a month",
  ceilings: "What gives first",
};

export function reportText(scene: Scene, only?: readonly SectionName[]): string {
  if (only?.length === 1 && only[0] !== undefined) return SECTIONS[only[0]](scene);
  return (only ?? SECTION_NAMES).map((name) => `${HEADINGS[name]}\n\n${SECTIONS[name](scene)}`).join("\n\n");
}

export function figuresTable(figures: Figures): string {
  const rows = Object.entries(FIGURES).map(([name, { unit, means, origin, source }]) => {
    const value = figures[name as keyof Figures];
    return [
      `\`--${flagOf(name)}\``,
      `${value.toLocaleString("en", { maximumFractionDigits: 3 })} ${unit}`,
      means,
      origin,
      source,
    ];
  });
  return markdownTable(["figure", "value", "what it is", "origin", "source"], rows, 5);
}

function shardsTable({ figures, loads }: Scene): string {
  const head = [
    "streams",
    "start a second",
    "hand-overs a second, each shard",
    "of an object's limit",
    "CPU of a shard",
    "wait p50, ms",
    "p99, ms",
  ];
  return markdownTable(
    head,
    loads.map((load) => {
      const waits = shardWaits(load, figures);
      return [
        counted(load.workload.streams),
        rounded(load.streams.startsPerSec),
        rounded(load.shard.handOversPerSec),
        marked(load.shard.requestShare),
        marked(load.shard.cpuShare),
        ...waitCells(waits, "grows"),
      ];
    }),
  );
}

function tableTable({ loads }: Scene): string {
  const head = [
    "streams",
    "files a second",
    "rows a file",
    "files a commit",
    "a commit takes, ms",
    "of the time",
    "GB a day",
  ];
  const rows = loads.map(({ workload, table, shard, pipeline }) => {
    if (table === undefined) {
      const into = pipeline === undefined ? "" : `${rounded(pipeline.mbPerSec)} MB/s into the pipeline`;
      return [streamsCell({ workload, shard }), into, "", "", "", "", ""];
    }
    return [
      streamsCell({ workload, shard }),
      rounded(table.stagesPerSec),
      rounded(shard.rowsPerFile),
      rounded(table.filesPerCommit),
      rounded(table.commitMs),
      marked(table.busyShare),
      rounded(table.bytesPerDay / 1e9),
    ];
  });
  return withNote(markdownTable(head, rows), loads);
}

function maintenanceTable({ loads }: Scene): string {
  const head = [
    "streams",
    "small files a day",
    "of which compacted",
    "a run's calls",
    "its CPU, s",
    "it takes, s",
    "files in the table",
    "a sweep's CPU, s",
    "its marks, MB",
  ];
  const rows = loads.map((load) => {
    const maintenance = load.table?.maintenance;
    if (maintenance === undefined) return [streamsCell(load), ...head.slice(1).map(() => "")];
    return [
      streamsCell(load),
      rounded(maintenance.smallFilesPerDay),
      rounded(maintenance.compactedPerDay),
      rounded(maintenance.runCalls),
      rounded(maintenance.runCpuSec),
      rounded(maintenance.runSec),
      rounded(maintenance.tableFiles),
      rounded(maintenance.sweepCpuSec),
      rounded(maintenance.sweepMb),
    ];
  });
  return withNote(markdownTable(head, rows), loads);
}

function threadsTable({ figures, loads }: Scene): string {
  const [load] = loads;
  if (load === undefined) return "";
  const head = ["streams on one thread", "CPU of it", "mean wait, ms", "p50, ms", "p99, ms", "latency p50 with it, ms"];
  return markdownTable(
    head,
    KEPT_STREAMS_PER_THREAD.map((streams) => {
      const waits = threadWaits(streams, load, figures);
      const busy = (streams * load.streams.cpuMsPerSec) / MS_PER_SEC;
      return [
        String(streams),
        marked(busy),
        waits === undefined ? "grows" : milliseconds(meanThreadWaitSec(streams, load, figures)),
        ...waitCells(waits, "grows"),
        waits === undefined ? "grows" : rounded(figures.eventLatencyMs + waits.p50Sec * MS_PER_SEC),
      ];
    }),
  );
}

function stormTable({ figures, loads }: Scene): string {
  const head = [
    "streams",
    "readers at once",
    "resume waits p50, ms",
    "p99, ms",
    "hand-overs, each shard",
    "taken after",
    "wait p50",
    "p99",
    "tried again",
  ];
  return markdownTable(
    head,
    loads.map((load) => {
      const storm = stormOf(load, figures);
      return [
        counted(load.workload.streams),
        rounded(storm.readers),
        ...waitCells(storm.resume, "never"),
        rounded(storm.handOversPerShard),
        duration(storm.shardDrainSec),
        duration(storm.handOverP50Sec),
        duration(storm.handOverP99Sec),
        percent(storm.lateShare),
      ];
    }),
  );
}

function billTable({ loads }: Scene): string {
  const head = [
    "streams",
    "duration",
    "rows",
    "requests",
    "telemetry",
    "the lake's objects",
    "table's growth",
    "**total**",
    "a stream",
  ];
  const rows = loads.map((load) => {
    const bill = monthlyBill(load);
    return [
      streamsCell(load),
      dollars(bill.duration),
      dollars(bill.rows),
      dollars(bill.requests),
      dollars(bill.telemetry),
      dollars(bill.lakeAwake),
      dollars(bill.tableGrowth),
      `**${dollars(bill.total)}**`,
      dollars(bill.perStream),
    ];
  });
  return withNote(markdownTable(head, rows), loads);
}

function ceilingsTable({ figures, workload }: Scene): string {
  const given = ceilingsOf(workload, figures).filter(({ from }) => from !== undefined);
  return markdownTable(
    ["streams", "what", "then", "what to change"],
    given.map((ceiling) => [rangeOf(ceiling), ceiling.name, ceiling.consequence, ceiling.remedy]),
    4,
  );
}

function rangeOf({ from, upto }: Ceiling): string {
  if (from === undefined) return "";
  return upto === undefined ? `from ${rounded(from)}` : `${rounded(from)} to ${rounded(upto)}`;
}

function waitCells(waits: SteadyWaits, endless: string): readonly [string, string] {
  return waits === undefined ? [endless, endless] : [milliseconds(waits.p50Sec), milliseconds(waits.p99Sec)];
}

/** Marked where it cannot come to what the row says. */
function streamsCell({ workload, shard }: Pick<ServiceLoad, "workload" | "shard">): string {
  return `${counted(workload.streams)}${shard.isOverrun ? " †" : ""}`;
}

function withNote(table: string, loads: readonly ServiceLoad[]): string {
  return loads.some(({ shard }) => shard.isOverrun) ? `${table}\n\n${OVERRUN_NOTE}` : table;
}

/** More than there is stands out. */
function marked(share: number): string {
  return share >= 1 ? `**${percent(share)}**` : percent(share);
}
