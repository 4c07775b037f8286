/**
 * The comparison's load: a source, producers and readers, each a process of its own, so that what is
 * measured waits for none of them. One job of each kind at a time.
 */
import { fork, type ChildProcess } from "node:child_process";
import { resolve } from "node:path";

import type { SourceBegan, SourceGo, SourceReady } from "../../lib/messages.ts";
import { cpuSecondsOf } from "../../lib/process-meter.ts";
import type {
  AppendJob,
  AppendOutcome,
  AppendReply,
  CloseReaders,
  ReaderReply,
  ReadJob,
  ReadOutcome,
  ReplayJob,
  ReplayOutcome,
} from "./messages.ts";

const FILES = {
  source: resolve(import.meta.dirname, "../../source-process.ts"),
  producers: resolve(import.meta.dirname, "append-process.ts"),
  readers: resolve(import.meta.dirname, "read-process.ts"),
} as const;

export type GeneratorName = keyof typeof FILES;

/** Readers that all have their response heads: what is to be read may begin. */
export interface AttachedReaders {
  readonly outcome: Promise<ReadOutcome>;
  /** Sends them away, whatever they still lack. */
  close(): void;
}

export class LoadGenerators {
  readonly sourceOrigin: string;
  private readonly children: Readonly<Record<GeneratorName, ChildProcess>>;

  /** @param children that run, the source at `sourcePort` */
  private constructor(children: Readonly<Record<GeneratorName, ChildProcess>>, sourcePort: number) {
    this.children = children;
    this.sourceOrigin = `http://127.0.0.1:${sourcePort}`;
  }

  /** @param onChild told of each process as it starts, so that it can be ended whatever happens */
  static async start(onChild: (child: ChildProcess) => void): Promise<LoadGenerators> {
    const spawn = (name: GeneratorName) => {
      const child = fork(FILES[name], { stdio: ["ignore", "ignore", "inherit", "ipc"] });
      onChild(child);
      return child;
    };
    const children = { source: spawn("source"), producers: spawn("producers"), readers: spawn("readers") };
    const { port } = await nextMessage<SourceReady>(children.source, (message) => message.kind === "ready");
    return new LoadGenerators(children, port);
  }

  stop(): void {
    for (const child of Object.values(this.children)) child.kill("SIGKILL");
  }

  cpuSecondsOf(name: GeneratorName): number {
    const { pid } = this.children[name];
    return (pid === undefined ? undefined : cpuSecondsOf(pid)) ?? 0;
  }

  /** Lets held streams begin, once so many are held. @returns when they began */
  async beginSources(streams: number): Promise<number> {
    const { source } = this.children;
    const began = nextMessage<SourceBegan>(source, (message) => message.kind === "began");
    const word: SourceGo = { kind: "go", streams };
    source.send(word);
    const { atUs, streams: held } = await began;
    if (held < streams) throw new Error(`${held} of ${streams} sources were opened`);
    return atUs;
  }

  async attachReaders(job: ReadJob): Promise<AttachedReaders> {
    const { readers } = this.children;
    const attached = nextMessage<ReaderReply>(readers, (message) => message.kind === "attached" || isFailure(message));
    const done = nextMessage<ReaderReply>(readers, (message) => message.kind === "read" || isFailure(message));
    // Where attaching fails, nobody is left to hear of the rest.
    done.catch(() => undefined);
    readers.send(job);
    const reply = await attached;
    if (reply.kind === "failed") throw new Error(reply.detail);
    const close: CloseReaders = { kind: "close" };
    return {
      outcome: done.then((reply) => {
        if (reply.kind === "read") return reply.result;
        throw new Error(reply.kind === "failed" ? reply.detail : `readers told of ${reply.kind}`);
      }),
      close: () => void readers.send(close),
    };
  }

  async replay(job: ReplayJob): Promise<ReplayOutcome> {
    const { readers } = this.children;
    const done = nextMessage<ReaderReply>(readers, ({ kind }) => kind === "replayed" || kind === "failed");
    readers.send(job);
    const reply = await done;
    if (reply.kind === "replayed") return reply.result;
    throw new Error(reply.kind === "failed" ? reply.detail : `readers told of ${reply.kind}`);
  }

  async append(job: AppendJob): Promise<AppendOutcome> {
    const { producers } = this.children;
    const done = nextMessage<AppendReply>(producers, () => true);
    producers.send(job);
    const reply = await done;
    if (reply.kind === "failed") throw new Error(reply.detail);
    return reply.result;
  }
}

function isFailure({ kind }: ReaderReply): boolean {
  return kind === "failed";
}

/** @throws where the process ends first */
async function nextMessage<T>(child: ChildProcess, isWanted: (message: T) => boolean): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  const onMessage = (raw: unknown) => {
    // The child is ours and speaks nothing else.
    const message = raw as T;
    if (isWanted(message)) resolve(message);
  };
  const onExit = () => reject(new Error("a load process ended"));
  child.on("message", onMessage);
  child.on("exit", onExit);
  try {
    return await promise;
  } finally {
    child.off("message", onMessage);
    child.off("exit", onExit);
  }
}
