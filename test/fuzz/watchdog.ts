/**
 * Watches from a thread of its own whether each input comes to its end: code that goes round and round stops
 * every timer beside it. The process is then ended, and the input named.
 */
import { Worker } from "node:worker_threads";

/** Far above what an input may take, so that slow ones are told as such. */
const HANG_MS = 60_000;
const INPUT_MAX_BYTES = 8192;
/** Begun at (ms since 1970), 0 while nothing runs; then the input's length. */
const HEAD_BYTES = 16;

/** Plain JavaScript: a thread of the test runner's has no loader of its own. */
const THREAD = `
const { writeSync } = require("node:fs");
const { workerData } = require("node:worker_threads");
const { shared, name, hangMs, headBytes } = workerData;
const head = new DataView(shared);
setInterval(() => {
  const begunAtMs = head.getFloat64(0);
  if (begunAtMs === 0 || Date.now() - begunAtMs < hangMs) return;
  const input = Buffer.from(new Uint8Array(shared, headBytes, head.getUint32(8))).toString();
  writeSync(2, name + ": an input does not come to its end: " + input + "\\n");
  process.kill(process.pid, "SIGKILL");
}, Math.min(hangMs, 1000));
`;

export class Watchdog {
  private readonly shared = new SharedArrayBuffer(HEAD_BYTES + INPUT_MAX_BYTES);
  private readonly head = new DataView(this.shared);
  private readonly text = new Uint8Array(this.shared, HEAD_BYTES);
  private readonly encoder = new TextEncoder();
  private readonly thread: Worker;

  constructor(name: string, hangMs = HANG_MS) {
    const workerData = { shared: this.shared, name, hangMs, headBytes: HEAD_BYTES };
    this.thread = new Worker(THREAD, { eval: true, workerData });
    this.thread.unref();
  }

  begin(describe: () => string): void {
    const bytes = this.encoder.encode(describe()).subarray(0, INPUT_MAX_BYTES);
    this.text.set(bytes);
    this.head.setUint32(8, bytes.byteLength);
    this.head.setFloat64(0, Date.now());
  }

  /** Nothing is under way. */
  rest(): void {
    this.head.setFloat64(0, 0);
  }

  async end(): Promise<void> {
    await this.thread.terminate();
  }
}
