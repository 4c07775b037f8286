/**
 * Many resumes, each of them checked: readers that are cut after a few events, come back with their token,
 * and in the end must have had every event once, in order, or have been told exactly which are missing.
 *
 * Half of the readers follow streams that go on, the other half come when a stream is over and its buffer has
 * dropped its beginning. The figure is how many resumes were not right.
 */
import { get } from "node:http";

import { createParser } from "eventsource-parser";

import type { Service } from "../../test/fixtures/workerd-service.ts";
import { Random } from "../../test/simulation/random.ts";
import type { Lab } from "../lib/lab.ts";
import { LatencyHistogram } from "../lib/latency-histogram.ts";
import type { Plan } from "../lib/options.ts";
import { ResumeChain } from "../lib/resume-chain.ts";
import { nowUs, scriptQuery, type SourceScript } from "../lib/source-script.ts";

export interface ResumesResult {
  readonly seed: number;
  readonly resumes: number;
  readonly chains: number;
  /** Of the resumes: those of readers whose stream was over and had lost its beginning. */
  readonly lateResumes: number;
  /** Events that late readers were told to be missing. */
  readonly missingEvents: number;
  readonly incorrect: number;
  /** What was wrong with the first few. */
  readonly faults: readonly string[];
  readonly resumesPerSec: number;
  /** From a late reader's request to the first event of the source. */
  readonly firstEventMs: Readonly<Record<"p50" | "p99", number>>;
}

const EVENTS = 400;
/** Below what an unthrottled source needs, so that live readers catch up and wait, and come back in between. */
const RATE = 400;
const MOST_EVENTS_A_RESUME = 30;
const FAULTS_SHOWN = 5;
const US_PER_MS = 1000;
const US_PER_SEC = 1_000_000;
const BASE: SourceScript = { events: EVENTS, bytes: 60, rate: 0, batch: 8, isHeld: false };

interface Tally {
  resumes: number;
  lateResumes: number;
  chains: number;
  missingEvents: number;
  readonly latencies: LatencyHistogram;
  readonly faults: string[];
}

export async function measureResumes(
  lab: Lab,
  { resumes, readers, seed }: Plan["resumes"],
  note: (line: string) => void,
): Promise<ResumesResult[]> {
  const service = await lab.startSystem("spillway");
  const random = new Random(seed);
  const tally: Tally = {
    resumes: 0,
    lateResumes: 0,
    chains: 0,
    missingEvents: 0,
    latencies: new LatencyHistogram(),
    faults: [],
  };
  note(`${resumes} resumes by ${readers} readers at a time, seed ${seed}`);
  const beganUs = nowUs();
  const work = async (isLate: boolean) => {
    while (tally.resumes < resumes) await runChain(service, { isLate, random, tally });
  };
  await Promise.all(Array.from({ length: readers }, (_, at) => work(at % 2 === 1)));
  const seconds = (nowUs() - beganUs) / US_PER_SEC;
  await lab.stopSystem(service);
  const quantileMs = (share: number) => tally.latencies.quantileUs(share) / US_PER_MS;
  return [
    {
      seed,
      resumes: tally.resumes,
      chains: tally.chains,
      lateResumes: tally.lateResumes,
      missingEvents: tally.missingEvents,
      incorrect: tally.faults.length,
      faults: tally.faults.slice(0, FAULTS_SHOWN),
      resumesPerSec: tally.resumes / seconds,
      firstEventMs: { p50: quantileMs(0.5), p99: quantileMs(0.99) },
    },
  ];
}

interface ChainRun {
  readonly isLate: boolean;
  readonly random: Random;
  readonly tally: Tally;
}

/** One stream, from its start to its end. A chain with a fault is counted once, and left. */
async function runChain(service: Service, { isLate, random, tally }: ChainRun): Promise<void> {
  tally.chains++;
  const script = isLate ? BASE : { ...BASE, rate: RATE };
  const start = await fetch(`${service.origin}/b/stream?${scriptQuery(script)}`, {
    method: "POST",
    headers: { prefer: "respond-async" },
  });
  // Our own service's answer.
  const { resume_token: token } = (await start.json()) as { resume_token: string };
  const chain = new ResumeChain(token, EVENTS);
  if (isLate) await untilOver(service, token);
  while (!chain.isEnded && chain.fault === undefined) {
    tally.resumes++;
    if (isLate) tally.lateResumes++;
    const most = random.int(1, MOST_EVENTS_A_RESUME);
    const firstEventUs = await resumeOnce(service, chain, most).catch((error: unknown) => {
      chain.fault ??= String(error);
      return undefined;
    });
    if (isLate && firstEventUs !== undefined) tally.latencies.add(firstEventUs);
  }
  tally.missingEvents += chain.missing;
  const isUntold = isLate !== chain.missing > 0 && chain.fault === undefined;
  const fault = isUntold
    ? `${chain.missing} events missing of a stream that ${isLate ? "lost some" : "lost none"}`
    : chain.fault;
  if (fault !== undefined) tally.faults.push(fault);
}

/**
 * Comes back, takes some events and breaks off, wherever in a chunk that is.
 *
 * @returns time to the first event that moved the reader on, in µs; `undefined` where there was none
 */
function resumeOnce(service: Service, chain: ResumeChain, mostEvents: number): Promise<number | undefined> {
  const headers = { "x-resume-token": chain.token, "last-event-id": chain.lastEventId };
  const sentUs = nowUs();
  const upTo = chain.reached + mostEvents;
  let firstEventUs: number | undefined;
  return new Promise((resolve, reject) => {
    const request = get(`${service.origin}/b/resume`, { agent: false, headers }, (response) => {
      // Nothing left to send, and the reader has not been told of the end: it must have had it.
      if (response.statusCode !== 200) reject(new Error(`a resume was answered ${response.statusCode ?? 0}`));
      const parser = createParser({
        onEvent: (event) => {
          // What comes after the cut was never read.
          if (request.destroyed) return;
          const before = chain.reached;
          chain.take(event);
          if (chain.reached > before) firstEventUs ??= nowUs() - sentUs;
          if (chain.isEnded || chain.fault !== undefined || chain.reached >= upTo) request.destroy();
        },
      });
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => parser.feed(chunk));
      response.on("close", () => resolve(firstEventUs));
      response.on("error", () => resolve(firstEventUs));
    });
    request.on("error", (error) => (request.destroyed ? resolve(firstEventUs) : reject(error)));
  });
}

async function untilOver(service: Service, token: string): Promise<void> {
  for (;;) {
    const response = await fetch(`${service.origin}/b/status`, { headers: { "x-resume-token": token } });
    // Our own service's answer.
    if (((await response.json()) as { state: string }).state === "completed") return;
  }
}
