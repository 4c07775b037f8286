/**
 * What folding, trimming and compressing cost, and how long each holds up its stream: single steps and whole
 * turns inside workerd, seen from outside, and the same steps in this process.
 *
 * A step inside workerd is one request to an object that does nothing else; what an empty request takes is
 * taken off. Each kind has services of its own, so that the first step is the first one the isolate ever ran.
 */
import type { Service } from "../../test/fixtures/workerd-service.ts";
import { SimStorage } from "../../test/simulation/sim-storage.ts";
import { DEFLATERS, deflateTimes, type Deflater } from "../lib/deflating.ts";
import type { Lab } from "../lib/lab.ts";
import type { Plan } from "../lib/options.ts";
import { mainThreadCpuMsOf } from "../lib/process-meter.ts";
import { ReliefScene, type ReliefDone, type ReliefKind } from "../lib/relief-scene.ts";
import { quantileOf, spreadOf, type Spread } from "../lib/statistics.ts";

export interface ReliefResult {
  readonly kind: ReliefKind;
  /** `step`: one step of relief. `turn`: 16 events of the source, with all that they cause. */
  readonly unit: "step" | "turn";
  readonly place: "workerd" | "process";
  readonly count: number;
  /** Wall time, ms. In workerd: beyond that of an empty request. */
  readonly wallMs: Percentiles;
  /** Time on the CPU of workerd's own thread, beyond an empty request's: without waiting for a core. */
  readonly cpuMs: Percentiles | undefined;
  /** The first one of a fresh isolate, CPU, ms: that of each service started. */
  readonly firstCpuMs: Spread | undefined;
  /** For each MB (of 1,000,000 bytes) looked at: CPU in workerd, wall time in this process. */
  readonly msPerMb: number;
  /** Bytes looked at, and of them saved. */
  readonly bytes: number;
  readonly savedBytes: number;
}

export interface DeflateResult {
  readonly deflater: Deflater;
  /** Median of the rounds, workerd by CPU, this process by wall time. */
  readonly msPerMb: { readonly workerd: Spread; readonly process: Spread };
  /** Bytes out over bytes in. */
  readonly ratio: number;
}

