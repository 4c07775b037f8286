/**
 * Wrong credentials, counted for each network, and how long one that has sent too many is kept out. Pure.
 *
 * 1. {@link ALLOWED_FAILURES} wrong ones within {@link WINDOW_MS} lock a network for a second; each wrong one
 *    after that locks it for twice as long as the last, up to {@link LOCK_MAX_MS}.
 * 2. While a network is locked nothing counts, so that a caller that repeats itself gets in again.
 * 3. After {@link WINDOW_MS} without a wrong one all is forgotten.
 * 4. At most {@link MAX_NETWORKS} networks are known, whoever calls; the one that failed longest ago goes first.
 */
export const ALLOWED_FAILURES = 10;
export const WINDOW_MS = 60_000;
export const LOCK_MAX_MS = 60_000;
export const MAX_NETWORKS = 1000;
const FIRST_LOCK_MS = 1000;
/** An address has 45 characters at most; what is none was made up. */
const NAME_MAX_CHARS = 64;

interface NetworkRecord {
  /** Times of wrong ones before the first lock, oldest first: {@link ALLOWED_FAILURES} at most. */
  readonly failedAtMs: number[];
  /** Length of the last lock; 0 before the first. */
  lockMs: number;
  lockedUntilMs: number;
  lastMs: number;
}

export class FailedAttempts {
  /** In the order of their last failures. */
  private readonly records = new Map<string, NetworkRecord>();

  /** How long a network is still kept out; 0 where it is not. */
  lockedForMs(network: string, nowMs: number): number {
    return Math.max(0, (this.records.get(nameOf(network))?.lockedUntilMs ?? 0) - nowMs);
  }

  /** Counts a wrong credential of a network that is not locked. */
  fail(network: string, nowMs: number): void {
    const record = this.touch(network, nowMs);
    if (record.lockMs === 0) {
      record.failedAtMs.push(nowMs);
      while ((record.failedAtMs[0] ?? nowMs) <= nowMs - WINDOW_MS) record.failedAtMs.shift();
      if (record.failedAtMs.length < ALLOWED_FAILURES) return;
    }
    lock(record, Math.min(LOCK_MAX_MS, record.lockMs === 0 ? FIRST_LOCK_MS : 2 * record.lockMs), nowMs);
  }

  /** Keeps a network out because others have counted too many. */
  lock(network: string, lockMs: number, nowMs: number): void {
    lock(this.touch(network, nowMs), Math.min(LOCK_MAX_MS, lockMs), nowMs);
  }

  /** How many networks are known. */
  get size(): number {
    return this.records.size;
  }

  /** The network's record, now the newest. */
  private touch(network: string, nowMs: number): NetworkRecord {
    const name = nameOf(network);
    const known = this.records.get(name);
    const record = known === undefined || isForgotten(known, nowMs) ? newRecord() : known;
    record.lastMs = nowMs;
    this.records.delete(name);
    this.records.set(name, record);
    for (const oldest of this.records.keys()) {
      if (this.records.size <= MAX_NETWORKS) break;
      this.records.delete(oldest);
    }
    return record;
  }
}

function newRecord(): NetworkRecord {
  return { failedAtMs: [], lockMs: 0, lockedUntilMs: 0, lastMs: 0 };
}

/** Quiet since its last failure, or since the lock that followed it. */
function isForgotten({ lastMs, lockedUntilMs }: NetworkRecord, nowMs: number): boolean {
  return nowMs - Math.max(lastMs, lockedUntilMs) >= WINDOW_MS;
}

function lock(record: NetworkRecord, lockMs: number, nowMs: number): void {
  record.lockMs = lockMs;
  record.lockedUntilMs = Math.max(record.lockedUntilMs, nowMs + lockMs);
}

function nameOf(network: string): string {
  return network.slice(0, NAME_MAX_CHARS);
}
