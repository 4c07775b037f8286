/**
 * Many resumes, each of them checked: readers that are cut after a few events, come back with their token,
 * and in the end must have had every event once, in order, or have been told exactly which are missing.
 *
 * Half of the readers follow streams that go on, the other half come when a stream is over and its buffer has
 * dropped its beginning. The figure is how many resumes were not right.
 */
import { get } from "node:http";
import { setTimeout as wait } from "node:timers/promises";

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
const CHAINS_A_SEED = 1_000_000;
/** Nothing for so long, where events or heartbeats are due: what is missing will not come. */
const RESUME_TIMEOUT_MS = 20_000;
const POLL_MS = 10;
const PROGRESS_SEC = 10;
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
  let notedUs = beganUs;
  const work = async () => {
    while (tally.resumes < resumes) {
      // Each chain has chances of its own: a fault comes again with the same seed, whoever was first.
      await runChain(service, { number: ++tally.chains, seed, tally });
      if (nowUs() - notedUs < PROGRESS_SEC * US_PER_SEC) continue;
      notedUs = nowUs();
      note(`${tally.resumes} of ${resumes} resumes, ${tally.faults.length} incorrect`);
    }
  };
  await Promise.all(Array.from({ length: readers }, work));
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
  /** Odd ones are late. */
  readonly number: number;
  readonly seed: number;
  readonly tally: Tally;
}

/** One stream, from its start to its end. A chain with a fault is counted once, and left. */
async function runChain(service: Service, { number, seed, tally }: ChainRun): Promise<void> {
  const isLate = number % 2 === 1;
  const random = new Random(seed * CHAINS_A_SEED + number);
  const script = isLate ? BASE : { ...BASE, rate: RATE };
  const start = await fetch(`${service.origin}/b/stream?${scriptQuery(script)}`, {
    method: "POST",
    headers: { prefer: "respond-async" },
  });
  // Our own service's answer.
  const { resume_token: token } = (await start.json()) as { resume_token: string };
  const chain = new ResumeChain(token, EVENTS);
  if (isLate) await untilOver(service, chain);
  while (!chain.isEnded && chain.fault === undefined) {
    tally.resumes++;
    if (isLate) tally.lateResumes++;
    const firstEventUs = await resumeOnce(service, chain, random.int(1, MOST_EVENTS_A_RESUME));
    if (isLate && firstEventUs !== undefined) tally.latencies.add(firstEventUs);
  }
  tally.missingEvents += chain.missing;
  // On a busy machine a reader of a stream that goes on may fall behind, too; it must be told as well.
  if (isLate && chain.missing === 0) chain.fail("a late reader was told of nothing that is missing");
  if (chain.fault !== undefined) tally.faults.push(`stream ${number}: ${chain.fault}`);
}

/**
 * Comes back, takes some events and breaks off, wherever in a chunk that is. Whoever else ends the response, but
 * after its end, is at fault.
 *
 * @returns time to the first event that moved the reader on, in µs; `undefined` where there was none
 */
function resumeOnce(service: Service, chain: ResumeChain, mostEvents: number): Promise<number | undefined> {
  const headers = { "x-resume-token": chain.token, "last-event-id": chain.lastEventId };
  const sentUs = nowUs();
  const upTo = chain.reached + mostEvents;
  let firstEventUs: number | undefined;
  return new Promise((resolve) => {
    const finish = (what: string) => {
      clearTimeout(timer);
      if (!isDone(chain, upTo)) chain.fail(what);
      request.destroy();
      resolve(firstEventUs);
    };
    const timer = setTimeout(() => finish(`nothing more for ${RESUME_TIMEOUT_MS} ms`), RESUME_TIMEOUT_MS);
    const request = get(`${service.origin}/b/resume`, { agent: false, headers }, (response) => {
      // A reader that was cut between the last event and the end.
      if (response.statusCode === 204) {
        chain.takeNothingLeft();
        return finish("");
      }
      if (response.statusCode !== 200) return finish(`a resume was answered ${response.statusCode ?? 0}`);
      const parser = createParser({
        onEvent: (event) => {
          // What comes after the cut was never read.
          if (isDone(chain, upTo)) return;
          const before = chain.reached;
          chain.take(event);
          if (chain.reached > before) firstEventUs ??= nowUs() - sentUs;
        },
      });
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => {
        parser.feed(chunk);
        if (isDone(chain, upTo)) finish("");
      });
      response.on("error", ({ message }) => finish(`broken off by the service: ${message}`));
      response.on("close", () => finish("ended by the service before its end"));
    });
    request.on("error", ({ message }) => finish(`no answer: ${message}`));
  });
}

function isDone({ isEnded, fault, reached }: ResumeChain, upTo: number): boolean {
  return isEnded || fault !== undefined || reached >= upTo;
}

async function untilOver(service: Service, chain: ResumeChain): Promise<void> {
  const endsAtUs = nowUs() + RESUME_TIMEOUT_MS * US_PER_MS;
  let state = "";
  while (state !== "completed" && nowUs() < endsAtUs) {
    const response = await fetch(`${service.origin}/b/status`, { headers: { "x-resume-token": chain.token } });
    // Our own service's answer.
    ({ state } = (await response.json()) as { state: string });
    if (state === "streaming" || state === "open") await wait(POLL_MS);
    else break;
  }
  if (state !== "completed") chain.fail(`its stream is ${state}`);
}
