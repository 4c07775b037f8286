/**
 * The comparison's producers, a process of its own: connections that append, each its next event when
 * the last was answered.
 */
import { connect, type Socket } from "node:net";
import { setTimeout as wait } from "node:timers/promises";

import { requestText } from "../../lib/reading.ts";
import { eventData, nowUs } from "../../lib/source-script.ts";
import type { PlannedRequest } from "../system.ts";
import { AnswerParser, type Answer } from "./answer-parser.ts";
import type { AppendJob, AppendOutcome, AppendReply } from "./messages.ts";

const US_PER_SEC = 1_000_000;
const MS_PER_US = 0.001;
const US_PER_MS = 1000;
/** An answer that takes longer does not come. */
const ANSWER_LIMIT_MS = 10_000;

/** A stream to append to, shared by the connections that do. */
interface Target {
  readonly request: PlannedRequest;
  readonly head: string;
  /** The number that was given out last. */
  number: number;
}

interface Waiting {
  resolve(answer: Answer): void;
  reject(error: Error): void;
}

/** One kept connection with one request under way. */
class Connection {
  private socket: Socket | undefined;
  private waiting: Waiting | undefined;
  private parser = new AnswerParser();

  async send(origin: string, text: string): Promise<number> {
    const waiting = Promise.withResolvers<Answer>();
    this.waiting = waiting;
    const socket = this.socket ?? this.open(origin);
    socket.write(text);
    const { status, isKept } = await waiting.promise;
    if (!isKept) this.close();
    return status;
  }

  close(): void {
    this.socket?.destroy();
    this.socket = undefined;
  }

  private open(origin: string): Socket {
    const { hostname, port } = new URL(origin);
    const socket = connect({ host: hostname, port: Number(port) });
    this.parser = new AnswerParser();
    socket.setNoDelay(true);
    socket.setTimeout(ANSWER_LIMIT_MS, () => socket.destroy(new Error("no answer")));
    socket.on("data", (bytes) => {
      const answer = this.parser.feed(bytes);
      if (answer !== undefined) this.waiting?.resolve(answer);
    });
    socket.on("error", (error) => this.fail(socket, error));
    socket.on("close", () => this.fail(socket, new Error("closed without an answer")));
    this.socket = socket;
    return socket;
  }

  private fail(socket: Socket, error: Error): void {
    // One that was given up tells of its end when another is open.
    if (this.socket !== socket) return;
    this.socket = undefined;
    this.waiting?.reject(error);
  }
}

process.on("message", (message) => {
  // The parent is the only one on this channel.
  append(message as AppendJob).then(
    (result) => tell({ kind: "appended", result }),
    (error: unknown) => tell({ kind: "failed", detail: String(error) }),
  );
});
// The benchmark is gone, however it ended.
process.on("disconnect", () => process.exit());

async function append(job: AppendJob): Promise<AppendOutcome> {
  const { bytes, connections } = job;
  const targets = job.targets.map((request): Target => {
    return { request, head: requestText(request, bytes), number: 0 };
  });
  const tally: Tally = { events: 0, lastAnsweredAtUs: 0, refusals: {} };
  const beganAtUs = nowUs();
  const producers = Array.from({ length: connections }, async (_, at) => {
    const target = targets[at % targets.length];
    if (target !== undefined) await produce(job, { target, at, beganAtUs, tally });
  });
  await Promise.all(producers);
  return { ...tally, firstSentAtUs: beganAtUs, lastNumbers: targets.map(({ number }) => number) };
}

interface Tally {
  events: number;
  lastAnsweredAtUs: number;
  refusals: Record<string, number>;
}

interface Producer {
  readonly target: Target;
  /** Which of the job's connections it is. */
  readonly at: number;
  readonly beganAtUs: number;
  readonly tally: Tally;
}

async function produce(job: AppendJob, { target, at, beganAtUs, tally }: Producer): Promise<void> {
  const connection = new Connection();
  const endAtUs = beganAtUs + job.limitMs * US_PER_MS;
  const everyUs = job.rate === 0 ? 0 : US_PER_SEC / job.rate;
  // Paced producers do not keep step with each other.
  const firstAtUs = beganAtUs + (everyUs * at) / job.connections;
  try {
    while (target.number < job.events) {
      const dueUs = firstAtUs + everyUs * target.number;
      if (dueUs > nowUs()) await wait((dueUs - nowUs()) * MS_PER_US);
      if (nowUs() >= endAtUs) return;
      const number = ++target.number;
      const refusal = await refusalOf(connection, target, eventData(number, nowUs(), job.bytes));
      if (refusal === undefined) tally.events++;
      else tally.refusals[refusal] = (tally.refusals[refusal] ?? 0) + 1;
      tally.lastAnsweredAtUs = nowUs();
    }
  } finally {
    connection.close();
  }
}

/** @returns why an event was not taken; nothing, if it was */
async function refusalOf(connection: Connection, target: Target, data: string): Promise<string | undefined> {
  try {
    const status = await connection.send(target.request.origin, target.head + data);
    return status >= 200 && status < 300 ? undefined : String(status);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function tell(message: AppendReply): void {
  process.send?.(message);
}
