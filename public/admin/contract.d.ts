/** What the admin API answers, by the names that the operators' page uses. Read by `tsc` alone; no code. */
import type { ListedLetter } from "../../protocol/buffer-call.ts";

export type { AdminFlushReport, ShardStatusEntry } from "../../protocol/admin-report.ts";
export type {
  AdminStreamList,
  AdminStreamReport,
  FlushedStream,
  InspectedReader,
  ListedStream,
  StreamInspection,
  TimelineStep,
} from "../../protocol/admin-streams.ts";
export type { ResetReport } from "../../protocol/buffer-call.ts";
export type { CompactionReport, ExpiryReport, TableStatus } from "../../protocol/lake-call.ts";
export type {
  AdminActionEntry,
  Alert,
  CommitEntry,
  FlushEntry,
  MonitorNow as Now,
  MonitorPoint as Point,
  MonitorReport as Overview,
} from "../../protocol/monitor-report.ts";

export type { StreamSummary } from "../../protocol/stream-summary.ts";

export interface Session {
  readonly actor: string;
  readonly expires_at: string | null;
}

export interface DeadLetter extends ListedLetter {
  readonly shard_index: number;
  /** Name of the shard's life. */
  readonly shard: string;
}

export interface DeadLetterPage {
  readonly letters: readonly DeadLetter[];
  readonly next: string | null;
  readonly total: number;
}

export interface RedriveReport {
  readonly redriven: number;
  readonly remaining: number;
  readonly unreadable: number;
  readonly full: readonly string[];
  readonly failed: readonly string[];
}