interface Percentiles {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

interface Sample extends ReliefDone {
  readonly wallMs: number;
  readonly cpuMs: number | undefined;
}

type Unit = ReliefResult["unit"];

const STEP_KINDS: readonly ReliefKind[] = ["fold", "trim", "compress"];
const TURN_KINDS: readonly ReliefKind[] = ["fold", "compress", "none"];
const EMPTY_REQUESTS = 50;
const WARM_UP_SHARE = 0.1;
const BYTES_PER_MB = 1_000_000;

export async function measureRelief(
  lab: Lab,
  plan: Plan["relief"],
  note: (line: string) => void,
): Promise<ReliefResult[]> {
  const results: ReliefResult[] = [];
  const work = [
    ...STEP_KINDS.map((kind) => ({ kind, unit: "step" as const, count: plan.steps })),
    ...TURN_KINDS.map((kind) => ({ kind, unit: "turn" as const, count: plan.turns })),
  ];
  for (const { kind, unit, count } of work) {
    note(`${count} ${unit}s, ${kind}, in workerd`);
    const services: Sample[][] = [];
    for (let start = 0; start < plan.starts; start++) {
      const service = await lab.startSystem("relief");
      services.push(await sampleService(service, { kind, unit, count: Math.ceil(count / plan.starts) }));
      await lab.stopSystem(service);
    }
    results.push(summarize({ kind, unit, place: "workerd" }, services));
    if (unit === "turn") continue;
    note(`${count} steps, ${kind}, in this process`);
    results.push(summarize({ kind, unit, place: "process" }, [sampleProcess(kind, count)]));
  }
  return results;
}

export async function measureDeflate(
  lab: Lab,
  { deflates, rounds }: Plan["relief"],
  note: (line: string) => void,
): Promise<DeflateResult[]> {
  note(`${deflates} segments of records by each deflate, ${rounds} rounds`);
  const service = await lab.startSystem("relief");
  const taken = DEFLATERS.map((deflater) => ({
    deflater,
    workerd: new Array<number>(),
    process: new Array<number>(),
    ratio: Number.NaN,
  }));
  for (let round = -1; round < rounds; round++) {
    for (const one of taken) {
      const beganMs = performance.now();
      const { bytes, deflated } = deflateTimes(one.deflater, deflates);
      const processMs = performance.now() - beganMs;
      const path = `/deflate?with=${encodeURIComponent(one.deflater)}&times=${deflates}`;
      const { cpuMs, wallMs } = await timedCall(service, path);
      one.ratio = deflated / bytes;
      if (round < 0) continue;
      one.process.push(processMs / (bytes / BYTES_PER_MB));
      one.workerd.push((cpuMs ?? wallMs) / (bytes / BYTES_PER_MB));
    }
  }
  await lab.stopSystem(service);
  return taken.map(({ deflater, workerd, process, ratio }) => ({
    deflater,
    msPerMb: { workerd: spreadOf(workerd), process: spreadOf(process) },
    ratio,
  }));
}

async function sampleService(
  service: Service,
  { kind, unit, count }: { kind: ReliefKind; unit: Unit; count: number },
): Promise<Sample[]> {
  const empty = await emptyRequest(service);
  const samples: Sample[] = [];
  for (let stream = 0; samples.length < count; stream++) {
    const name = `name=${kind}-${stream}`;
    await callJson(service, `/open?${name}&kind=${kind}&for=${unit}s`);
    if (unit === "step") while ((await callJson(service, `/fill?${name}`))["hasRoom"] === true);
    for (let hasMore = true; hasMore && samples.length < count;) {
      const { wallMs, cpuMs, answer } = await timedCall(service, `/${unit}?${name}`);
      // The bundle is ours: see relief-object.ts.
      const done = answer as unknown as ReliefDone;
      if (done.changes > 0 || unit === "turn") {
        const busyMs = cpuMs === undefined ? undefined : Math.max(0, cpuMs - (empty.cpuMs ?? 0));
        samples.push({ ...done, wallMs: Math.max(0, wallMs - empty.wallMs), cpuMs: busyMs });
      }
      hasMore = unit === "turn" || done.hasMore;
    }
  }
  return samples;
}

function sampleProcess(kind: ReliefKind, count: number): Sample[] {
  const samples: Sample[] = [];
  while (samples.length < count) {
    const storage = new SimStorage();
    const scene = new ReliefScene(storage.port, kind, false);
    while (scene.fill());
    for (let hasMore = true; hasMore && samples.length < count;) {
      const beganMs = performance.now();
      const done = scene.step();
      const wallMs = performance.now() - beganMs;
      if (done.changes > 0) samples.push({ ...done, wallMs, cpuMs: undefined });
      ({ hasMore } = done);
    }
    storage.close();
  }
  return samples;
}

function summarize(
  what: Pick<ReliefResult, "kind" | "unit" | "place">,
  services: readonly (readonly Sample[])[],
): ReliefResult {
  // A fresh isolate's first steps are told by themselves.
  const warm = services.flatMap((samples) => samples.slice(Math.ceil(samples.length * WARM_UP_SHARE)));
  const firsts = services.flatMap(([first]) => (first?.cpuMs === undefined ? [] : [first.cpuMs]));
  const cpu = warm.flatMap(({ cpuMs }) => (cpuMs === undefined ? [] : [cpuMs]));
  const sum = (of: (sample: Sample) => number) => warm.reduce((total, sample) => total + of(sample), 0);
  const bytes = sum((sample) => sample.bytes);
  return {
    ...what,
    count: warm.length,
    wallMs: percentilesOf(warm.map(({ wallMs }) => wallMs)),
    cpuMs: cpu.length === 0 ? undefined : percentilesOf(cpu),
    firstCpuMs: firsts.length === 0 ? undefined : spreadOf(firsts),
    msPerMb: sum(({ cpuMs, wallMs }) => cpuMs ?? wallMs) / (bytes / BYTES_PER_MB),
    bytes,
    savedBytes: sum(({ savedBytes }) => savedBytes),
  };
}

function percentilesOf(values: readonly number[]): Percentiles {
  return { p50: quantileOf(values, 0.5), p99: quantileOf(values, 0.99), max: quantileOf(values, 1) };
}

/** Medians of what a request takes that does nothing. */
async function emptyRequest(service: Service): Promise<{ wallMs: number; cpuMs: number | undefined }> {
  const wall: number[] = [];
  const cpu: number[] = [];
  for (let request = 0; request < EMPTY_REQUESTS; request++) {
    const { wallMs, cpuMs } = await timedCall(service, "/empty?name=empty");
    wall.push(wallMs);
    if (cpuMs !== undefined) cpu.push(cpuMs);
  }
  return { wallMs: spreadOf(wall).median, cpuMs: cpu.length === 0 ? undefined : spreadOf(cpu).median };
}

async function timedCall(service: Service, path: string) {
  const cpuBefore = mainThreadCpuMsOf(service.pid);
  const beganMs = performance.now();
  const answer = await callJson(service, path);
  const wallMs = performance.now() - beganMs;
  const cpuAfter = mainThreadCpuMsOf(service.pid);
  return {
    answer,
    wallMs,
    cpuMs: cpuBefore === undefined || cpuAfter === undefined ? undefined : cpuAfter - cpuBefore,
  };
}

async function callJson({ origin }: Service, path: string): Promise<Readonly<Record<string, unknown>>> {
  const response = await fetch(origin + path);
  if (response.status !== 200) throw new Error(`${path} answered ${response.status}`);
  // The bundle is ours: see relief-object.ts.
  return (await response.json()) as Readonly<Record<string, unknown>>;
}
